//! Sockets in the container's network namespace, and in the supervisor's own.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use shim::Origin;

/// Both namespaces.
#[derive(Debug)]
pub(super) struct Networks {
    container: OwnedFd,
    home: OwnedFd,
}

impl Networks {
    /// Opens them, while the container's first process lives.
    pub(super) fn open(pid: i32) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let container = rustix::fs::open(format!("/proc/{pid}/ns/net"), flags, Mode::empty())?;
        Ok(Self { container, home: sys::netns::current()? })
    }

    /// Does something in one of them: what is opened there stays there.
    pub(super) fn within<T>(&self, origin: Origin, work: impl FnOnce() -> T) -> Result<T, Errno> {
        match origin {
            Origin::Host => Ok(work()),
            Origin::Container => {
                sys::netns::join(self.container.as_fd())?;
                let result = work();
                // It was this process's own a moment ago.
                sys::netns::join(self.home.as_fd())?;
                Ok(result)
            }
        }
    }
}
