//! Namespaces: making, joining.

use std::os::fd::{AsFd, AsRawFd};

use crate::Result;
use crate::process::{SingleThreaded, last_error};

bitflags::bitflags! {
    /// Kinds of namespaces, with the values of `CLONE_NEW*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Namespaces: u32 {
        /// Clocks. Cannot be asked of `clone3`, whose exit signal uses this bit.
        const TIME = 0x80;
        /// Mount points.
        const MOUNT = 0x0002_0000;
        /// The root of the cgroup tree.
        const CGROUP = 0x0200_0000;
        /// Host name and domain name.
        const UTS = 0x0400_0000;
        /// System V IPC and POSIX message queues.
        const IPC = 0x0800_0000;
        /// Users, groups and capabilities.
        const USER = 0x1000_0000;
        /// Process IDs.
        const PID = 0x2000_0000;
        /// Network.
        const NETWORK = 0x4000_0000;
    }
}

/// Moves this process into new namespaces; into a new PID or time namespace only its children to come.
///
/// # Errors
/// As `unshare(2)`.
pub fn unshare(_: SingleThreaded, namespaces: Namespaces) -> Result<()> {
    // SAFETY: without CLONE_FILES, CLONE_FS and CLONE_VM the call changes no memory or descriptor of the process.
    let result = unsafe { libc::unshare(namespaces.bits() as libc::c_int) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Moves the calling thread alone into a new mount namespace, which has copies of all mounts; also its root and working
/// directory are its own then.
///
/// # Errors
/// As `unshare(2)`: `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` past the limit on namespaces.
pub fn unshare_mounts() -> Result<()> {
    // SAFETY: only CLONE_FILES can take descriptors away from other threads; CLONE_NEWNS changes what this thread sees of the
    // file system and nothing that memory safety rests on.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }
}

/// Joins the namespace behind `handle`, or those of the process behind a pidfd.
///
/// With a namespace's own descriptor `kinds` is the one kind that is expected. A PID namespace is joined only by
/// children to come.
///
/// # Errors
/// As `setns(2)`: `EINVAL` where the kind does not match, `EPERM`, `ESRCH` where the process ended.
pub fn join(_: SingleThreaded, handle: impl AsFd, kinds: Namespaces) -> Result<()> {
    // SAFETY: the call takes integers and changes only what this process sees of the system.
    let result = unsafe { libc::setns(handle.as_fd().as_raw_fd(), kinds.bits() as libc::c_int) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}
