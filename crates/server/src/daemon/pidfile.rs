//! The file that tells the daemon's process ID.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

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
        if let Some(pid) = running.filter(|pid| *pid != own && is_alive(*pid)) {
            return Err(PidfileError::Running { pid, path: path.to_owned() });
        }
        write(path, own).map_err(|source| PidfileError::Write { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }
}

/// Whether there is such a process, other than one that ended and that nobody has waited for.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the program's name, which may itself have brackets and spaces (proc(5)).
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    !matches!(state, Some('Z' | 'X'))
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
    fn garbage_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.pid");
        fs::write(&path, "hello").unwrap();
        assert!(Pidfile::write(&path).is_ok());
    }
}
