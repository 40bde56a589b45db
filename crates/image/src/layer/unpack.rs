//! Making a tree from the entries of an archive: of a layer, or of any other files.
//!
//! In a layer Docker's whiteouts become overlayfs's: `.wh.name` a character device 0:0 called `name`, `.wh..wh..opq` the attribute
//! `trusted.overlay.opaque` on its folder; in other archives these names mean nothing. Everything else is made as it is written: owner, mode, times, attributes, links,
//! devices. The tree lies in folders that only root can enter.

use std::ffi::OsStr;
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::LayerError;
use super::limits::{Limits, SpaceGuard};
use super::root::{Root, clean, file_type, remove_all, split};
use crate::tar::{Entry, Kind, TarReader, Time, printable};

/// What the name of a file begins with that hides the rest of its name in the layers below.
pub(crate) const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// The name of a file that hides all of its folder in the layers below.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";
/// Attributes that overlayfs gives a meaning: a layer must not bring its own.
const OVERLAY_ATTRIBUTES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// What the entries are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A layer, which gets a folder of its own.
    Layer,
    /// Files that are added to a folder, which keeps what it is itself.
    Files {
        /// User and group that they are given, where it is not what the archive says.
        owner: Option<(u32, u32)>,
    },
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Bytes in its files; a file with several names counts once.
    pub(crate) size: u64,
    /// Entries it has.
    pub(crate) entries: u64,
}

