//! Fills a new tmpfs with what it is about to hide (`tmpcopyup`).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use sys::Errno;

use super::mounts::failure;
use crate::error::Error;
use crate::plan::mounts::MountPlan;

/// Copies a directory's owner, mode and content; never through a link, and nothing of other file systems below.
pub(super) fn fill(source: impl AsFd, target: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), Error> {
    let result = open_directory(source.as_fd(), ".").and_then(|source| {
        let stat = rustix::fs::fstat(&source)?;
        if !mount.options.data.iter().any(|(key, _)| key == "mode") {
            rustix::fs::chmodat(target, ".", mode_of(&stat), AtFlags::empty())?;
        }
        if !mount.options.data.iter().any(|(key, _)| key == "uid" || key == "gid") {
            own(target, ".", &stat)?;
        }
        copy_directory(source.as_fd(), target, stat.st_dev)
    });
    result.map_err(|errno| failure(mount, "copy what it hides", errno))
}

fn open_directory(parent: BorrowedFd<'_>, name: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn mode_of(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn own(parent: BorrowedFd<'_>, name: impl rustix::path::Arg, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

fn copy_directory(source: BorrowedFd<'_>, target: BorrowedFd<'_>, device: u64) -> Result<(), Errno> {
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(source, target, name, device)?;
        }
    }
    Ok(())
}

fn copy_entry(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    device: u64,
) -> Result<(), Errno> {
    let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(target, name, Mode::RWXU)?;
            let below = rustix::fs::openat(source, name, read | OFlags::DIRECTORY, Mode::empty())?;
            let copy = rustix::fs::openat(target, name, read | OFlags::DIRECTORY, Mode::empty())?;
            if stat.st_dev == device {
                copy_directory(below.as_fd(), copy.as_fd(), device)?;
            }
        }
        FileType::RegularFile => {
            let file = rustix::fs::openat(source, name, read, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let copy = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
            std::io::copy(&mut std::fs::File::from(file), &mut std::fs::File::from(copy))
                .map_err(sys::process::errno)?;
        }
        FileType::Symlink => {
            let to = rustix::fs::readlinkat(source, name, Vec::new())?;
            rustix::fs::symlinkat(&to, target, name)?;
        }
        kind => rustix::fs::mknodat(target, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
    }
    copy_metadata(target, name, kind, &stat)
}

fn copy_metadata(
    target: BorrowedFd<'_>,
    name: &std::ffi::CStr,
    kind: FileType,
    stat: &Stat,
) -> Result<(), Errno> {
    own(target, name, stat)?;
    if kind != FileType::Symlink {
        // After the owner, whose change takes set-user-ID bits away.
        rustix::fs::chmodat(target, name, mode_of(stat), AtFlags::empty())?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
    };
    rustix::fs::utimensat(target, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
