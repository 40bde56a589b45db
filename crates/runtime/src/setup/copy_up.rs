//! Fills a new tmpfs with what it is about to hide (`tmpcopyup`).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use sys::Errno;

use super::mounts::failure;
use crate::error::Error;
use crate::plan::mounts::MountPlan;

/// Copies a directory's owner, mode and content; never through a link, and nothing of other file systems below.
pub(super) fn fill(source: impl AsFd, target: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), Error> {
    copy(source.as_fd(), target, mount).map_err(|errno| failure(mount, "copy what it hides", errno))
}

fn copy(source: BorrowedFd<'_>, target: BorrowedFd<'_>, mount: &MountPlan) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = rustix::fs::openat(source, ".", flags, Mode::empty())?;
    let target = rustix::fs::openat(target, ".", flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&source)?;
    let is_given = |option: &str| mount.options.data.iter().any(|(key, _)| key == option);
    if !is_given("mode") {
        rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    if !is_given("uid") && !is_given("gid") {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::fchown(&target, Some(uid), Some(gid))?;
    }
    sys::copy::content(source, target)
}
