//! Copies of what was looked at, into the upper folder of a layer.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use sys::Errno;

use super::content::{self, SMALL};
use super::earlier::{Earlier, EarlierFolder};
use super::error::{Error, absolute, text, write};
use super::look::open_folder;
use super::owner::{Owner, SUPERUSER};
use super::permissions::{self, Subject};
use super::picture::{Entry, Folder, Membership, Picture, Stamp, Time, What, below};
use super::pool::{self, Queue};
use super::target::{Place, Shows, Target, check_name, kind_of, set_owner, timestamps};
use super::{Origin, transfer};

/// Entries of a folder that one thread copies in one go.
const PART: usize = 128;

/// A copy of one picture.
pub(super) struct Copier<'a> {
    pub(super) target: &'a Target<'a>,
    pub(super) picture: &'a Picture,
    /// The folder that the picture is of, and its path in its tree.
    pub(super) source: BorrowedFd<'a>,
    pub(super) path: &'a [u8],
    pub(super) origin: Origin,
    pub(super) place: Place,
    /// What a single file is called in the layer.
    pub(super) name: Option<CString>,
    pub(super) settings: &'a Settings<'a>,
}

/// What is the same for all that an instruction copies.
pub(super) struct Settings<'a> {
    pub(super) owner: Option<Owner>,
    pub(super) mode: Option<&'a dockerfile::plan::Mode>,
    pub(super) earlier: Option<Earlier<'a>>,
    /// What has a later time gets this one.
    pub(super) latest: Option<Time>,
    /// Permissions that the system takes from what is made.
    pub(super) umask: u32,
}

impl Settings<'_> {
    fn time(&self, stamp: &Stamp) -> Time {
        self.latest.map_or(stamp.modified, |latest| latest.min(stamp.modified))
    }
}

enum Job {
    Folder { index: usize, shows: Shows, is_new: bool },
    Part { folder: Arc<Opened>, range: Range<usize> },
}

struct Opened {
    index: usize,
    source: OwnedFd,
    upper: OwnedFd,
    below: Option<OwnedFd>,
    earlier: Option<EarlierFolder>,
    /// What is made in it gets its group.
    gives_group: bool,
}

/// What a copy is to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) permissions: u32,
    pub(super) owner: Owner,
    pub(super) time: Time,
}

/// A further name of a file that is copied under its first one: folder and entry of both.
struct Further {
    first: (usize, usize),
    further: (usize, usize),
}