/// Unpacks the archive into the folder `root`, which is empty where it is to be that of a layer.
pub(crate) fn unpack<R: BufRead>(
    root: OwnedFd,
    archive: &mut TarReader<R>,
    purpose: Purpose,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let mut unpacker = Unpacker {
        root: Root::new(root),
        purpose,
        space: SpaceGuard::default(),
        folder_times: Vec::new(),
        // Nobody knows what folders are there already.
        inherits_group: purpose != Purpose::Layer,
        done: Unpacked::default(),
    };
    while let Some(mut entry) = archive.next_entry()? {
        if let Purpose::Files { owner: Some(owner) } = purpose {
            (entry.uid, entry.gid) = owner;
        }
        unpacker.done.entries += 1;
        if unpacker.done.entries > limits.entries {
            return Err(LayerError::TooManyEntries(limits.entries));
        }
        unpacker.apply(&entry, archive)?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: Root,
    purpose: Purpose,
    space: SpaceGuard,
    /// Folders get their times last: every entry made in them changes these.
    folder_times: Vec<(Vec<u8>, Time)>,
    /// Whether some folder passes its group on, so that owners must be set even where they are root's.
    inherits_group: bool,
    done: Unpacked,
}

impl Unpacker {
    fn apply<R: BufRead>(&mut self, entry: &Entry, archive: &mut TarReader<R>) -> Result<(), LayerError> {
        let path = clean(&entry.path).ok_or_else(|| LayerError::Escape(printable(&entry.path)))?;
        if path.contains(&0) {
            return Err(LayerError::Name(printable(&entry.path)));
        }
        let (parent, name) = split(&path);
        match self.purpose {
            Purpose::Layer if name.is_empty() => return self.apply_to_root(entry),
            Purpose::Layer if name.starts_with(WHITEOUT) => return self.apply_whiteout(parent, name, &path),
            Purpose::Files { .. } if name.is_empty() => return Ok(()),
            _ => {}
        }
        match entry.kind {
            Kind::Regular => self.make_file(entry, parent, name, archive),
            Kind::Directory => self.make_folder(entry, &path),
            Kind::HardLink => self.make_hard_link(entry, parent, name),
            Kind::Symlink | Kind::Character | Kind::Block | Kind::Fifo => {
                self.make_special(entry, parent, name)
            }
        }
    }

    fn apply_to_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        if entry.kind != Kind::Directory {
            return Err(LayerError::Name(printable(&entry.path)));
        }
        self.folder_times.push((Vec::new(), entry.mtime));
        self.inherits_group |= entry.mode & 0o2000 != 0;
        let failed = failed("set attributes of", entry);
        set_open(self.root.fd(), entry, Owner::Set).map_err(failed)
    }

    fn apply_whiteout(&mut self, parent: &[u8], name: &[u8], path: &[u8]) -> Result<(), LayerError> {
        if name == OPAQUE {
            return self.make_opaque(parent);
        }
        if name.starts_with(WHITEOUT_META) {
            return Ok(()); // aufs's own book-keeping
        }
        self.make_whiteout(parent, &name[WHITEOUT.len()..], path)
    }

    fn make_opaque(&mut self, folder: &[u8]) -> Result<(), LayerError> {
        let failed = |errno| LayerError::Entry { action: "make opaque", path: printable(folder), errno };
        let fd = self.root.folder(folder).map_err(failed)?;
        rustix::fs::fsetxattr(fd, OPAQUE_ATTRIBUTE, b"y", XattrFlags::empty()).map_err(failed)
    }

    fn make_whiteout(&mut self, parent: &[u8], hidden: &[u8], path: &[u8]) -> Result<(), LayerError> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(LayerError::Whiteout(printable(path)));
        }
        let failed = |errno| LayerError::Entry { action: "make whiteout", path: printable(path), errno };
        let folder = self.root.folder(parent).map_err(failed)?;
        let name = OsStr::from_bytes(hidden);
        match rustix::fs::mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0) {
            // Whiteouts hide what is below, not what the layer itself brings; of a folder only the part below.
            Err(Errno::EXIST) => {
                if file_type(folder, name).map_err(failed)? == Some(FileType::Directory) {
                    let full =
                        if parent.is_empty() { hidden.to_vec() } else { [parent, b"/", hidden].concat() };
                    return self.make_opaque(&full);
                }
                Ok(())
            }
            other => other.map_err(failed),
        }
    }

    fn make_file<R: BufRead>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        archive: &mut TarReader<R>,
    ) -> Result<(), LayerError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let file =
            self.make(entry, parent, name, |folder, name| rustix::fs::openat(folder, name, flags, mode))?;
        self.write(entry, &file, archive)?;
        self.done.size += entry.size;
        let owner = self.owner(entry);
        let failed = failed("set attributes of", entry);
        set_open(file.as_fd(), entry, owner)
            .and_then(|()| rustix::fs::futimens(&file, &times(entry.mtime)))
            .map_err(failed)
    }

    fn write<R: BufRead>(
        &mut self,
        entry: &Entry,
        file: &OwnedFd,
        archive: &mut TarReader<R>,
    ) -> Result<(), LayerError> {
        let whole = [crate::tar::Segment { offset: 0, length: entry.size }];
        let mut segments = entry.sparse.as_deref().unwrap_or(&whole).iter();
        let mut segment = segments.next().copied();
        archive.copy_contents(|mut piece| {
            while !piece.is_empty() {
                let Some(current) = segment.as_mut() else { return Ok(()) };
                if current.length == 0 {
                    segment = segments.next().copied();
                    continue;
                }
                let count = piece.len().min(usize::try_from(current.length).unwrap_or(usize::MAX));
                self.space.reserve(file.as_fd(), count as u64)?;
                write_all_at(file, &piece[..count], current.offset).map_err(failed("write", entry))?;
                current.offset += count as u64;
                current.length -= count as u64;
                piece = &piece[count..];
            }
            Ok::<(), LayerError>(())
        })?;
        if entry.sparse.is_some() {
            rustix::fs::ftruncate(file, entry.size).map_err(failed("set length of", entry))?;
        }
        Ok(())
    }

    fn make_folder(&mut self, entry: &Entry, path: &[u8]) -> Result<(), LayerError> {
        let (parent, name) = split(path);
        let failed = failed("make folder", entry);
        let folder = self.root.folder(parent).map_err(failed)?;
        let name = OsStr::from_bytes(name);
        if let Err(errno) = rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
            if errno != Errno::EXIST {
                return Err(failed(errno));
            }
            let existing = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
            if FileType::from_raw_mode(existing.st_mode) != FileType::Directory {
                // A whiteout and then a folder of that name: the folder shows nothing of what is below.
                let is_whiteout = self.purpose == Purpose::Layer
                    && FileType::from_raw_mode(existing.st_mode) == FileType::CharacterDevice
                    && existing.st_rdev == 0;
                rustix::fs::unlinkat(folder, name, AtFlags::empty()).map_err(failed)?;
                rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)).map_err(failed)?;
                self.root.forget();
                if is_whiteout {
                    self.make_opaque(path)?;
                }
            }
        }
        self.inherits_group |= entry.mode & 0o2000 != 0;
        self.folder_times.push((path.to_vec(), entry.mtime));
        let folder = self.root.folder(path).map_err(failed)?;
        set_open(folder, entry, Owner::Set).map_err(failed)
    }

    fn make_hard_link(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), LayerError> {
        let target = clean(&entry.link).ok_or_else(|| LayerError::Escape(printable(&entry.link)))?;
        if target.is_empty() || target.contains(&0) {
            return Err(LayerError::Name(printable(&entry.link)));
        }
        let (target_parent, target_name) = split(&target);
        let failed = failed("make hard link", entry);
        let target_folder = self.root.existing(target_parent).map_err(failed)?;
        let target_name = OsStr::from_bytes(target_name);
        // A link to itself must not remove what it links to.
        let folder = self.root.folder(parent).map_err(failed)?;
        if same_file(target_folder.as_fd(), target_name, folder, OsStr::from_bytes(name)).map_err(failed)? {
            return Ok(());
        }
        self.make(entry, parent, name, |folder, name| {
            rustix::fs::linkat(&target_folder, target_name, folder, name, AtFlags::empty())
        })
    }

    fn make_special(&mut self, entry: &Entry, parent: &[u8], name: &[u8]) -> Result<(), LayerError> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        if entry.kind == Kind::Symlink && (entry.link.is_empty() || entry.link.contains(&0)) {
            return Err(LayerError::Name(printable(&entry.link)));
        }
        self.make(entry, parent, name, |folder, name| match entry.kind {
            Kind::Symlink => rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), folder, name),
            Kind::Character => rustix::fs::mknodat(folder, name, FileType::CharacterDevice, mode, device),
            Kind::Block => rustix::fs::mknodat(folder, name, FileType::BlockDevice, mode, device),
            _ => rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0),
        })?;
        let owner = self.owner(entry);
        let failed = failed("set attributes of", entry);
        let folder = self.root.folder(parent).map_err(failed)?;
        set_named(folder, OsStr::from_bytes(name), entry, owner).map_err(failed)
    }

    /// Makes one name with `make`, after removing what has it already.
    fn make<T>(
        &mut self,
        entry: &Entry,
        parent: &[u8],
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, LayerError> {
        let failed = failed("make", entry);
        let name = OsStr::from_bytes(name);
        let folder = self.root.folder(parent).map_err(failed)?;
        match make(folder, name) {
            Err(Errno::EXIST) => {}
            other => return other.map_err(failed),
        }
        remove_all(folder, name).map_err(failed)?;
        self.root.forget();
        let folder = self.root.folder(parent).map_err(failed)?;
        make(folder, name).map_err(failed)
    }

    /// What we make is root's already.
    fn owner(&self, entry: &Entry) -> Owner {
        if entry.uid == 0 && entry.gid == 0 && !self.inherits_group { Owner::IsRoot } else { Owner::Set }
    }

    fn finish(self) -> Result<Unpacked, LayerError> {
        // Later entries of the same folder win; and a folder may have been replaced by something else since.
        for (path, time) in &self.folder_times {
            match self.root.existing(path) {
                Ok(folder) => rustix::fs::futimens(&folder, &times(*time)).map_err(|errno| {
                    LayerError::Entry { action: "set times of", path: printable(path), errno }
                })?,
                Err(_) => continue,
            }
        }
        Ok(self.done)
    }
}

