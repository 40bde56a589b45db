//! A tree as a tar: sorted by name, with everything that a file system keeps of a file.

use std::collections::HashMap;
use std::io::Write;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::content::{Copier, segments};
use super::walk::{Item, Walk};
use super::{TreeError, failed, file_type, is_whiteout};
use crate::layer::{OPAQUE, WHITEOUT, split};
use crate::tar::writer::{END, EntryHeader, padding, sparse_map};
use crate::tar::{Kind, Segment, Time};

/// What a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// All files that a container sees. Long holes stay holes.
    Root,
    /// A layer over others: what an overlay keeps of deletions becomes whiteouts. Holes are filled: the specification of
    /// images wants them so.
    Layer,
}

impl Form {
    /// An entry without contents. Times in layers are whole seconds, as every engine makes them: the fraction would cost a
    /// record of its own for each file.
    fn header<'a>(self, path: &'a [u8], kind: Kind, stat: &Stat) -> EntryHeader<'a> {
        let nanoseconds = match self {
            Self::Root => u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            Self::Layer => 0,
        };
        EntryHeader {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Time { seconds: stat.st_mtime, nanoseconds },
            kind,
            ..EntryHeader::file(path, 0)
        }
    }
}

/// Writes the files of a root file system, without what is mounted in it, as a tar.
///
/// Owners, modes, times to the nanosecond, extended attributes, links, devices and pipes are in it; sockets are not, for a
/// tar has none. The same tree has the same bytes.
///
/// # Errors
/// When something cannot be read, or `out` fails.
pub fn write_root(root: OwnedFd, out: &mut dyn Write) -> Result<(), TreeError> {
    write(root, Form::Root, out).map(drop)
}

/// Writes the tree of a writable layer as the tar of an image's layer, and tells how many bytes are in its files.
pub(crate) fn write_layer(upper: OwnedFd, out: &mut dyn Write) -> Result<u64, TreeError> {
    write(upper, Form::Layer, out)
}

fn write(root: OwnedFd, form: Form, out: &mut dyn Write) -> Result<u64, TreeError> {
    let mut walk = Walk::new(root)?;
    let mut archive = Archive::new(form, out);
    while let Some(item) = walk.step()? {
        archive.add(&item)?;
    }
    archive.finish()
}

/// Files with several names that are in an archive already, by device and inode.
pub(super) type Linked = HashMap<(u64, u64), Vec<u8>>;

/// An archive in the making.
pub(super) struct Archive<'a, W: Write + ?Sized> {
    form: Form,
    pub(super) out: &'a mut W,
    linked: Linked,
    copier: Copier,
    /// Bytes in the files that were added.
    pub(super) size: u64,
}

impl<'a, W: Write + ?Sized> Archive<'a, W> {
    fn new(form: Form, out: &'a mut W) -> Self {
        Self { form, out, linked: HashMap::new(), copier: Copier::default(), size: 0 }
    }

    /// One of a layer that has entries already: these files with several names, and so many bytes in files.
    pub(super) fn of_layer(out: &'a mut W, linked: Linked, size: u64) -> Self {
        Self { linked, size, ..Self::new(Form::Layer, out) }
    }

    /// Ends it, and tells how many bytes are in its files.
    pub(super) fn finish(mut self) -> Result<u64, TreeError> {
        self.put(&END)?;
        Ok(self.size)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.out.write_all(bytes).map_err(TreeError::Write)
    }

    pub(super) fn add(&mut self, item: &Item) -> Result<Added, TreeError> {
        if is_whiteout(&item.stat) {
            return self.add_whiteout(item).map(|()| Added::Yes);
        }
        let kind = match item.kind() {
            FileType::RegularFile => Kind::Regular,
            FileType::Directory => return self.add_folder(item).map(|()| Added::Yes),
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(Added::No),
        };
        if item.stat.st_nlink > 1 {
            let file = (item.stat.st_dev, item.stat.st_ino);
            if let Some(first) = self.linked.get(&file) {
                let header =
                    EntryHeader { link: first, ..self.form.header(&item.path, Kind::HardLink, &item.stat) };
                return self.put(&header.blocks()).map(|()| Added::Yes);
            }
            self.linked.insert(file, item.path.clone());
        }
        let added = match kind {
            Kind::Regular => self.add_file(item),
            _ => self.add_special(item, kind),
        };
        // What is gone by now cannot be linked to.
        if matches!(added, Ok(Added::No)) {
            self.linked.remove(&(item.stat.st_dev, item.stat.st_ino));
        }
        added
    }

