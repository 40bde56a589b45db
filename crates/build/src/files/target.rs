//! The upper folder of a new layer, over what is below it: together they show what a container sees.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid};
use sys::Errno;
use sys::root::Root;

use super::error::{Error, absolute, write};
use super::look::open_folder;
use super::owner::Owner;
use super::picture::{Stamp, Time, below};
use super::resolve::{Found, Resolved, View, join, resolve};

pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The attribute of a folder that shows nothing of the layers below.
/// What names begin with that stand for deleted files in a layer.
const WHITEOUT: &[u8] = b".wh.";

/// Where files are copied to. Nobody else writes there.
pub(super) struct Target<'a> {
    pub(super) upper: OwnedFd,
    below: Option<&'a Root>,
    /// Times that folders get when all is made.
    times: Mutex<BTreeMap<Vec<u8>, Time>>,
}

/// A folder in the layer, below it, or both.
pub(super) struct Level {
    upper: Option<OwnedFd>,
    below: Option<OwnedFd>,
}

/// A folder that is in the layer by now.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: Vec<u8>,
    pub(super) shows: Shows,
}

/// Whether a folder shows what the layers below have in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Below,
    Nothing,
}

/// Folders that have to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Make {
    pub(super) permissions: u32,
    /// None: the superuser, and the group that the folder above gives.
    pub(super) owner: Option<Owner>,
}

impl View for Target<'_> {
    type Folder = Level;

    fn root(&self) -> Result<Level, Errno> {
        let upper = open_folder(self.upper.as_fd(), b"")?;
        let below = self.below.map(|below| open_folder(below.as_fd(), b"")).transpose()?;
        Ok(Level { upper: Some(upper), below })
    }

    fn child(&self, folder: &Level, _path: &[OsString], name: &OsStr) -> Result<Found<Level>, Errno> {
        let in_upper = folder.upper.as_ref().map_or(Ok(Found::Missing), |upper| entry(upper, name))?;
        let below = |only_folders: bool| match &folder.below {
            None => Ok(Found::Missing),
            Some(below) => match entry(below, name)? {
                Found::Link(_) | Found::Other if only_folders => Ok(Found::Missing),
                found => Ok(found),
            },
        };
        Ok(match in_upper {
            Found::Missing => match below(false)? {
                Found::Folder(fd) => Found::Folder(Level { upper: None, below: Some(fd) }),
                Found::Link(target) => Found::Link(target),
                Found::Other => Found::Other,
                Found::Missing => Found::Missing,
            },
            Found::Folder(upper) => {
                let below = match below(true)? {
                    Found::Folder(fd) if !sys::overlay::is_opaque(upper.as_fd())? => Some(fd),
                    _ => None,
                };
                Found::Folder(Level { upper: Some(upper), below })
            }
            Found::Link(target) => Found::Link(target),
            Found::Other => Found::Other,
        })
    }
}

impl<'a> Target<'a> {
    pub(super) fn new(upper: &Path, below: Option<&'a Root>) -> Result<Self, Error> {
        let opened = rustix::fs::open(upper, FOLDER, Mode::empty());
        Ok(Self { upper: opened.map_err(write("open", b""))?, below, times: Mutex::default() })
    }

