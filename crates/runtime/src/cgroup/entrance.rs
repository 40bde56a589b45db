//! The way into a version 1 group, for a process that moves itself.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::CgroupError;

/// A version 1 group's list of threads, opened.
///
/// To move a whole process, the kernel stops all forks of the machine and waits until each processor has noticed (20 ms
/// where it is idle, see `cgroup_attach_lock`). It need not for a thread that moves itself, which for a process of one
/// thread is the same.
#[derive(Debug)]
pub struct Entrance {
    path: PathBuf,
    tasks: OwnedFd,
}

impl Entrance {
    pub(super) fn open(group: &Path) -> Result<Self, CgroupError> {
        let path = group.join("tasks");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(tasks) => Ok(Self { path, tasks }),
            Err(errno) => Err(CgroupError::io("open", &path, errno)),
        }
    }

    /// Moves the calling thread into the group.
    ///
    /// # Errors
    /// What the group does not take: a real-time process without a share of time, a cpuset without processors.
    pub fn enter(&self) -> Result<(), CgroupError> {
        let written = rustix::io::write(&self.tasks, b"0");
        written.map(|_| ()).map_err(|errno| CgroupError::io("enter", &self.path, errno))
    }
}
