//! `SOURCE_DATE_EPOCH`: nothing that a step makes is younger than it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::error::Error;

/// Sets the times of files that are younger back to this one, in seconds since 1970.
pub(super) fn clamp(folder: &Path, epoch: Option<i64>) -> Result<(), Error> {
    let Some(epoch) = epoch else { return Ok(()) };
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        let metadata = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(Error::io("read folder", &path))? {
                rest.push(entry.map_err(Error::io("read folder", &path))?.path());
            }
        }
        if (metadata.mtime(), metadata.mtime_nsec()) > (epoch, 0) {
            set_time(&path, epoch)?;
        }
    }
    Ok(())
}

fn set_time(path: &Path, epoch: i64) -> Result<(), Error> {
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| Error::io("set the time of", path)(errno.into()))
}
