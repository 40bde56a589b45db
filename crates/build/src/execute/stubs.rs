//! Places for mounts: they are made in the layer where they are missing, and are no part of what the command did.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, futimens, openat2, statat, unlinkat,
};
use sys::Errno;

use crate::builder::Shared;
use crate::error::Error;
use crate::solve::Tree;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

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
    ///
    /// The command could put links where folders were: nothing is touched that is only reached through one.
    pub(super) fn remove(&self, upper: &Path) -> Result<(), Error> {
        let root = rustix::fs::open(upper, FOLDER, Mode::empty())
            .map_err(|errno| Error::io("open", upper)(errno.into()))?;
        for place in &self.missing {
            remove_empty(&root, place).map_err(|errno| Error::io("remove", place)(errno.into()))?;
        }
        for (place, time) in &self.parents {
            reset_time(&root, place, *time)
                .map_err(|errno| Error::io("set the time of", place)(errno.into()))?;
        }
        Ok(())
    }
}

/// Removes a folder or file that has nothing in it.
fn remove_empty(root: &OwnedFd, place: &Path) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else { return Ok(()) };
    let Some(parent) = folder_beneath(root, parent)? else { return Ok(()) };
    let stat = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let is_empty_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_size == 0
        && stat.st_nlink == 1;
    let flags = if is_empty_file { AtFlags::empty() } else { AtFlags::REMOVEDIR };
    match unlinkat(&parent, name, flags) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::NOTDIR | Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Gives a folder that the layer only has because something was mounted in it the time that it had.
fn reset_time(root: &OwnedFd, place: &Path, time: Timespec) -> Result<(), Errno> {
    let Some(folder) = folder_beneath(root, place)? else { return Ok(()) };
    let mut entries = rustix::fs::Dir::read_from(&folder)?;
    let is_own = |name: &[u8]| name == b"." || name == b"..";
    if entries.any(|entry| !entry.is_ok_and(|entry| is_own(entry.file_name().to_bytes()))) {
        return Ok(());
    }
    futimens(&folder, &Timestamps { last_access: time, last_modification: time })
}

/// A folder of the layer; none where there is something else on the way to it.
fn folder_beneath(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match openat2(root, path, FOLDER, Mode::empty(), resolve) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn stubs(missing: &[&str], parents: &[&str]) -> Stubs {
        let time = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        Stubs {
            missing: missing.iter().map(PathBuf::from).collect(),
            parents: parents.iter().map(|place| (PathBuf::from(place), time)).collect(),
        }
    }

    #[test]
    fn empty_places_go_and_their_folder_has_its_time_again() {
        let upper = tempfile::tempdir().unwrap();
        fs::create_dir_all(upper.path().join("a/b")).unwrap();
        fs::write(upper.path().join("a/file"), "").unwrap();
        stubs(&["a/b", "a/file"], &["a"]).remove(upper.path()).unwrap();
        assert_eq!(fs::read_dir(upper.path().join("a")).unwrap().count(), 0);
        assert_eq!(fs::metadata(upper.path().join("a")).unwrap().mtime(), 1_000_000_000);
    }

    #[test]
    fn places_that_were_filled_stay() {
        let upper = tempfile::tempdir().unwrap();
        fs::create_dir_all(upper.path().join("a/b")).unwrap();
        fs::write(upper.path().join("a/b/kept"), "x").unwrap();
        fs::write(upper.path().join("a/file"), "x").unwrap();
        stubs(&["a/b", "a/file"], &["a"]).remove(upper.path()).unwrap();
        assert_eq!(fs::read(upper.path().join("a/b/kept")).unwrap(), b"x");
        assert_eq!(fs::read(upper.path().join("a/file")).unwrap(), b"x");
        assert_ne!(fs::metadata(upper.path().join("a")).unwrap().mtime(), 1_000_000_000);
    }

    #[test]
    fn link_that_the_command_put_on_the_way_is_not_followed() {
        let (upper, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("file"), "").unwrap();
        fs::create_dir(outside.path().join("folder")).unwrap();
        fs::create_dir(outside.path().join("parent")).unwrap();
        let before = fs::metadata(outside.path().join("parent")).unwrap();
        symlink(outside.path(), upper.path().join("x")).unwrap();
        symlink(outside.path().join("parent"), upper.path().join("y")).unwrap();
        stubs(&["x/file", "x/folder", "x/parent/../file"], &["x/parent", "y", "x"])
            .remove(upper.path())
            .unwrap();
        assert!(outside.path().join("file").exists() && outside.path().join("folder").exists());
        let after = fs::metadata(outside.path().join("parent")).unwrap();
        assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()));
    }
}
