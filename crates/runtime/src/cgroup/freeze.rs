//! Freezing, thawing and killing all processes of a container.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Cgroup, CgroupError, file};

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a kill waits for the freezer: without it, the kill is repeated until nothing is left.
const KILL_PATIENCE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Which interface freezes.
enum Freezer<'a> {
    /// `cgroup.freeze` of version 2, since Linux 5.2.
    V2(&'a Path),
    /// The version 1 controller.
    V1(&'a Path),
}

impl<'a> Freezer<'a> {
    /// Version 2 where it can: processes frozen that way still die of `SIGKILL`.
    fn of(cgroup: &'a Cgroup) -> Result<Self, CgroupError> {
        if let Some(group) = &cgroup.unified
            && group.path.join("cgroup.freeze").exists()
        {
            return Ok(Self::V2(&group.path));
        }
        match cgroup.v1_directory("freezer") {
            Some(path) => Ok(Self::V1(path)),
            None => {
                Err(CgroupError::unsupported("freezer", "this machine has no `freezer` cgroup controller"))
            }
        }
    }

    fn request(&self, frozen: bool) -> Result<(), CgroupError> {
        match self {
            Self::V2(path) => file::write(&path.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            Self::V1(path) => {
                file::write(&path.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
        }
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        match self {
            Self::V2(path) => Ok(file::field(&file::read(&path.join("cgroup.events"))?, "frozen") == Some(1)),
            Self::V1(path) => Ok(file::read(&path.join("freezer.state"))?.trim() == "FROZEN"),
        }
    }

    fn path(&self) -> &'a Path {
        match self {
            Self::V2(path) | Self::V1(path) => path,
        }
    }

    /// Freezes and waits. The version 1 request is repeated: a process that forks meanwhile can escape one round.
    fn freeze(&self, patience: Duration) -> Result<(), CgroupError> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(20);
        self.request(true)?;
        while !self.is_frozen()? {
            if Instant::now() >= deadline {
                self.request(false)?;
                return Err(CgroupError::FreezeTimeout { path: self.path().to_owned() });
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if matches!(self, Self::V1(_)) {
                self.request(true)?;
            }
        }
        Ok(())
    }
}

pub(super) fn freeze(cgroup: &Cgroup) -> Result<(), CgroupError> {
    Freezer::of(cgroup)?.freeze(PATIENCE)
}

pub(super) fn thaw(cgroup: &Cgroup) -> Result<(), CgroupError> {
    Freezer::of(cgroup)?.request(false)
}

pub(super) fn is_frozen(cgroup: &Cgroup) -> Result<bool, CgroupError> {
    match Freezer::of(cgroup) {
        Ok(freezer) => freezer.is_frozen(),
        // Without a freezer nothing is ever frozen.
        Err(CgroupError::Unsupported { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn kill_all(cgroup: &Cgroup) -> Result<(), CgroupError> {
    if let Some(group) = &cgroup.unified {
        kill_unified(&group.path)?;
    }
    // On a hybrid machine these are the processes which left the version 2 group.
    match cgroup.v1_census_path() {
        Some(path) if !file::processes(path)?.is_empty() => kill_v1(cgroup, path),
        _ => Ok(()),
    }
}

/// Kills at one stroke where the kernel can (`cgroup.kill`, Linux 5.14), else while frozen.
fn kill_unified(path: &Path) -> Result<(), CgroupError> {
    match file::try_write(&path.join("cgroup.kill"), "1") {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(CgroupError::io("kill the processes of", path, error)),
    }
    if !path.exists() {
        return Ok(());
    }
    let freezer = path.join("cgroup.freeze").exists().then_some(Freezer::V2(path));
    kill_in_rounds(path, freezer)
}

fn kill_v1(cgroup: &Cgroup, path: &Path) -> Result<(), CgroupError> {
    kill_in_rounds(path, cgroup.v1_directory("freezer").map(Freezer::V1))
}

/// Freezes, signals everything and thaws, until a round finds no process that was not signalled before.
fn kill_in_rounds(path: &Path, freezer: Option<Freezer<'_>>) -> Result<(), CgroupError> {
    const ROUNDS: u32 = 100;
    let mut signalled = HashSet::new();
    for _ in 0..ROUNDS {
        // A freeze that does not succeed in time is no obstacle: then the next round finds what was forked.
        let frozen = freezer.as_ref().is_some_and(|freezer| freezer.freeze(KILL_PATIENCE).is_ok());
        let fresh = kill_listed(path, &mut signalled);
        if let Some(freezer) = &freezer {
            freezer.request(false)?;
        }
        if fresh? == 0 || frozen {
            return Ok(());
        }
    }
    let count = file::processes(path)?.len();
    if count == 0 { Ok(()) } else { Err(CgroupError::NotEmpty { path: PathBuf::from(path), count }) }
}

/// Signals the processes of the groups below `path`, and returns how many were not signalled before.
fn kill_listed(path: &Path, signalled: &mut HashSet<i32>) -> Result<usize, CgroupError> {
    // A number may pass to another process between the list and the signal. So descriptors are opened first, and only
    // those whose number is still listed afterwards are signalled.
    let opened: Vec<_> = file::processes(path)?
        .into_iter()
        .filter_map(|pid| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)))
        .collect();
    let still: HashSet<i32> = file::processes(path)?.into_iter().collect();
    let mut fresh = 0;
    for (pid, descriptor) in opened.iter().filter(|(pid, _)| still.contains(pid)) {
        match pidfd_send_signal(descriptor, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => fresh += usize::from(signalled.insert(*pid)),
            Err(error) => return Err(CgroupError::io("kill a process of", path, error)),
        }
    }
    Ok(fresh)
}
