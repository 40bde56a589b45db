//! The file that tells the daemon's process ID.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Why the pid file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    /// Its process runs.
    #[error("process with PID {pid} is still running (pid file {})", path.display())]
    Running {
        /// The process.
        pid: u32,
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("write pid file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A pid file; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Pidfile(PathBuf);

impl Pidfile {
    /// Writes the file, unless it belongs to a process that runs. What is left of one that does not is replaced.
    pub(super) fn write(path: &Path) -> Result<Self, PidfileError> {
        let running = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let own = std::process::id();
        let written = fs::metadata(path).and_then(|metadata| metadata.modified());
        let is_engine =
            |pid: u32| is_alive(pid) && !written.as_ref().is_ok_and(|time| is_younger(pid, *time));
        if let Some(pid) = running.filter(|pid| *pid != own && is_engine(*pid)) {
            return Err(PidfileError::Running { pid, path: path.to_owned() });
        }
        write(path, own).map_err(|source| PidfileError::Write { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }
}

/// Whether there is such a process, other than one that ended and that nobody has waited for.
pub(super) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the program's name, which may itself have brackets and spaces (proc(5)).
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
}

/// Whether a process began after `time`, so that it cannot be who wrote a file then: the number was used again.
fn is_younger(pid: u32, time: SystemTime) -> bool {
    /// Of the kernel's interface, on every architecture.
    const TICKS_PER_SECOND: u64 = 100;
    /// The kernel tells when it booted in whole seconds.
    const TOLERANCE: Duration = Duration::from_secs(2);
    let started = || -> Option<SystemTime> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The 22nd field; the third follows the program's name.
        let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(22 - 3)?.parse().ok()?;
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let boot = machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let after_boot = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + after_boot)
    };
    started().is_some_and(|started| started > time + TOLERANCE)
}

fn write(path: &Path, pid: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(pid.to_string().as_bytes())
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_a_dead_process_is_replaced_and_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/engine.pid");
        fs::create_dir(folder.path().join("sub")).unwrap();
        // Larger than any process ID of Linux.
        fs::write(&path, "4194999\n").unwrap();
        let pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn file_of_a_running_process_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        fs::write(&path, "1").unwrap();
        assert!(matches!(Pidfile::write(&path), Err(PidfileError::Running { pid: 1, .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
    }

    #[test]
    fn file_of_a_killed_process_is_replaced_before_its_parent_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, child.id().to_string()).unwrap();
        assert!(matches!(Pidfile::write(&path), Err(PidfileError::Running { .. })));
        child.kill().unwrap();
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        assert!(Pidfile::write(&path).is_ok());
        child.wait().unwrap();
    }

    #[test]
    fn file_that_is_older_than_its_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, child.id().to_string()).unwrap();
        assert!(matches!(Pidfile::write(&path), Err(PidfileError::Running { .. })));
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert!(Pidfile::write(&path).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn garbage_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        fs::write(&path, "hello").unwrap();
        assert!(Pidfile::write(&path).is_ok());
    }
}
