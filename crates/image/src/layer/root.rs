//! Names inside a layer's tree, resolved so that none of them leaves it.
//!
//! Every folder is opened with `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)` relative to the tree's descriptor: the
//! kernel treats the tree as `/`, for `..` and for absolute symbolic links alike (openat2(2)). What is then made, replaced
//! or removed is one name in such a folder and is never followed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Folders kept open. Archives are sorted by folder, so few are needed.
const OPEN_FOLDERS: usize = 64;

/// A tree, and the folders of it that were used last.
#[derive(Debug)]
pub(crate) struct Root {
    root: OwnedFd,
    open: HashMap<Vec<u8>, OwnedFd>,
}

impl Root {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root, open: HashMap::new() }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder with this clean path, made with its parents where it is not there.
    pub(crate) fn folder(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if !self.open.contains_key(path) {
            let folder = match self.resolve(path) {
                Err(Errno::NOENT) => self.make_folders(path)?,
                other => other?,
            };
            if self.open.len() >= OPEN_FOLDERS {
                self.open.clear();
            }
            self.open.insert(path.to_vec(), folder);
        }
        Ok(self.open[path].as_fd())
    }

    /// The folder with this clean path, if it is there.
    pub(crate) fn existing(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        if path.is_empty() { rustix::io::fcntl_dupfd_cloexec(&self.root, 3) } else { self.resolve(path) }
    }

    /// After something that may have been a folder, or a link to one, was replaced or removed.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    fn resolve(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, OsStr::from_bytes(path), flags, Mode::empty(), resolve)
    }

    fn make_folders(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.root, 3)?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            folder = match self.resolve(&path[..end]) {
                Err(Errno::NOENT) => {
                    let start = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                    let name = OsStr::from_bytes(&path[start..end]);
                    rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755))?;
                    let made = self.resolve(&path[..end])?;
                    rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
                    made
                }
                other => other?,
            };
        }
        Ok(folder)
    }
}

/// Removes `name` in `folder`, and everything in it if it is a folder.
pub(crate) fn remove_all(folder: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&inner)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            remove_all(inner.as_fd(), OsStr::from_bytes(entry.file_name().to_bytes()))?;
        }
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

/// What `name` in `folder` is; `None` where there is nothing.
pub(crate) fn file_type(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A path without empty components, `.` and `..`, and without a slash at either end. `None` where it leaves the root.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    Some(parts.join(&b'/'))
}

/// Folder and last name of a clean path.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_cleaned_and_never_goes_above_the_root() {
        assert_eq!(clean(b"./a//b/./c/").as_deref(), Some(&b"a/b/c"[..]));
        assert_eq!(clean(b"/etc/passwd").as_deref(), Some(&b"etc/passwd"[..]));
        assert_eq!(clean(b"a/../b").as_deref(), Some(&b"b"[..]));
        assert_eq!(clean(b"").as_deref(), Some(&b""[..]));
        assert_eq!(clean(b"../a"), None);
        assert_eq!(clean(b"a/../../b"), None);
    }
}