impl Copier<'_> {
    /// Copies all of the picture.
    pub(super) fn copy(&self) -> Result<(), Error> {
        let further = further_names(self.picture);
        let skipped: HashSet<(usize, usize)> = further.iter().map(|name| name.further).collect();
        let first = Job::Folder { index: 0, shows: self.place.shows, is_new: false };
        let buffer = || vec![0; SMALL + 1];
        pool::run(first, buffer, |buffer, job, queue| match job {
            Job::Folder { index, shows, is_new } => self.enter(index, shows, is_new, queue),
            Job::Part { folder, range } => self.part(&folder, range, &skipped, buffer, queue),
        })?;
        further.iter().try_for_each(|further| self.link(further))
    }

    fn enter(&self, index: usize, shows: Shows, is_new: bool, queue: &Queue<Job>) -> Result<(), Error> {
        let folder = &self.picture.folders[index];
        let place = below(&self.place.path, &folder.path);
        let failed = |errno| write("open", &place)(errno);
        let source = open_folder(self.source, &folder.path).map_err(|_| self.changed(&folder.path))?;
        let upper = open_folder(self.target.upper.as_fd(), &place).map_err(failed)?;
        let lower = match self.target.below() {
            Some(root) if shows == Shows::Below => Some(open_folder(root.as_fd(), &place).map_err(failed)?),
            _ => None,
        };
        self.set_metadata(index, folder, &source, &upper, is_new).map_err(write("make", &place))?;
        if self.name.is_none() && (index == 0 || is_new || folder.membership == Membership::Selected) {
            self.target.set_time(&place, self.settings.time(&folder.stamp));
        }
        let gives_group = content::stamp_of(&upper).map_err(failed)?.permissions() & 0o2000 != 0;
        let earlier = self.settings.earlier.as_ref().and_then(|earlier| earlier.folder(&place));
        let opened = Arc::new(Opened { index, source, upper, below: lower, earlier, gives_group });
        let count = folder.entries.len();
        queue.add((0..count).step_by(PART).map(|start| {
            let range = start..(start + PART).min(count);
            Job::Part { folder: Arc::clone(&opened), range }
        }));
        Ok(())
    }

    /// The folder that was named itself stays as it is; so do, but for their permissions, those that are there and are not
    /// selected.
    fn set_metadata(
        &self,
        index: usize,
        folder: &Folder,
        source: &OwnedFd,
        upper: &OwnedFd,
        is_new: bool,
    ) -> Result<(), Errno> {
        if index == 0 {
            return Ok(());
        }
        if folder.membership == Membership::Parent && !is_new {
            return rustix::fs::fchmod(upper, Mode::from_raw_mode(folder.stamp.permissions()));
        }
        let wanted = self.wanted(&folder.stamp, Subject::Folder);
        set_owner(upper, wanted.owner)?;
        rustix::fs::fchmod(upper, Mode::from_raw_mode(wanted.permissions))?;
        if folder.has_attributes {
            sys::attributes::set(upper.as_fd(), &sys::attributes::read(source.as_fd())?)?;
        }
        Ok(())
    }

    fn wanted(&self, stamp: &Stamp, subject: Subject) -> Wanted {
        let own = match self.origin {
            Origin::Context => SUPERUSER,
            Origin::Layers => Owner { uid: stamp.uid, gid: stamp.gid },
        };
        let permissions = stamp.permissions();
        let permissions =
            self.settings.mode.map_or(permissions, |mode| permissions::apply(mode, permissions, subject));
        Wanted { permissions, owner: self.settings.owner.unwrap_or(own), time: self.settings.time(stamp) }
    }

    fn part(
        &self,
        folder: &Opened,
        range: Range<usize>,
        skipped: &HashSet<(usize, usize)>,
        buffer: &mut [u8],
        queue: &Queue<Job>,
    ) -> Result<(), Error> {
        let whole = &self.picture.folders[folder.index];
        for at in range.filter(|at| !skipped.contains(&(folder.index, *at))) {
            let entry = &whole.entries[at];
            let name = self.name.as_deref().unwrap_or(&entry.name);
            check_name(name.to_bytes(), || self.place_of(whole, name))?;
            match &entry.what {
                What::Folder => queue.add([self.folder(folder, whole, entry)?]),
                What::File { .. } => self.file(folder, entry, name, buffer)?,
                What::Link { stamp, target } => {
                    let wanted = self.wanted(stamp, Subject::File);
                    let make = || rustix::fs::symlinkat(target, &folder.upper, name);
                    self.make(folder, name, make)?;
                    self.set_special(folder, name, wanted, None)?;
                }
                What::Node { stamp } => {
                    let wanted = self.wanted(stamp, Subject::File);
                    let mode = Mode::from_raw_mode(wanted.permissions);
                    let make = || rustix::fs::mknodat(&folder.upper, name, stamp.kind(), mode, stamp.node);
                    self.make(folder, name, make)?;
                    self.set_special(folder, name, wanted, Some(mode))?;
                }
            }
        }
        Ok(())
    }

    /// Makes a folder, or takes the one that is there.
    fn folder(&self, parent: &Opened, whole: &Folder, entry: &Entry) -> Result<Job, Error> {
        let path = below(&whole.path, entry.name.as_bytes());
        let place = below(&self.place.path, &path);
        let failed = |errno| write("make", &place)(errno);
        let in_the_way = || Error::NotFolder { path: absolute(&place) };
        let index = self.picture.find(&path).expect("each folder of a picture is in it");
        let name = OsStr::from_bytes(entry.name.as_bytes());
        let lower = parent.below.as_ref().map_or(Ok(None), |lower| kind_of(lower, name)).map_err(failed)?;
        match kind_of(&parent.upper, name).map_err(failed)? {
            Some(FileType::Directory) => {
                let there = open_folder(parent.upper.as_fd(), name.as_bytes()).map_err(failed)?;
                let shows = match lower {
                    Some(FileType::Directory)
                        if !sys::overlay::is_opaque(there.as_fd()).map_err(failed)? =>
                    {
                        Shows::Below
                    }
                    _ => Shows::Nothing,
                };
                Ok(Job::Folder { index, shows, is_new: false })
            }
            Some(_) => Err(in_the_way()),
            None => match (lower, &parent.below) {
                (Some(FileType::Directory), Some(folder)) => {
                    let original = open_folder(folder.as_fd(), name.as_bytes()).map_err(failed)?;
                    self.target.copy_up(&parent.upper, name, &original, &place)?;
                    Ok(Job::Folder { index, shows: Shows::Below, is_new: false })
                }
                (Some(_), _) => Err(in_the_way()),
                _ => {
                    rustix::fs::mkdirat(&parent.upper, name, Mode::RWXU).map_err(failed)?;
                    Ok(Job::Folder { index, shows: Shows::Nothing, is_new: true })
                }
            },
        }
    }

    /// Makes what is no folder, in place of what is there and is none either.
    fn make<T>(
        &self,
        folder: &Opened,
        name: &CStr,
        make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let place = || self.place_of(&self.picture.folders[folder.index], name);
        self.try_make(folder, name, make)?.map_err(|errno| write("make", &place())(errno))
    }

    /// The same, with what the system says in the end.
    fn try_make<T>(
        &self,
        folder: &Opened,
        name: &CStr,
        mut make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<Result<T, Errno>, Error> {
        let place = || self.place_of(&self.picture.folders[folder.index], name);
        let is_folder = |parent| {
            Ok(kind_of(parent, name).map_err(|errno| write("look up", &place())(errno))?
                == Some(FileType::Directory))
        };
        let refused = || Error::IsFolder { path: absolute(&place()) };
        match make() {
            Err(Errno::EXIST) if is_folder(&folder.upper)? => Err(refused()),
            Err(Errno::EXIST) => {
                let removed = rustix::fs::unlinkat(&folder.upper, name, AtFlags::empty());
                removed.map_err(write("remove", &place()))?;
                Ok(make())
            }
            Ok(made) => match &folder.below {
                Some(below) if is_folder(below)? => Err(refused()),
                _ => Ok(Ok(made)),
            },
            Err(errno) => Ok(Err(errno)),
        }
    }

    fn file(&self, folder: &Opened, entry: &Entry, name: &CStr, buffer: &mut [u8]) -> Result<(), Error> {
        let What::File { stamp, has_attributes, content, is_recent } = &entry.what else { return Ok(()) };
        let wanted = self.wanted(stamp, Subject::File);
        if !has_attributes && self.take_earlier(folder, entry, name, &wanted, stamp.size)? {
            return Ok(());
        }
        let path = || below(&self.picture.folders[folder.index].path, entry.name.as_bytes());
        let changed = || self.changed(&path());
        let failed = |errno| match errno {
            Errno::NOENT | Errno::LOOP | Errno::NXIO => changed(),
            errno => super::error::read("read", &below(self.path, &path()))(errno),
        };
        let source = content::open(folder.source.as_fd(), &entry.name).map_err(failed)?;
        let attributes = match has_attributes {
            true => sys::attributes::read(source.as_fd()).map_err(failed)?,
            false => Vec::new(),
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || {
            rustix::fs::openat(&folder.upper, name, flags, Mode::from_raw_mode(wanted.permissions & 0o777))
        };
        let place = || self.place_of(&self.picture.folders[folder.index], name);
        let copy = match usize::try_from(stamp.size) {
            Ok(size) if size <= SMALL => {
                let length = content::read_small(&source, &mut buffer[..=size]).map_err(failed)?;
                let copy = self.make(folder, name, create)?;
                transfer::write_all(&copy, &buffer[..length])
                    .map_err(|errno| write("write", &place())(errno))?;
                copy
            }
            _ => {
                let copy = self.make(folder, name, create)?;
                transfer::large(&source, &copy, stamp.size, buffer)
                    .map_err(|errno| write("write", &place())(errno))?;
                copy
            }
        };
        // What was there when it was looked at, and until it was read, is what was read.
        if !self.is_same(&content::stamp_of(&source).map_err(failed)?, stamp) {
            return Err(changed());
        }
        self.set_file(folder, &copy, &wanted, &attributes).map_err(|errno| write("make", &place())(errno))?;
        if *is_recent {
            let copied = content::hash(&copy, stamp.size, buffer);
            let (copied, _) = copied.map_err(|errno| write("read", &place())(errno))?;
            if copied != *content {
                return Err(changed());
            }
        }
        Ok(())
    }

    /// Gives a new file its owner, permissions, attributes and time.
    fn set_file(
        &self,
        folder: &Opened,
        copy: &OwnedFd,
        wanted: &Wanted,
        attributes: &[sys::attributes::Attribute],
    ) -> Result<(), Errno> {
        let changes_owner = wanted.owner != SUPERUSER || folder.gives_group;
        if changes_owner {
            set_owner(copy, wanted.owner)?;
        }
        // After the owner, whose change takes set-user-ID bits and capabilities away.
        if wanted.permissions & (0o7000 | self.settings.umask) != 0 {
            rustix::fs::fchmod(copy, Mode::from_raw_mode(wanted.permissions))?;
        }
        sys::attributes::set(copy.as_fd(), attributes)?;
        rustix::fs::futimens(copy, &timestamps(wanted.time))
    }

    /// Whether a file is as it was looked at. Nobody changes layers; a name more that their files get is no change.
    fn is_same(&self, now: &Stamp, then: &Stamp) -> bool {
        match self.origin {
            Origin::Context => now == then,
            Origin::Layers => now.is_same_but_for_names(then),
        }
    }

    /// Gives a link, device or pipe its owner, permissions and time.
    fn set_special(
        &self,
        folder: &Opened,
        name: &CStr,
        wanted: Wanted,
        mode: Option<Mode>,
    ) -> Result<(), Error> {
        let set = || {
            let Owner { uid, gid } = wanted.owner;
            let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::chownat(&folder.upper, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            if let Some(mode) = mode {
                rustix::fs::chmodat(&folder.upper, name, mode, AtFlags::empty())?;
            }
            rustix::fs::utimensat(&folder.upper, name, &timestamps(wanted.time), AtFlags::SYMLINK_NOFOLLOW)
        };
        set().map_err(|errno| write("make", &self.place_of(&self.picture.folders[folder.index], name))(errno))
    }

    /// Takes a file of an earlier result, where that is the same.
    fn take_earlier(
        &self,
        folder: &Opened,
        entry: &Entry,
        name: &CStr,
        wanted: &Wanted,
        size: u64,
    ) -> Result<bool, Error> {
        let Some(earlier) = &folder.earlier else { return Ok(false) };
        if !earlier.take(name, &entry.hash, wanted, size) {
            return Ok(false);
        }
        let link = || rustix::fs::linkat(earlier.folder(), name, &folder.upper, name, AtFlags::empty());
        // Whatever is against it: a copy is as good.
        Ok(self.try_make(folder, name, link)?.is_ok())
    }

    /// Gives a file that was copied a further name.
    fn link(&self, further: &Further) -> Result<(), Error> {
        let place = |(folder, entry): (usize, usize)| {
            let folder = &self.picture.folders[folder];
            let at = below(&self.place.path, &folder.path);
            (at, folder.entries[entry].name.as_c_str())
        };
        let ((from, first), (to, name)) = (place(further.first), place(further.further));
        let linked = || -> Result<Option<Error>, Errno> {
            let from = open_folder(self.target.upper.as_fd(), &from)?;
            let into = open_folder(self.target.upper.as_fd(), &to)?;
            if kind_of(&into, name)? == Some(FileType::Directory) || self.is_folder_below(&to, name)? {
                return Ok(Some(Error::IsFolder { path: absolute(&below(&to, name.to_bytes())) }));
            }
            match rustix::fs::unlinkat(&into, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            rustix::fs::linkat(&from, first, &into, name, AtFlags::empty()).map(|()| None)
        };
        check_name(name.to_bytes(), || below(&to, name.to_bytes()))?;
        linked().map_err(write("link", &below(&to, name.to_bytes())))?.map_or(Ok(()), Err)
    }

    /// Whether a folder below the layer shows through under a name.
    fn is_folder_below(&self, folder: &[u8], name: &CStr) -> Result<bool, Errno> {
        let Some(root) = self.target.below().filter(|_| self.place.shows == Shows::Below) else {
            return Ok(false);
        };
        match open_folder(root.as_fd(), folder) {
            Ok(folder) => Ok(kind_of(&folder, name)? == Some(FileType::Directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn place_of(&self, folder: &Folder, name: &CStr) -> Vec<u8> {
        below(&below(&self.place.path, &folder.path), name.to_bytes())
    }

    fn changed(&self, path: &[u8]) -> Error {
        Error::Changed { path: text(&below(self.path, path)) }
    }
}

/// The names of files that a picture has under another name already.
fn further_names(picture: &Picture) -> Vec<Further> {
    let mut firsts = HashMap::new();
    let mut further = Vec::new();
    for (at, folder) in picture.folders.iter().enumerate() {
        for (index, entry) in folder.entries.iter().enumerate() {
            if let What::File { stamp, .. } = &entry.what
                && stamp.links > 1
            {
                let first = *firsts.entry((stamp.device, stamp.inode)).or_insert((at, index));
                if first != (at, index) {
                    further.push(Further { first, further: (at, index) });
                }
            }
        }
    }
    further
}
