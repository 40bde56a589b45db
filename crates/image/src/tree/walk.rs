//! Entry by entry through a tree, sorted by name, a folder before what is in it.
//!
//! The tree may be another's to change meanwhile: what is gone is left out, and no symbolic link is ever followed. The depth
//! of the tree costs neither stack nor descriptors.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::{TreeError, failed, file_type};
use crate::layer::split;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The longest path that a system call takes, and that other programs can make of an archive.
const PATH_MAX: usize = 4095;

/// What is still to be visited of a tree.
#[derive(Debug)]
pub(super) struct Walk {
    root: Arc<OwnedFd>,
    /// Paths, the next one last.
    pending: Vec<Vec<u8>>,
    /// The folder that was opened last.
    open: (Vec<u8>, Arc<OwnedFd>),
}

/// An entry of a tree.
#[derive(Debug)]
pub(super) struct Item {
    /// From the root, without a slash at either end.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) parent: Arc<OwnedFd>,
    /// The folder, where it is one.
    pub(super) folder: Option<Arc<OwnedFd>>,
}

impl Item {
    pub(super) fn name(&self) -> &OsStr {
        OsStr::from_bytes(split(&self.path).1)
    }

    pub(super) fn kind(&self) -> FileType {
        file_type(&self.stat)
    }
}

impl Walk {
    /// Begins with what is in `root`, which is itself left out.
    pub(super) fn new(root: OwnedFd) -> Result<Self, TreeError> {
        let root = Arc::new(root);
        let mut walk = Self { open: (Vec::new(), Arc::clone(&root)), pending: Vec::new(), root };
        walk.push_names(b"", |_| true).map_err(failed("read folder", b""))?;
        Ok(walk)
    }

    /// Goes on after an entry that a walk has come to.
    pub(super) fn after(root: OwnedFd, path: &[u8]) -> Result<Self, TreeError> {
        let root = Arc::new(root);
        let mut walk = Self { open: (Vec::new(), Arc::clone(&root)), pending: Vec::new(), root };
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (folder, name) = split(&path[..end]);
            walk.push_names(folder, |other| other > name).map_err(failed("read folder", folder))?;
        }
        match walk.push_names(path, |_| true) {
            Ok(()) | Err(Errno::NOTDIR | Errno::LOOP) => Ok(walk),
            Err(errno) => Err(failed("read folder", path)(errno)),
        }
    }

    /// Of the names in a folder, those that are to be visited.
    fn push_names(&mut self, folder: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Result<(), Errno> {
        let names = names_in(open_folder(self.root.as_fd(), folder)?.as_fd())?;
        let wanted = names.into_iter().rev().filter(|name| is_wanted(name));
        self.pending
            .extend(wanted.map(|name| if folder.is_empty() { name } else { [folder, b"/", &name].concat() }));
        Ok(())
    }

    /// The next entry.
    pub(super) fn step(&mut self) -> Result<Option<Item>, TreeError> {
        while let Some(path) = self.pending.pop() {
            match self.visit(&path) {
                Ok((stat, parent, folder)) => return Ok(Some(Item { path, stat, parent, folder })),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(failed("read", &path)(errno)),
            }
        }
        Ok(None)
    }

    #[allow(clippy::type_complexity, reason = "the parts of an item, taken apart at once")]
    fn visit(&mut self, path: &[u8]) -> Result<(Stat, Arc<OwnedFd>, Option<Arc<OwnedFd>>), Errno> {
        if path.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let (parent, name) = split(path);
        if self.open.0 != parent {
            self.open = (parent.to_vec(), Arc::new(open_folder(self.root.as_fd(), parent)?));
        }
        let parent = Arc::clone(&self.open.1);
        let name = OsStr::from_bytes(name);
        let stat = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if file_type(&stat) != FileType::Directory {
            return Ok((stat, parent, None));
        }
        let folder = Arc::new(rustix::fs::openat(&parent, name, FOLDER, Mode::empty())?);
        let names = names_in(folder.as_fd())?;
        if !names.is_empty() {
            let below = |name: Vec<u8>| [path, b"/", &name].concat();
            self.pending.extend(names.into_iter().rev().map(below));
            self.open = (path.to_vec(), Arc::clone(&folder));
        }
        Ok((stat, parent, Some(folder)))
    }
}

/// A folder below `root`, through no link.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    if path.is_empty() {
        return rustix::fs::openat(root, c".", FOLDER, Mode::empty());
    }
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(root, OsStr::from_bytes(path), FOLDER, Mode::empty(), resolve)
}

/// The names in a folder, sorted.
pub(super) fn names_in(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        File::open(path).unwrap().into()
    }

    fn rest(mut walk: Walk) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| walk.step().unwrap()).map(|item| item.path).collect()
    }

    #[test]
    fn walk_goes_on_after_any_entry() {
        let tree = tempfile::tempdir().unwrap();
        for folder in ["a/b/c", "a/empty", "a-b", "ab/a", "z"] {
            fs::create_dir_all(tree.path().join(folder)).unwrap();
        }
        for file in ["a.b", "a/b.c", "a/b/c/d", "a/b-c", "a-b/x", "ab/a/y", "A"] {
            fs::write(tree.path().join(file), "").unwrap();
        }
        symlink("z", tree.path().join("a/link")).unwrap();
        symlink("nowhere", tree.path().join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, tree.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0)
            .unwrap();
        let all = rest(Walk::new(open(tree.path())).unwrap());
        assert_eq!(all.len(), 18);
        for (at, path) in all.iter().enumerate() {
            let after = rest(Walk::after(open(tree.path()), path).unwrap());
            assert_eq!(after, all[at + 1..], "after {:?}", String::from_utf8_lossy(path));
        }
    }
}
