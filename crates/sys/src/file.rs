//! Files: atomic replacement, locks, bounded reads.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, FlockOperation, fcntl_lock};

use crate::process::errno;
use crate::root::kind_of;
use crate::{Errno, Result};

/// Whether a file must survive a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Readers see the old or the new file; after a crash of the machine either may be there.
    Atomic,
    /// As above, and the new file is on the disk when the call returns.
    Durable,
}

/// Replaces a file: a reader sees all of the old bytes or all of the new ones. The umask has no effect on `mode`.
///
/// # Errors
/// As `open(2)`, `write(2)` and `rename(2)`; nothing is left behind.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    let temporary = temporary_name(path)?;
    write_new(&temporary, bytes, mode, durability).and_then(|()| fs::rename(&temporary, path)).map_err(
        |error| {
            let _ = fs::remove_file(&temporary);
            errno(error)
        },
    )?;
    match durability {
        Durability::Atomic => Ok(()),
        Durability::Durable => sync_directory(path),
    }
}

fn temporary_name(path: &Path) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
    name.push(format!(".{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(name))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    if durability == Durability::Durable { file.sync_all() } else { Ok(()) }
}

fn sync_directory(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(errno)
}

/// Reads a file of at most `limit` bytes that is a regular one, however it was opened.
///
/// # Errors
/// `EINVAL` where it is something else than a regular file, `EFBIG` where it is longer.
pub fn read_bounded(fd: OwnedFd, limit: u64) -> Result<Vec<u8>> {
    if kind_of(&fd)? != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let mut bytes = Vec::new();
    File::from(fd).take(limit + 1).read_to_end(&mut bytes).map_err(errno)?;
    if bytes.len() as u64 > limit { Err(Errno::FBIG) } else { Ok(bytes) }
}

/// An exclusive lock of this process on a file, held as long as the value lives.
///
/// It belongs to the process alone: a child that was forked and has not yet become its program does not have it, as it would
/// an open file's. Closing the same file elsewhere in the process gives it up, so no file may be locked twice.
#[derive(Debug)]
pub struct ProcessLock {
    _file: File,
}

impl ProcessLock {
    /// Takes a lock, on a file that is made where missing, if no other process holds it.
    ///
    /// # Errors
    /// `EWOULDBLOCK` where one does; else as `open(2)` and `fcntl(2)`.
    pub fn try_acquire(path: &Path) -> Result<Self> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(errno)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::ACCESS) => Err(Errno::WOULDBLOCK),
            Err(errno) => Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{WaitOptions, waitpid};

    use super::*;

    #[test]
    fn replaced_file_has_new_bytes_and_mode_and_leaves_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        fs::write(&path, "old").expect("write");
        write_atomic(&path, b"new", 0o640, Durability::Durable).expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"new");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    #[test]
    fn failed_write_leaves_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("taken");
        fs::create_dir(&path).expect("directory");
        write_atomic(&path, b"x", 0o600, Durability::Atomic).expect_err("a directory is in the way");
        assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
    }

    /// Whether another process can take the lock.
    fn is_free_to_others(path: &Path) -> bool {
        // SAFETY: the child makes system calls only; a path as short as the test's is not copied to the heap.
        match unsafe { libc::fork() } {
            0 => {
                let code = match ProcessLock::try_acquire(path) {
                    Ok(_) => 0,
                    Err(Errno::WOULDBLOCK) => 1,
                    Err(_) => 2,
                };
                // SAFETY: the call ends the process and takes a number.
                unsafe { libc::_exit(code) }
            }
            child => {
                let child = rustix::process::Pid::from_raw(child).expect("a child");
                let (_, status) = waitpid(Some(child), WaitOptions::empty()).expect("wait").expect("its end");
                let code = status.exit_status().expect("an exit code");
                assert!(code < 2, "the lock could not be tried");
                code == 0
            }
        }
    }

    #[test]
    fn held_lock_is_refused_to_others_and_dropped_lock_is_free() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("lock");
        let held = ProcessLock::try_acquire(&path).expect("free");
        assert!(!is_free_to_others(&path));
        drop(held);
        assert!(is_free_to_others(&path));
    }

    #[test]
    fn bounded_read_refuses_what_is_longer_or_no_file() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        fs::write(&path, "12345").expect("write");
        let open = |path: &Path| OwnedFd::from(File::open(path).expect("open"));
        assert_eq!(read_bounded(open(&path), 5).expect("fits"), b"12345");
        assert_eq!(read_bounded(open(&path), 4).expect_err("longer"), Errno::FBIG);
        assert_eq!(read_bounded(open(directory.path()), 4).expect_err("directory"), Errno::INVAL);
    }
}
