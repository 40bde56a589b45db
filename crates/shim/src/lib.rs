//! The contract between the engine and the supervisor ("shim") of each container: what is said, how it is framed, which
//! files are left behind. It is *not* the supervisor itself, which is in `runtime`: the engine depends on this crate only.
//!
//! # One supervisor, one container
//!
//! The engine executes itself as `corten shim`, with one end of a Unix stream socket pair as file descriptor 3. That is
//! the first control connection. Later engines (after a restart) connect to `<run_dir>/control.sock`; every connection
//! speaks the same protocol, any number may be open, and the supervisor never ends because one closes.
//!
//! ```text
//!   (spawned) --Create--> created --Start--> running <--Pause/Resume--> paused
//!                 |                    |        |
//!                 v                    v        v
//!               failed              failed   exited: exit record written, clients told, supervisor ends
//! ```
//!
//! # Framing
//!
//! A frame is a little-endian `u32` length and that many bytes of JSON: [`Request`] towards the supervisor, [`Message`]
//! from it. A request that carries file descriptors sends them with `SCM_RIGHTS` at the latest with the first byte of its
//! frame, in the order of the frames, and says how many in [`Request::descriptors`]. Frames may be pipelined: `Create`, `Attach` and `Start` are sent in one write
//! and answered in order.
//!
//! # Files
//!
//! | path | what |
//! |---|---|
//! | `<run_dir>/control.sock` | the control socket, mode 0600 |
//! | `<run_dir>/shim.log` | what the supervisor has to complain about; empty in good times |
//! | `<run_dir>/pid` | the supervisor's process id, decimal |
//! | [`Config::exit_path`] | the [`ExitRecord`] as JSON, written atomically before any client hears of the exit |

pub mod client;
pub mod config;
pub mod exit;
pub mod log;
pub mod message;
mod readiness;
pub mod service;
pub mod spawn;
pub mod wire;

pub use client::{Client, ConnectError, Events, PendingReply, RequestError};
pub use config::{Config, Durability, Log, OverlayRootfs, Rootfs, SeccompProfile, StdinMode, User};
pub use exit::{ExitRecord, ExitRecordError, ExitStatus};
pub use message::{
    Attach, Event, ExecConfig, Failure, FailureKind, Framing, Message, Reply, Request, RequestBody, State,
    Status, Target,
};
pub use service::{
    HostName, NameAlias, NameServer, NameService, Origin, RelayService, RelayedPort, Service, ServiceKind,
    Transport,
};
pub use spawn::{Launcher, SpawnError};
