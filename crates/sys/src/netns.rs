//! Network namespaces of single threads.
//!
//! A network namespace belongs to a thread, not to a process: what is done here concerns the calling thread only, so that
//! a thread of a server can work inside one and come back.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::Result;

/// Moves the calling thread into a new network namespace.
///
/// # Errors
/// As `unshare(2)`: `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` past the limit on namespaces.
pub fn unshare() -> Result<()> {
    // SAFETY: only CLONE_FILES can take descriptors away from other threads; CLONE_NEWNET changes this thread's view of
    // the network and nothing that memory safety rests on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the calling thread into the network namespace `netns`.
///
/// # Errors
/// As `setns(2)`: `EINVAL` where the descriptor is no network namespace, `EPERM` without `CAP_SYS_ADMIN`.
pub fn join(netns: BorrowedFd<'_>) -> Result<()> {
    rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))
}

/// The network namespace of the calling thread.
///
/// # Errors
/// As `open(2)`.
pub fn current() -> Result<OwnedFd> {
    rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