    /// In a root file system there is none: an overlay shows only what it leaves.
    fn add_whiteout(&mut self, item: &Item) -> Result<(), TreeError> {
        if self.form == Form::Root {
            return Ok(());
        }
        let (parent, name) = split(&item.path);
        let name = [WHITEOUT, name].concat();
        let path = if parent.is_empty() { name } else { [parent, b"/", &name].concat() };
        self.put(&marker(&path, &item.stat).blocks())
    }

    fn add_folder(&mut self, item: &Item) -> Result<(), TreeError> {
        let path = [&item.path[..], b"/"].concat();
        let Some(folder) = &item.folder else { return Ok(()) };
        let xattrs =
            sys::attributes::read(folder.as_fd()).map_err(failed("read attributes of", &item.path))?;
        let header = EntryHeader { xattrs: &xattrs, ..self.form.header(&path, Kind::Directory, &item.stat) };
        self.put(&header.blocks())?;
        if self.form != Form::Layer {
            return Ok(());
        }
        if sys::overlay::is_opaque(folder.as_fd()).map_err(failed("read attributes of", &item.path))? {
            self.put(&marker(&[&path[..], OPAQUE].concat(), &item.stat).blocks())?;
        }
        Ok(())
    }

    fn add_file(&mut self, item: &Item) -> Result<Added, TreeError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&item.parent, item.name(), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(Added::No),
            other => other.map_err(failed("open", &item.path))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(failed("read", &item.path))?;
        if file_type(&stat) != FileType::RegularFile {
            return Ok(Added::No);
        }
        let xattrs = sys::attributes::read(file.as_fd()).map_err(failed("read attributes of", &item.path))?;
        let whole = Segment { offset: 0, length: u64::try_from(stat.st_size).unwrap_or_default() };
        self.size += whole.length;
        let entry = EntryHeader { xattrs: &xattrs, ..self.form.header(&item.path, Kind::Regular, &stat) };
        let holes = Some(whole.length).filter(|_| self.form == Form::Root && has_holes(&stat));
        let Some(segments) = holes.and_then(|size| segments(file.as_fd(), size)) else {
            self.put(&EntryHeader { size: whole.length, ..entry }.blocks())?;
            self.copier.copy(&file, &item.path, whole, &mut *self.out)?;
            return self.put(&ZEROES[..padding(whole.length)]).map(|()| Added::Yes);
        };
        let map = sparse_map(&segments);
        let size = map.len() as u64 + segments.iter().map(|segment| segment.length).sum::<u64>();
        self.put(&EntryHeader { size, real_size: Some(whole.length), ..entry }.blocks())?;
        self.put(&map)?;
        for segment in segments {
            self.copier.copy(&file, &item.path, segment, &mut *self.out)?;
        }
        self.put(&ZEROES[..padding(size)]).map(|()| Added::Yes)
    }

    fn add_special(&mut self, item: &Item, kind: Kind) -> Result<Added, TreeError> {
        let mut link = Vec::new();
        if kind == Kind::Symlink {
            link = match rustix::fs::readlinkat(&item.parent, item.name(), Vec::new()) {
                Ok(target) => target.into_bytes(),
                // Something else took its place.
                Err(Errno::NOENT | Errno::INVAL) => return Ok(Added::No),
                Err(errno) => return Err(failed("read", &item.path)(errno)),
            };
        }
        let device = match kind {
            Kind::Character | Kind::Block => {
                (rustix::fs::major(item.stat.st_rdev), rustix::fs::minor(item.stat.st_rdev))
            }
            _ => (0, 0),
        };
        let xattrs = attributes_of(item)?;
        let header = EntryHeader {
            link: &link,
            device,
            xattrs: &xattrs,
            ..self.form.header(&item.path, kind, &item.stat)
        };
        self.put(&header.blocks()).map(|()| Added::Yes)
    }
}

/// Whether an entry is in the archive: a file can go while the tree is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Yes,
    No,
}

const ZEROES: [u8; 512] = [0; 512];

pub(super) fn attributes_of(item: &Item) -> Result<Vec<sys::attributes::Attribute>, TreeError> {
    match sys::attributes::read_at(item.parent.as_fd(), item.name()) {
        Err(Errno::NOENT) => Ok(Vec::new()),
        other => other.map_err(failed("read attributes of", &item.path)),
    }
}

/// An empty file whose name says something about the layers below.
fn marker<'a>(path: &'a [u8], stat: &Stat) -> EntryHeader<'a> {
    EntryHeader { mode: 0, uid: 0, gid: 0, ..Form::Layer.header(path, Kind::Regular, stat) }
}

fn has_holes(stat: &Stat) -> bool {
    stat.st_blocks < stat.st_size / 512
}
