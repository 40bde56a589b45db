//! Making a container.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci::runtime::Spec;
use shim::{Rootfs, SeccompProfile, User};

use crate::error::Error;
use crate::gate::StartGate;

/// Everything a container is made from.
#[derive(Debug)]
pub struct CreateOptions<'a> {
    /// Its ID.
    pub id: &'a str,
    /// The OCI configuration. `root.path` is not looked at, nor `process.user` where `user` is set, nor
    /// `linux.resources`, which are the cgroup's.
    pub spec: &'a Spec,
    /// What becomes `/`.
    pub rootfs: &'a Rootfs,
    /// A user to look up inside the root.
    pub user: Option<&'a User>,
    /// The system call filter.
    pub seccomp: SeccompSource<'a>,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The network namespace for a network namespace without a path; without both it is a new one.
    pub netns: Option<OwnedFd>,
    /// A program to run as process 1, bound over `/sbin/docker-init`.
    pub init: Option<&'a Path>,
    /// How the process waits for its start.
    pub gate: GateKind,
    /// The bundle that hooks are told of.
    pub bundle: &'a Path,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
}

/// Where a system call filter comes from.
#[derive(Clone, Copy, Debug)]
pub enum SeccompSource<'a> {
    /// A profile in Docker's format, for the capabilities of the process.
    Profile {
        /// The profile.
        profile: &'a SeccompProfile,
        /// Directory of compiled filters.
        cache: &'a Path,
    },
    /// `linux.seccomp` of the configuration.
    Spec,
}

/// Standard input, output and error of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These three; the parent's copies are closed once the process has its own.
    Descriptors([OwnedFd; 3]),
    /// A new terminal of the container's own devpts, of this size where known.
    Terminal(Option<sys::pty::Size>),
}

/// How a created process waits.
#[derive(Debug)]
pub enum GateKind {
    /// On the process that made it: its end is the container's end.
    Parent,
    /// On whoever connects to this listening socket: its maker may end.
    Listener(OwnedFd),
}

/// A container whose program is not yet executed.
#[derive(Debug)]
pub struct Created {
    /// The process ID of its first process, as this process sees it.
    pub pid: i32,
    /// The descriptor of that process.
    pub pidfd: OwnedFd,
    /// The master of its terminal, where one was asked for.
    pub terminal: Option<OwnedFd>,
    /// What starts it; `None` for [`GateKind::Listener`].
    pub gate: Option<StartGate>,
}

/// Makes a container, up to but without its program.
///
/// The calling process must have one thread, be root of the host's namespaces, and have its descriptors above 2 set to
/// close on execution. It blocks until the process is set up or has failed; nothing is left of one that failed.
///
/// # Errors
/// What the configuration or the kernel does not allow, by name.
pub fn create(options: CreateOptions<'_>) -> Result<Created, Error> {
    let _ = options;
    Err(Error::Unsupported { field: "create".to_owned() })
}
