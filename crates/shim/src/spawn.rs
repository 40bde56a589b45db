//! Starting supervisors from a copy of the engine's executable that nobody can write to.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::client::{Client, Events};

/// The name of the file in the run directory that a supervisor writes its complaints to.
pub const LOG_FILE: &str = "shim.log";

/// Why a supervisor could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The executable could not be copied to memory.
    #[error("cannot make a sealed copy of {path}")]
    Seal {
        /// What was to be copied.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The process could not be made.
    #[error("cannot start a supervisor")]
    Process(#[source] io::Error),
}

/// The argument of a supervisor that has no container yet: room for the ID of one, which it puts there.
const PLACE_OF_ID: &CStr = c"................................................................";

/// The argument of `corten shim` before the path of a control group that is to be cleaned up.
pub const CLEAN_UP: &str = "--clean-up";

/// Why the control group of a supervisor that is gone could not be cleaned up.
#[derive(Debug, thiserror::Error)]
#[error("cannot clean up control group {cgroup}: {reason}")]
pub struct CleanUpError {
    /// Which.
    pub cgroup: PathBuf,
    /// Why not.
    pub reason: String,
}

/// Starts supervisors. One is kept ready, so that the start of a container does not wait for the program to be loaded.
///
/// It holds the executable in one sealed memory file. A container that reaches its supervisor's `/proc/<pid>/exe` can
/// therefore not overwrite the program, and all supervisors share its pages.
#[derive(Debug)]
pub struct Launcher {
    path: CString,
    /// Kept open for `path`, which names it.
    _executable: OwnedFd,
    spare: Mutex<Option<(Client, Events)>>,
}

impl Launcher {
    /// A launcher of the running executable. Blocks for one copy of it (milliseconds); done once per engine.
    ///
    /// # Errors
    /// The executable cannot be read, or there is no memory for the copy.
    pub fn new() -> Result<Self, SpawnError> {
        Self::from_executable(Path::new("/proc/self/exe"))
    }

    /// A launcher of another executable with the same command line.
    ///
    /// # Errors
    /// As [`Launcher::new`].
    pub fn from_executable(path: &Path) -> Result<Self, SpawnError> {
        let executable = seal(path).map_err(|source| SpawnError::Seal { path: path.into(), source })?;
        // By this process's number: the new process has closed its copy of the descriptor when it executes the path.
        let path = CString::new(format!("/proc/{}/fd/{}", std::process::id(), executable.as_raw_fd()));
        let path = path.expect("digits hold no NUL");
        Ok(Self { path, _executable: executable, spare: Mutex::default() })
    }

    /// A supervisor for a container: the one that is ready, or a new one.
    ///
    /// Has to be called inside a tokio runtime. It blocks the thread for a new one until that executes (0.5 ms or so).
    ///
    /// # Errors
    /// No process or descriptor can be made.
    pub fn supervisor(&self) -> Result<(Client, Events), SpawnError> {
        match self.spare().take() {
            Some((client, events)) if !client.is_closed() => Ok((client, events)),
            _ => self.spawn().map_err(SpawnError::Process),
        }
    }

    /// Makes one ready, unless one is. Where that is not possible, the next container waits for its own.
    ///
    /// As [`Launcher::supervisor`].
    pub fn prepare(&self) {
        if self.spare().is_none()
            && let Ok(spare) = self.spawn()
        {
            *self.spare() = Some(spare);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Option<(Client, Events)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> io::Result<(Client, Events)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let pid = sys::spawn::spawn(&sys::spawn::Program {
            path: &self.path,
            arguments: &[c"corten", c"shim", PLACE_OF_ID],
            environment: &[],
            descriptors: &[null.as_fd(), null.as_fd(), null.as_fd(), theirs.as_fd()],
        })?;
        Client::adopt(ours, pid)
    }

    /// Kills what runs in a control group and removes the group, in place of a supervisor that is gone. Blocks until done.
    ///
    /// # Errors
    /// No process can be made, or it could not do it; it says why.
    pub fn clean_up(&self, cgroup: &Path) -> Result<(), CleanUpError> {
        let failed = |reason: String| CleanUpError { cgroup: cgroup.into(), reason };
        let path = self.path.to_str().expect("the path is ASCII");
        let mut command = std::process::Command::new(path);
        let output =
            command.arg0("corten").args(["shim", CLEAN_UP]).arg(cgroup).stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }
}

/// Each of them takes the kernel some 150 ms where it fails.
const SEAL_ATTEMPTS: usize = 10;

/// A copy of the file in memory, executable and never to be changed.
fn seal(path: &Path) -> io::Result<OwnedFd> {
    let mut source = File::open(path)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag, and make every memory file executable.
    let memory = rustix::fs::memfd_create(c"corten", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"corten", flags))?;
    let mut memory = File::from(memory);
    io::copy(&mut source, &mut memory)?;
    add_seals(&memory)?;
    Ok(memory.into())
}

/// The kernel refuses it as long as anything holds a page that was just written: its own lists of them, or who looks at what
/// memory is used. It waits for a moment itself, which is not always enough.
fn add_seals(memory: &File) -> io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 1..SEAL_ATTEMPTS {
        match rustix::fs::fcntl_add_seals(memory, seals) {
            Err(Errno::BUSY) => std::thread::yield_now(),
            other => return Ok(other?),
        }
    }
    Ok(rustix::fs::fcntl_add_seals(memory, seals)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_copy_is_the_file_and_cannot_be_written() {
        let launcher = Launcher::new().unwrap();
        let path = Path::new(launcher.path.to_str().unwrap());
        let copy = std::fs::read(path).unwrap();
        assert!(copy == std::fs::read("/proc/self/exe").unwrap());
        let writable = File::options().write(true).open(path).unwrap();
        let error = rustix::io::write(&writable, b"x").unwrap_err();
        assert_eq!(error, rustix::io::Errno::PERM);
        assert_eq!(rustix::fs::ftruncate(&writable, 0).unwrap_err(), rustix::io::Errno::PERM);
    }
}
