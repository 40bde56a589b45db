//! Executing a further process in a container.

use std::os::fd::{BorrowedFd, OwnedFd};

use oci::runtime::{Process, Spec};
use shim::User;

use crate::container::{SeccompSource, Stdio};
use crate::error::Error;

/// Everything a further process is made from.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    /// The container's first process.
    pub pidfd: BorrowedFd<'a>,
    /// Its process ID.
    pub pid: i32,
    /// The container's configuration, for what `process` leaves open.
    pub spec: &'a Spec,
    /// The process.
    pub process: &'a Process,
    /// A user to look up inside the root; else `process.user`.
    pub user: Option<&'a User>,
    /// Whether it has all capabilities and no filter.
    pub privileged: bool,
    /// The system call filter of the container.
    pub seccomp: SeccompSource<'a>,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
}

/// A further process that runs.
#[derive(Debug)]
pub struct Executed {
    /// Its process ID, as this process sees it.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// The master of its terminal, where one was asked for.
    pub terminal: Option<OwnedFd>,
}

/// Executes a process in a container, and returns once its program runs.
///
/// The calling process must have one thread; the new process is its child.
///
/// # Errors
/// What the process reports, by kind, and `NotFound` where the container has ended.
pub fn exec(options: ExecOptions<'_>) -> Result<Executed, Error> {
    let _ = options;
    Err(Error::Unsupported { field: "exec".to_owned() })
}
