//! Paths inside a root: whatever links a hostile tree holds, nothing outside of it is reached.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::{Errno, Result};

/// As many symbolic links are followed as the kernel follows itself.
const MAX_LINKS: usize = 40;
/// The kernel answers `EAGAIN` when a rename elsewhere makes it unsure of `..`; it rarely does so twice.
const MAX_ATTEMPTS: usize = 128;

/// A directory that paths are resolved in as if it were `/`.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens a directory as a root.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn at(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a directory as a root, if it is the one of this device and inode; whoever saw it may not mean what is there by now.
    ///
    /// # Errors
    /// As `open(2)`; `ENOENT` when it is another one.
    pub fn at_inode(path: &Path, (device, inode): (u64, u64)) -> Result<Self> {
        let root = Self::at(path)?;
        let stat = rustix::fs::fstat(&root)?;
        if (stat.st_dev, stat.st_ino) == (device, inode) { Ok(root) } else { Err(Errno::NOENT) }
    }

    /// Takes an open directory as a root.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens a path; links are followed inside the root, links of `/proc` that leave any path are not.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open(&self, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
        let path = relative(path.as_ref());
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if attempts < MAX_ATTEMPTS => attempts += 1,
                result => return result,
            }
        }
    }

    /// Opens a path as a place only: nothing is read, and devices are not opened.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn locate(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        self.open(path, OFlags::PATH)
    }

    /// Opens a directory to read what is in it.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_directory(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Makes a directory and those above it, where missing, with mode 0755, and returns its place.
    ///
    /// # Errors
    /// `ENOTDIR` where something else is in the way, `ELOOP` for too many links.
    pub fn make_directory(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        match self.open(path.as_ref(), OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.make_missing_directories(path.as_ref()),
            result => result,
        }
    }

    fn make_missing_directories(&self, path: &Path) -> Result<OwnedFd> {
        let mut done = PathBuf::new();
        let mut rest = components(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            let next = done.join(&name);
            match self.open(&next, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => done = next,
                Err(Errno::NOENT) => {
                    let parent = self.open(&done, OFlags::PATH | OFlags::DIRECTORY)?;
                    match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)) {
                        Ok(()) => done = next,
                        Err(Errno::EXIST) => {
                            links += 1;
                            let target = dangling_link(parent.as_fd(), &name, links)?;
                            if target.is_absolute() {
                                done = PathBuf::new();
                            }
                            components(&target).into_iter().rev().for_each(|part| rest.push_front(part));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.open(&done, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Makes an empty file, mode 0644, and the directories above it, where missing, and returns its place.
    ///
    /// What exists already is left as it is, whatever it is.
    ///
    /// # Errors
    /// As [`Root::make_directory`].
    pub fn make_file(&self, path: impl AsRef<Path>) -> Result<OwnedFd> {
        let path = path.as_ref();
        match self.locate(path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let name = path.file_name().ok_or(Errno::ISDIR)?;
        let parent = self.make_directory(path.parent().unwrap_or(Path::new("")))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(_) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        rustix::fs::openat(&parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    /// What kind of file a path names.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn kind(&self, path: impl AsRef<Path>) -> Result<FileType> {
        kind_of(self.locate(path)?)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What kind of file a descriptor is open on.
///
/// # Errors
/// As `fstat(2)`.
pub fn kind_of(fd: impl AsFd) -> Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

fn relative(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().take_while(|byte| **byte == b'/').count();
    let rest = Path::new(OsStr::from_bytes(&bytes[start..]));
    if rest.as_os_str().is_empty() { Path::new(".") } else { rest }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Where a link points that stands in the way of a directory because its target is missing.
fn dangling_link(parent: BorrowedFd<'_>, name: &OsStr, links: usize) -> Result<PathBuf> {
    if links > MAX_LINKS {
        return Err(Errno::LOOP);
    }
    match rustix::fs::readlinkat(parent, name, Vec::new()) {
        Ok(target) => Ok(PathBuf::from(OsString::from_vec(target.into_bytes()))),
        Err(Errno::INVAL) => Err(Errno::NOTDIR),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = Root::at(directory.path()).expect("it opens");
        (directory, root)
    }

    #[test]
    fn absolute_link_stays_in_the_root() {
        let (directory, root) = root();
        symlink("/etc", directory.path().join("link")).expect("link");
        assert_eq!(root.locate("link/passwd").expect_err("there is no /etc in it"), Errno::NOENT);
    }

    #[test]
    fn parent_of_the_root_is_the_root() {
        let (directory, root) = root();
        fs::write(directory.path().join("here"), "").expect("write");
        root.locate("../../../here").expect("the root has no parent");
    }

    #[test]
    fn missing_directories_are_made() {
        let (directory, root) = root();
        root.make_directory("/a/b/c").expect("made");
        assert!(directory.path().join("a/b/c").is_dir());
    }

    #[test]
    fn dangling_link_is_made_inside_the_root() {
        let (directory, root) = root();
        symlink("/run/deep", directory.path().join("var")).expect("link");
        root.make_directory("var/lock").expect("made");
        assert!(directory.path().join("run/deep/lock").is_dir());
    }

    #[test]
    fn dangling_link_upwards_is_made_inside_the_root() {
        let (directory, root) = root();
        symlink("../../out", directory.path().join("up")).expect("link");
        root.make_directory("up/x").expect("made");
        assert!(directory.path().join("out/x").is_dir());
    }

    #[test]
    fn looping_links_are_an_error() {
        let (directory, root) = root();
        symlink("b", directory.path().join("a")).expect("link");
        symlink("a", directory.path().join("b")).expect("link");
        assert_eq!(root.make_directory("a/x").expect_err("loop"), Errno::LOOP);
    }

    #[test]
    fn file_in_the_way_is_an_error() {
        let (directory, root) = root();
        fs::write(directory.path().join("file"), "").expect("write");
        assert_eq!(root.make_directory("file/x").expect_err("a file"), Errno::NOTDIR);
    }

    #[test]
    fn made_file_keeps_what_is_there() {
        let (directory, root) = root();
        fs::write(directory.path().join("file"), "text").expect("write");
        root.make_file("file").expect("there");
        assert_eq!(fs::read(directory.path().join("file")).expect("read"), b"text");
        root.make_file("new/file").expect("made");
        assert!(directory.path().join("new/file").is_file());
    }
}
