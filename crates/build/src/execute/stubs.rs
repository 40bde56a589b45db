//! Places for mounts: they are made in the layer where they are missing, and are no part of what the command did.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sys::Errno;

use crate::builder::Shared;
use crate::error::Error;
use crate::solve::Tree;

/// What was not there before a command.
#[derive(Debug, Default)]
pub(super) struct Stubs {
    /// Paths, the innermost first.
    missing: Vec<PathBuf>,
    /// Folders that were there, with the time of their last change.
    parents: Vec<(PathBuf, Timespec)>,
}

/// Looks which of these places are missing.
pub(super) fn missing(shared: &Shared, below: Option<&Tree>, targets: &[String]) -> Result<Stubs, Error> {
    let mut stubs = Stubs::default();
    if targets.is_empty() {
        return Ok(stubs);
    }
    let below = below.map_or(Ok(None), |below| below.open(shared, "what is below"))?;
    for target in targets {
        for place in Path::new(target).ancestors().filter(|place| *place != Path::new("/")) {
            let found = below.as_ref().map(|below| below.root().locate(place));
            match found {
                Some(Ok(place_of)) => {
                    // A link leads elsewhere: what is made there stays.
                    let stat = rustix::fs::fstat(&place_of).map_err(|errno| tree(place, errno))?;
                    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
                    stubs.parents.push((relative(place), time));
                    break;
                }
                Some(Err(Errno::NOENT)) | None => stubs.missing.push(relative(place)),
                Some(Err(errno)) => return Err(tree(place, errno)),
            }
        }
    }
    stubs.missing.sort_by_key(|place| std::cmp::Reverse(place.components().count()));
    stubs.missing.dedup();
    Ok(stubs)
}

fn tree(place: &Path, errno: Errno) -> Error {
    Error::Tree { what: place.display().to_string(), source: errno.into() }
}

fn relative(place: &Path) -> PathBuf {
    place.strip_prefix("/").unwrap_or(place).to_owned()
}

impl Stubs {
    /// Removes the places that are still empty, and gives the folders that had them their time back.
    pub(super) fn remove(&self, upper: &Path) -> Result<(), Error> {
        for place in &self.missing {
            remove_empty(&upper.join(place))?;
        }
        for (place, time) in &self.parents {
            let path = upper.join(place);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none()) {
                let times = Timestamps { last_access: *time, last_modification: *time };
                utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|errno| Error::io("set the time of", &path)(errno.into()))?;
            }
        }
        Ok(())
    }
}

/// Removes a folder or file that has nothing in it.
fn remove_empty(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_empty_file = metadata.is_file() && metadata.len() == 0 && metadata.nlink() == 1;
    if is_empty_file {
        return fs::remove_file(path).map_err(Error::io("remove", path));
    }
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::io("remove", path)(errno.into())),
    }
}
