//! Being told when the kernel runs out of memory for a container.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, inotify};
use rustix::io::Errno;

use super::{Cgroup, CgroupError, file};

/// A descriptor that polls readable when something happened; [`OomWatch::drain`] tells whether it was a want of memory.
#[derive(Debug)]
pub struct OomWatch {
    descriptor: OwnedFd,
    source: Source,
    /// Kills that have been told.
    seen: u64,
    expected: Option<Expected>,
}

/// A kill that the kernel has told of and not counted yet.
#[derive(Clone, Copy, Debug)]
struct Expected {
    until: Instant,
    /// When its count is looked at next.
    next_look: Instant,
}

/// How long after the kernel has told of a want of memory its kill may come.
const KILL_WAIT: Duration = Duration::from_secs(1);
/// How often its count is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

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
        let seen = kills(&file::read(&control)?);
        Ok(Self { descriptor, source: Source::V1 { control }, seen, expected: None })
    }

    fn version2(directory: &Path) -> Result<Self, CgroupError> {
        let events = directory.join("memory.events");
        let failed = |error: Errno| CgroupError::io("watch", &events, error);
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let descriptor = inotify::init(flags).map_err(failed)?;
        inotify::add_watch(&descriptor, &events, inotify::WatchFlags::MODIFY).map_err(failed)?;
        let seen = kills(&file::read(&events)?);
        Ok(Self { descriptor, source: Source::V2 { events }, seen, expected: None })
    }

    /// Empties the descriptor. True when the container ran out of memory since the last call.
    ///
    /// One want of memory can be told of several times, and with version 1 before there is a kill, so that it is the count
    /// of kills that says. It may have to be looked at once more: [`OomWatch::deadline`] tells when.
    pub fn drain(&mut self) -> Result<bool, CgroupError> {
        let told = self.empty()?;
        let Some(text) = file::read_optional(self.path())? else { return Ok(false) };
        let kills = kills(&text);
        if kills > self.seen {
            self.seen = kills;
            self.expected = None;
            return Ok(true);
        }
        let now = Instant::now();
        let told_early = told && matches!(self.source, Source::V1 { .. });
        // Where the container's user has forbidden to kill, processes wait instead.
        if told_early && file::field(&text, "oom_kill_disable") == Some(1) {
            return Ok(true);
        }
        let until = if told_early { Some(now + KILL_WAIT) } else { self.expected.map(|kill| kill.until) };
        let until = until.filter(|until| *until > now);
        self.expected = until.map(|until| Expected { until, next_look: now + LOOK });
        Ok(false)
    }

    /// When it is to be drained although nothing is readable.
    pub fn deadline(&self) -> Option<Instant> {
        self.expected.map(|kill| kill.next_look)
    }

    /// Whether there was anything to read.
    fn empty(&self) -> Result<bool, CgroupError> {
        let mut buffer = [0; 512];
        let mut any = false;
        loop {
            match rustix::io::read(&self.descriptor, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(any),
                Ok(_) => any = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(CgroupError::io("watch", self.path(), error)),
            }
        }
    }

    fn path(&self) -> &Path {
        match &self.source {
            Source::V1 { control } => control,
            Source::V2 { events } => events,
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
