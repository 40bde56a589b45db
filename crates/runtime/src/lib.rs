//! The OCI runtime: makes a container, executes in it, and is runc's command line (`corten runtime`); with it the
//! supervisor of each container.
//!
//! Everything here is synchronous and has one thread, so that a container's first process can be a plain copy of the
//! process that makes it. The engine never calls this crate: it talks to a supervisor, by the types in `shim`.
//!
//! ```text
//! create: clone3 ─┬─ parent: mappings, cgroups, hooks, limits ──────────── Created { gate }
//!                 └─ child:  namespaces, mounts, devices, pivot, terminal ─ waits at the gate
//! start:  gate ───── child:  hooks, execve (or a failure that travels back)
//! ```

mod birth;
pub mod cgroup;
pub mod cli;
pub mod container;
pub mod error;
pub mod exec;
mod filter;
pub mod gate;
pub mod hooks;
pub mod init;
mod plan;
mod process;
pub mod seccomp;
mod setup;
pub mod supervisor;

pub use container::{CreateOptions, Created, GateKind, Keyring, SeccompSource, Stdio, create};
pub use error::Error;
pub use exec::{ExecOptions, Executed, Lifetime, Privilege, exec};
pub use gate::StartGate;