    pub(super) fn below(&self) -> Option<&'a Root> {
        self.below
    }

    /// Follows a path, inside the root only.
    pub(super) fn resolve(&self, path: &str) -> Result<Resolved<Level>, Error> {
        resolve(self, OsStr::new(path)).map_err(|errno| match errno {
            Errno::NOTDIR => Error::NotFolder { path: path.to_owned() },
            errno => write("look up", path.as_bytes())(errno),
        })
    }

    /// Makes a folder with those above it, where they are missing; those that are below only come into the layer as they
    /// are there. No part of the path is a link.
    pub(super) fn folder(&self, path: &[OsString], make: Make) -> Result<Place, Error> {
        let mut level = self.root().map_err(write("open", b""))?;
        for (index, name) in path.iter().enumerate() {
            level = self.step(level, &join(&path[..index]), name, make)?;
        }
        let shows = if level.below.is_some() { Shows::Below } else { Shows::Nothing };
        Ok(Place { path: join(path), shows })
    }

    fn step(&self, folder: Level, parent: &[u8], name: &OsStr, make: Make) -> Result<Level, Error> {
        let path = below(parent, name.as_bytes());
        let failed = |errno| write("make", &path)(errno);
        let found = self.child(&folder, &[], name).map_err(failed)?;
        let upper = folder.upper.as_ref().expect("folders above are in the layer");
        match found {
            Found::Folder(level) if level.upper.is_some() => Ok(level),
            Found::Folder(Level { below: Some(original), .. }) => {
                let copy = self.copy_up(upper, name, &original, &path)?;
                Ok(Level { upper: Some(copy), below: Some(original) })
            }
            Found::Missing => {
                check_name(name.as_bytes(), || path.clone())?;
                rustix::fs::mkdirat(upper, name, Mode::RWXU).map_err(failed)?;
                let made = rustix::fs::openat(upper, name, FOLDER, Mode::empty()).map_err(failed)?;
                make.owner.map_or(Ok(()), |owner| set_owner(&made, owner)).map_err(failed)?;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(make.permissions)).map_err(failed)?;
                Ok(Level { upper: Some(made), below: None })
            }
            Found::Folder(_) | Found::Link(_) | Found::Other => {
                Err(Error::NotFolder { path: absolute(&path) })
            }
        }
    }

    /// Makes a folder in the layer that is as one below it.
    pub(super) fn copy_up(
        &self,
        upper: &OwnedFd,
        name: &OsStr,
        original: &OwnedFd,
        path: &[u8],
    ) -> Result<OwnedFd, Error> {
        let copied = || -> Result<(OwnedFd, Stamp), Errno> {
            rustix::fs::mkdirat(upper, name, Mode::RWXU)?;
            let copy = rustix::fs::openat(upper, name, FOLDER, Mode::empty())?;
            sys::copy::metadata(original, &copy)?;
            Ok((copy, Stamp::of(&rustix::fs::fstat(original)?)))
        };
        let (copy, stamp) = copied().map_err(write("copy up", path))?;
        self.set_time(path, stamp.modified);
        Ok(copy)
    }

    /// Says what time a folder gets in the end.
    pub(super) fn set_time(&self, path: &[u8], time: Time) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_vec(), time);
    }

    /// Forgets the times of a folder that is replaced, and of those in it.
    pub(super) fn forget_times(&self, path: &[u8]) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|known, _| {
            known.strip_prefix(path).is_none_or(|rest| !matches!(rest.first(), None | Some(b'/')))
        });
    }

    /// Gives folders their times, now that nothing more is made in them.
    pub(super) fn finish(self) -> Result<(), Error> {
        let times = self.times.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (path, time) in times.into_iter().filter(|(path, _)| !path.is_empty()) {
            let set = || {
                let parent = open_folder(self.upper.as_fd(), split(&path).0)?;
                let name = OsStr::from_bytes(split(&path).1);
                rustix::fs::utimensat(parent, name, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)
            };
            match set() {
                // An archive may have put something else in its place.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(write("set the time of", &path)(errno)),
            }
        }
        Ok(())
    }
}

/// What a name is in a folder.
fn entry(folder: &OwnedFd, name: &OsStr) -> Result<Found<OwnedFd>, Errno> {
    let stamp = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Found::Missing),
        stat => Stamp::of(&stat?),
    };
    Ok(match stamp.kind() {
        FileType::Directory => Found::Folder(rustix::fs::openat(folder, name, FOLDER, Mode::empty())?),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
            Found::Link(OsString::from_vec(target.into_bytes()))
        }
        _ if stamp.is_whiteout() => Found::Missing,
        _ => Found::Other,
    })
}

/// What kind of thing a name is in a folder.
pub(super) fn kind_of(folder: &OwnedFd, name: impl rustix::path::Arg) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        stat => Ok(Some(Stamp::of(&stat?)).filter(|stamp| !stamp.is_whiteout()).map(|stamp| stamp.kind())),
    }
}

pub(super) fn set_owner(file: impl AsFd, owner: Owner) -> Result<(), Errno> {
    rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

/// The time of the last change alone.
pub(super) fn timestamps(time: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) },
    }
}

/// Refuses a name that would delete something.
pub(super) fn check_name(name: &[u8], path: impl Fn() -> Vec<u8>) -> Result<(), Error> {
    if name.starts_with(WHITEOUT) { Err(Error::Whiteout { path: absolute(&path()) }) } else { Ok(()) }
}

/// A path's folder and name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
