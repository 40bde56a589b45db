//! Being told when the kernel runs out of memory for a container.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, inotify};
use rustix::io::Errno;

use super::{Cgroup, CgroupError, file};

/// A descriptor that polls readable when something happened; [`OomWatch::drain`] tells whether it was a want of memory.
#[derive(Debug)]
pub struct OomWatch {
    descriptor: OwnedFd,
    source: Source,
    seen: u64,
}

#[derive(Debug)]
enum Source {
    /// An event counter that the kernel raises (cgroups-v1/memory, "memory.oom_control").
    V1 { control: PathBuf },
    /// Changes of `memory.events`, which are of several kinds.
    V2 { events: PathBuf },
}

impl OomWatch {
    pub(super) fn new(cgroup: &Cgroup) -> Result<Self, CgroupError> {
        match memory_directory(cgroup)? {
            Memory::V1(directory) => Self::version1(directory),
            Memory::V2(directory) => Self::version2(directory),
        }
    }

    fn version1(directory: &Path) -> Result<Self, CgroupError> {
        let control = directory.join("memory.oom_control");
        let failed = |error: Errno| CgroupError::io("watch", &control, error);
        let watched =
            rustix::fs::open(&control, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let request = format!("{} {}", descriptor.as_raw_fd(), watched.as_raw_fd());
        file::write(&directory.join("cgroup.event_control"), &request)?;
        Ok(Self { descriptor, source: Source::V1 { control }, seen: 0 })
    }

    fn version2(directory: &Path) -> Result<Self, CgroupError> {
        let events = directory.join("memory.events");
        let failed = |error: Errno| CgroupError::io("watch", &events, error);
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let descriptor = inotify::init(flags).map_err(failed)?;
        inotify::add_watch(&descriptor, &events, inotify::WatchFlags::MODIFY).map_err(failed)?;
        let seen = kills(&file::read(&events)?);
        Ok(Self { descriptor, source: Source::V2 { events }, seen })
    }

    /// Empties the descriptor. True when the container ran out of memory since the last call.
    pub fn drain(&mut self) -> Result<bool, CgroupError> {
        let path = match &self.source {
            Source::V1 { control } => control,
            Source::V2 { events } => events,
        };
        let mut buffer = [0; 512];
        let mut read_any = false;
        loop {
            match rustix::io::read(&self.descriptor, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(length) => read_any = true & (length > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(CgroupError::io("watch", path, error)),
            }
        }
        match &self.source {
            // The kernel tells before it has killed, so that its count says nothing yet. It also tells when the group is removed.
            Source::V1 { control } => Ok(read_any && control.exists()),
            Source::V2 { events } => {
                let now = file::read_optional(events)?.map_or(self.seen, |text| kills(&text));
                Ok(std::mem::replace(&mut self.seen, now) < now)
            }
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

pub(super) fn kill_count(cgroup: &Cgroup) -> Result<u64, CgroupError> {
    let path = match memory_directory(cgroup)? {
        Memory::V1(directory) => directory.join("memory.oom_control"),
        Memory::V2(directory) => directory.join("memory.events"),
    };
    Ok(file::read_optional(&path)?.map_or(0, |text| kills(&text)))
}

/// Both versions' files have this line.
fn kills(text: &str) -> u64 {
    file::field(text, "oom_kill").unwrap_or(0)
}

enum Memory<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

fn memory_directory(cgroup: &Cgroup) -> Result<Memory<'_>, CgroupError> {
    if let Some(directory) = cgroup.v1_directory("memory") {
        return Ok(Memory::V1(directory));
    }
    match &cgroup.unified {
        Some(group) if group.has("memory") => Ok(Memory::V2(&group.path)),
        _ => Err(CgroupError::unsupported("memory", "this machine has no `memory` cgroup controller")),
    }
}
