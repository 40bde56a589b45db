//! HTTP as the Engine API uses it: versions in the path, errors as JSON, connections that become raw streams.
//!
//! Nothing here knows of containers: what a request does is a [`Handler`]'s business.

mod body;
mod call;
mod connection;
mod hijack;
mod response;
mod service;
mod websocket;

pub use body::Body;
pub use call::{Call, Reader, read_with};
pub use connection::{Acceptor, serve};
pub use hijack::hijack;
pub use response::{Response, empty, json, json_lines, stream};
pub use service::Handler;
pub use websocket::attach_websocket;
