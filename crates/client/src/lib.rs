//! A typed client of the Docker Engine API over a unix socket or TCP.
//!
//! It is made for short-lived programs on one thread: requests share kept-alive connections, the API version is
//! negotiated only when the engine refuses the newest one, and attached streams are handed out as plain blocking
//! descriptors, so that copying them costs no more than the system calls.
//!
//! It is *not* a command line: it prints nothing, and an engine's message is passed on unchanged.

mod build;
mod connection;
mod containers;
mod error;
mod exec;
mod hijack;
mod host;
mod images;
mod networks;
mod stream;
mod system;

pub use build::Credentials;
pub use connection::{Client, segment as path_segment};
pub use containers::Waiting;
pub use error::Error;
pub use exec::ExecStart;
pub use hijack::Hijacked;
pub use host::{Host, HostError};
pub use stream::{ByteStream, Lines};
