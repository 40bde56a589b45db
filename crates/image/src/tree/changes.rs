//! What a writable layer changes in the layers below it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::walk::{Item, Walk, names_in, open_folder};
use super::{TreeError, failed, file_type, is_whiteout};
use crate::error::{Error, Result};
use crate::layer::split;
use crate::store::ImageStore;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It, or of a folder its attributes or what is in it, is not what it was.
    Modified,
    /// It was not there.
    Added,
    /// It is not there any more.
    Deleted,
}

/// A change of a container's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// To which file: its path from `/`. Names are bytes.
    pub path: Vec<u8>,
}

impl ImageStore {
    /// What a container changed in its image's files, by path. Reads its writable layer, and of the image only what is at
    /// the same places.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], or when a folder cannot be read.
    pub fn changes(&self, id: &str) -> Result<Vec<Change>> {
        let parts = self.open_snapshot(id)?;
        let upper = File::open(&parts.upper).map_err(Error::io("open folder", &parts.upper))?;
        Ok(Comparison::new(&parts.lower).run(upper.into())?)
    }
}

/// A folder of the writable layer on the way to the current entry.
#[derive(Debug)]
struct Level {
    path: Vec<u8>,
    /// Layers that show something of this folder, the topmost first.
    layers: Vec<usize>,
    /// Whether the folder, or one above it, hides what is below.
    is_opaque: bool,
}

/// What the layers below show at one place.
#[derive(Debug, Default)]
struct Below {
    stat: Option<Stat>,
    /// Where it is a folder, the layers that show something of it.
    layers: Vec<usize>,
}

struct Comparison<'a> {
    trees: &'a [PathBuf],
    levels: Vec<Level>,
    /// The folders of the last level in its layers.
    open: Vec<(usize, OwnedFd)>,
    found: BTreeMap<Vec<u8>, ChangeKind>,
}

impl<'a> Comparison<'a> {
    fn new(trees: &'a [PathBuf]) -> Self {
        let top = Level { path: Vec::new(), layers: (0..trees.len()).collect(), is_opaque: false };
        Self { trees, levels: vec![top], open: Vec::new(), found: BTreeMap::new() }
    }

    fn run(mut self, upper: OwnedFd) -> Result<Vec<Change>, TreeError> {
        let mut walk = Walk::new(upper)?;
        self.open_level()?;
        while let Some(item) = walk.step()? {
            self.go_to(split(&item.path).0)?;
            self.compare(&item)?;
        }
        self.note_parents();
        let change = |(path, kind): (Vec<u8>, _)| Change { kind, path: [b"/", &path[..]].concat() };
        Ok(self.found.into_iter().map(change).collect())
    }

    /// Goes back to the level of a folder that was entered.
    fn go_to(&mut self, folder: &[u8]) -> Result<(), TreeError> {
        let depth = self.levels.iter().rposition(|level| level.path == folder).unwrap_or_default() + 1;
        if depth == self.levels.len() {
            return Ok(());
        }
        self.levels.truncate(depth);
        self.open_level()
    }

    fn level(&self) -> &Level {
        self.levels.last().expect("the root's level is never removed")
    }

    fn open_level(&mut self) -> Result<(), TreeError> {
        // Before the next ones are opened: an image can have hundreds of layers.
        self.open.clear();
        let (path, layers) = (self.level().path.clone(), self.level().layers.clone());
        for layer in layers {
            let tree = rustix::fs::open(
                &self.trees[layer],
                rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            );
            let folder = tree.and_then(|tree| open_folder(tree.as_fd(), &path));
            self.open.push((layer, folder.map_err(failed("read the image's", &path))?));
        }
        Ok(())
    }

    fn compare(&mut self, item: &Item) -> Result<(), TreeError> {
        let below = self.below(item.name()).map_err(failed("read the image's", &item.path))?;
        let kind = match &below.stat {
            None if is_whiteout(&item.stat) => None,
            None => Some(ChangeKind::Added),
            Some(_) if is_whiteout(&item.stat) => Some(ChangeKind::Deleted),
            Some(stat) if is_same_folder(stat, &item.stat) => None,
            Some(_) => Some(ChangeKind::Modified),
        };
        if let Some(kind) = kind {
            self.found.insert(item.path.clone(), kind);
        }
        let Some(folder) = &item.folder else { return Ok(()) };
        let is_opaque = self.level().is_opaque
            || sys::overlay::is_opaque(folder.as_fd()).map_err(failed("read attributes of", &item.path))?;
        self.levels.push(Level { path: item.path.clone(), layers: below.layers, is_opaque });
        self.open_level()?;
        if is_opaque { self.note_hidden(item, folder.as_fd()) } else { Ok(()) }
    }

    /// What the image shows under a name in the folder of the last level.
    fn below(&self, name: &OsStr) -> Result<Below, Errno> {
        let mut below = Below::default();
        for (layer, folder) in &self.open {
            let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let is_folder = file_type(&stat) == FileType::Directory;
            // Under a folder only folders show through.
            if is_whiteout(&stat) || (below.stat.is_some() && !is_folder) {
                break;
            }
            below.stat.get_or_insert(stat);
            if !is_folder {
                break;
            }
            below.layers.push(*layer);
            if sys::overlay::is_opaque_at(folder.as_fd(), name)? {
                break;
            }
        }
        Ok(below)
    }

    /// Everything of the image in a folder that hides it, and that was not made again, is deleted.
    fn note_hidden(&mut self, item: &Item, upper: BorrowedFd<'_>) -> Result<(), TreeError> {
        let failed = || failed("read the image's", &item.path);
        let kept: BTreeSet<Vec<u8>> = names_in(upper).map_err(failed())?.into_iter().collect();
        let mut names = BTreeSet::new();
        for (_, folder) in &self.open {
            names.extend(names_in(folder.as_fd()).map_err(failed())?);
        }
        for name in names.difference(&kept) {
            if self.below(OsStr::from_bytes(name)).map_err(failed())?.stat.is_some() {
                self.found.insert([&item.path[..], b"/", name].concat(), ChangeKind::Deleted);
            }
        }
        Ok(())
    }

    /// A folder in which something came or went is modified, also where its times were set back.
    fn note_parents(&mut self) {
        let moved = self.found.iter().filter(|(_, kind)| **kind != ChangeKind::Modified);
        let parents: BTreeSet<Vec<u8>> = moved.map(|(path, _)| split(path).0.to_vec()).collect();
        for parent in parents.into_iter().filter(|parent| !parent.is_empty()) {
            self.found.entry(parent).or_insert(ChangeKind::Modified);
        }
    }
}

/// A folder is in the writable layer also where only something in it was changed.
fn is_same_folder(a: &Stat, b: &Stat) -> bool {
    let key = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    file_type(a) == FileType::Directory && key(a) == key(b)
}