/// Whether the owner of something just made has to be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    IsRoot,
    Set,
}

fn failed<'a>(action: &'static str, entry: &'a Entry) -> impl Fn(Errno) -> LayerError + Copy + 'a {
    move |errno| LayerError::Entry { action, path: printable(&entry.path), errno }
}

/// Owner first: changing it clears set-user-ID bits and capabilities.
fn set_open(fd: BorrowedFd<'_>, entry: &Entry, owner: Owner) -> Result<(), Errno> {
    if owner == Owner::Set {
        rustix::fs::fchown(fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode))?;
    set_attributes(entry, |name, value| rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()))
}

fn set_named(folder: BorrowedFd<'_>, name: &OsStr, entry: &Entry, owner: Owner) -> Result<(), Errno> {
    if owner == Owner::Set {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if entry.kind != Kind::Symlink {
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    if !entry.xattrs.is_empty() {
        // There is no call for a name in a folder before Linux 6.13; our own descriptor stands for the folder.
        let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.as_bytes());
        set_attributes(entry, |name, value| {
            rustix::fs::lsetxattr(&path[..], name, value, XattrFlags::empty())
        })?;
    }
    rustix::fs::utimensat(folder, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn set_attributes(entry: &Entry, set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
    for (name, value) in &entry.xattrs {
        if OVERLAY_ATTRIBUTES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match set(name, value) {
            // As Docker: a file system without them, or `user.` on what cannot have them, does not make an image useless.
            Err(Errno::OPNOTSUPP) => warn_attribute(entry, name),
            Err(Errno::PERM) if name.starts_with(b"user.") => warn_attribute(entry, name),
            other => other?,
        }
    }
    Ok(())
}

fn warn_attribute(entry: &Entry, name: &[u8]) {
    tracing::warn!(
        path = printable(&entry.path),
        attribute = printable(name),
        "extended attribute is not supported by the file system and is left out"
    );
}

fn same_file(a: BorrowedFd<'_>, a_name: &OsStr, b: BorrowedFd<'_>, b_name: &OsStr) -> Result<bool, Errno> {
    let stat = |folder, name| match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    };
    let existing = stat(b, b_name)?;
    Ok(existing.is_some() && existing == stat(a, a_name)?)
}

fn write_all_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn times(time: Time) -> Timestamps {
    let moment = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: moment, last_modification: moment }
}
