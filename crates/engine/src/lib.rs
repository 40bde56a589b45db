//! The life of containers: create, start, watch, stop, restart, remove, and everything that can be asked about them.
//!
//! An [`Engine`] owns the records of its containers; each live container has a supervisor, a process of its own, to which
//! the engine talks by the types of the `shim` crate. It knows nothing of HTTP, of registries or of how a container is
//! made. Ending the engine, also with `kill -9`, ends no container.
//!
//! # Disk
//!
//! | path | what |
//! |---|---|
//! | `<lib>/containers/containers.db` | the records: settings, names, states |
//! | `<lib>/containers/<id>/` | one container's log, exit record, hosts, hostname and resolv.conf |
//! | `<lib>/volumes/<name>/_data` | volumes |
//! | `<run>/names/<network id>` | the names of a network's running containers |
//! | `<run>/shim/<id>/` | one supervisor's control socket |
//! | `<run>/seccomp/` | compiled system call filters |
//!
//! # What survives what
//!
//! A container is created by making its snapshot and folder, then writing its record: what a crash leaves without a record
//! is removed at the next start. It is removed in the other order. A start is followed by the supervisor, whose exit
//! record is on disk before anyone is told of the end; at its own start the engine asks each supervisor, or reads that
//! record.

mod attach;
mod check;
mod commit;
mod config;
mod container;
mod copy_up;
mod create;
mod create_container;
mod detach_keys;
mod discovery;
mod engine;
mod error;
pub mod events;
mod exec;
mod export;
mod files;
mod health;
mod index;
mod info;
mod inspect;
mod links;
mod list;
mod logging;
mod logs;
mod mounts;
mod names;
mod network_settings;
mod networking;
mod networks;
mod ports;
mod prune;
mod reconcile;
mod relay;
mod restart;
mod rules;
mod settings;
mod shared;
pub mod signal;
mod spec;
mod state;
mod status_text;
mod step;
mod time;
mod top;
mod usage;
mod volumes;
mod wait;

pub use attach::{AttachTicket, ExecTicket};
pub use commit::{Commit, Pause, change};
pub use config::Config;
pub use engine::{Engine, OpenError};
pub use error::Error;
pub use export::Export;
pub use logs::LogStream;
pub use mounts::ReadOnlyReach;
pub use shim::log::Frames;
pub use step::{RunningStep, Step, StepBind, StepEnd, StepMount};
pub use wait::Waiter;
