//! Comparing a layer's tree with what its archive says.
//!
//! Both are trees on disk: one was unpacked just now. Nothing in either is followed: folders are opened below their tree's
//! descriptor without links, and everything else by its name in such a folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// How much of two files is compared at once.
const CHUNK: usize = 128 << 10;
const OPAQUE_ATTRIBUTE: &[u8] = b"trusted.overlay.opaque";
/// What overlayfs notes for itself in a tree that was a writable layer before.
const OVERLAY_ATTRIBUTES: &[u8] = b"trusted.overlay.";
const MAX_ATTRIBUTE: usize = 64 << 10;

/// The first difference that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: Vec<u8>,
    pub(super) what: &'static str,
}

/// Why no comparison could be made.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) path: Vec<u8>,
    pub(super) errno: Errno,
}

/// Finds the first difference of `actual` from `expected`. Times of folders are not compared: those that an archive does not
/// name have none of their own.
pub(super) fn compare(expected: OwnedFd, actual: OwnedFd) -> Result<Option<Difference>, Unreadable> {
    let mut comparison = Comparison { expected, actual, links: HashMap::new(), folders: vec![Vec::new()] };
    while let Some(folder) = comparison.folders.pop() {
        match comparison.compare_folder(&folder) {
            Ok(()) => {}
            Err(Stop::Different(difference)) => return Ok(Some(difference)),
            Err(Stop::Failed(errno)) => return Err(Unreadable { path: folder, errno }),
        }
    }
    Ok(None)
}

struct Comparison {
    expected: OwnedFd,
    actual: OwnedFd,
    /// Which file on the one side is which on the other, where it has several names.
    links: HashMap<u64, u64>,
    /// Folders that are still to be compared.
    folders: Vec<Vec<u8>>,
}

enum Stop {
    Different(Difference),
    Failed(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// One name on both sides.
struct Pair<'a> {
    expected: BorrowedFd<'a>,
    actual: BorrowedFd<'a>,
    name: &'a OsStr,
}

impl Comparison {
    fn compare_folder(&mut self, path: &[u8]) -> Result<(), Stop> {
        let expected = open_folder(self.expected.as_fd(), path)?;
        let actual = open_folder(self.actual.as_fd(), path)?;
        if path.is_empty() {
            let pair = Pair { expected: expected.as_fd(), actual: actual.as_fd(), name: OsStr::new(".") };
            self.compare_entry(&pair, path)?;
        }
        let (names, found) = (names(&expected)?, names(&actual)?);
        if let Some(name) = found.difference(&names).next() {
            return Err(different(&join(path, name), "is there and should not be"));
        }
        for name in &names {
            let full = join(path, name);
            if !found.contains(name) {
                return Err(different(&full, "is missing"));
            }
            let pair = Pair { expected: expected.as_fd(), actual: actual.as_fd(), name };
            if self.compare_entry(&pair, &full)? == FileType::Directory {
                self.folders.push(full);
            }
        }
        Ok(())
    }

    fn compare_entry(&mut self, pair: &Pair<'_>, path: &[u8]) -> Result<FileType, Stop> {
        let expected = stat(pair.expected, pair.name)?;
        let actual = stat(pair.actual, pair.name)?;
        let kind = FileType::from_raw_mode(expected.st_mode);
        let checks = [
            (FileType::from_raw_mode(actual.st_mode) == kind, "is of another kind"),
            (actual.st_mode == expected.st_mode, "has another mode"),
            ((actual.st_uid, actual.st_gid) == (expected.st_uid, expected.st_gid), "has another owner"),
            (actual.st_rdev == expected.st_rdev, "is another device"),
            (kind == FileType::Directory || modified(&actual) == modified(&expected), "has another time"),
            (kind == FileType::Directory || actual.st_size == expected.st_size, "has another size"),
            (self.is_same_link(kind, &expected, &actual), "has other hard links"),
        ];
        if let Some((_, what)) = checks.into_iter().find(|(holds, _)| !holds) {
            return Err(different(path, what));
        }
        if attributes(pair.expected, pair.name)? != attributes(pair.actual, pair.name)? {
            return Err(different(path, "has other extended attributes"));
        }
        let is_same = match kind {
            FileType::RegularFile => has_same_bytes(pair)?,
            FileType::Symlink => target(pair.expected, pair.name)? == target(pair.actual, pair.name)?,
            _ => true,
        };
        if is_same { Ok(kind) } else { Err(different(path, "has other content")) }
    }

    fn is_same_link(&mut self, kind: FileType, expected: &Stat, actual: &Stat) -> bool {
        if kind == FileType::Directory || (expected.st_nlink == 1 && actual.st_nlink == 1) {
            return true;
        }
        expected.st_nlink == actual.st_nlink
            && *self.links.entry(expected.st_ino).or_insert(actual.st_ino) == actual.st_ino
    }
}

fn different(path: &[u8], what: &'static str) -> Stop {
    Stop::Different(Difference { path: path.to_owned(), what })
}

fn join(folder: &[u8], name: &OsStr) -> Vec<u8> {
    if folder.is_empty() { name.as_bytes().to_vec() } else { [folder, b"/", name.as_bytes()].concat() }
}

fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root, OsStr::from_bytes(path), flags, Mode::empty(), resolve)
}

fn names(folder: &OwnedFd) -> Result<BTreeSet<OsString>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(&name[..], b"." | b"..") {
            names.insert(OsString::from_vec(name));
        }
    }
    Ok(names)
}

fn stat(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn modified(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}

fn target(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(folder, name, Vec::new()).map(|target| target.into_bytes())
}

/// Names and values of what belongs to the layer.
fn attributes(folder: BorrowedFd<'_>, name: &OsStr) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
    // There is no call for a name in a folder before Linux 6.13; our own descriptor stands for the folder.
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    let mut list = vec![0; MAX_ATTRIBUTE];
    let length = match rustix::fs::llistxattr(&path[..], &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let belongs = |name: &&[u8]| {
        !name.is_empty() && (*name == OPAQUE_ATTRIBUTE || !name.starts_with(OVERLAY_ATTRIBUTES))
    };
    let mut found = BTreeMap::new();
    for name in list[..length].split(|byte| *byte == 0).filter(belongs) {
        let mut value = vec![0; MAX_ATTRIBUTE];
        let length = rustix::fs::lgetxattr(&path[..], name, &mut value[..])?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

fn has_same_bytes(pair: &Pair<'_>) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |folder| rustix::fs::openat(folder, pair.name, flags, Mode::empty());
    let (expected, actual) = (open(pair.expected)?, open(pair.actual)?);
    let (mut one, mut other) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let length = read_full(&expected, &mut one)?;
        if read_full(&actual, &mut other)? != length || one[..length] != other[..length] {
            return Ok(false);
        }
        if length < CHUNK {
            return Ok(true);
        }
    }
}

fn read_full(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::read(file, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use rustix::fs::{Timespec, Timestamps, XattrFlags};

    use super::*;

    /// A tree with something of every kind that is compared.
    fn make(root: &Path) {
        fs::create_dir_all(root.join("folder/deep")).unwrap();
        fs::write(root.join("folder/file"), vec![7; CHUNK + 5]).unwrap();
        fs::write(root.join("folder/deep/other"), "other").unwrap();
        fs::hard_link(root.join("folder/file"), root.join("linked")).unwrap();
        symlink("folder/file", root.join("symlink")).unwrap();
        for name in ["folder/file", "folder/deep/other", "symlink"] {
            set_time(&root.join(name), 1000);
        }
    }

    fn set_time(path: &Path, seconds: i64) {
        let moment = Timespec { tv_sec: seconds, tv_nsec: 5 };
        let times = Timestamps { last_access: moment, last_modification: moment };
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    fn difference(change: impl FnOnce(&Path)) -> Option<(String, &'static str)> {
        let folder = tempfile::tempdir().unwrap();
        let (expected, actual) = (folder.path().join("expected"), folder.path().join("actual"));
        make(&expected);
        make(&actual);
        change(&actual);
        let open = |path: &Path| OwnedFd::from(fs::File::open(path).unwrap());
        let found = compare(open(&expected), open(&actual)).unwrap()?;
        Some((String::from_utf8(found.path).unwrap(), found.what))
    }

    fn found(path: &str, what: &'static str) -> Option<(String, &'static str)> {
        Some((path.to_owned(), what))
    }

    #[test]
    fn equal_trees_are_equal() {
        assert_eq!(difference(|_| {}), None);
        // A folder's time is not compared.
        assert_eq!(difference(|root| set_time(&root.join("folder"), 5)), None);
    }

    #[test]
    fn missing_and_additional_entries_are_found() {
        assert_eq!(
            difference(|root| fs::remove_file(root.join("symlink")).unwrap()),
            found("symlink", "is missing")
        );
        let add = |root: &Path| fs::write(root.join("folder/deep/new"), "").unwrap();
        assert_eq!(difference(add), found("folder/deep/new", "is there and should not be"));
    }

    #[test]
    fn changed_content_of_the_same_length_and_time_is_found() {
        let flip = |root: &Path| {
            let path = root.join("folder/file");
            let mut content = fs::read(&path).unwrap();
            content[CHUNK + 2] ^= 1;
            fs::write(&path, content).unwrap();
            set_time(&path, 1000);
        };
        assert_eq!(difference(flip), found("linked", "has other content"));
    }

    #[test]
    fn changed_attributes_are_found() {
        let other = "folder/deep/other";
        let mode =
            |root: &Path| fs::set_permissions(root.join(other), fs::Permissions::from_mode(0o4755)).unwrap();
        assert_eq!(difference(mode), found(other, "has another mode"));
        let owner = |root: &Path| std::os::unix::fs::chown(root.join(other), Some(1), None).unwrap();
        assert_eq!(difference(owner), found(other, "has another owner"));
        assert_eq!(difference(|root| set_time(&root.join(other), 7)), found(other, "has another time"));
        let attribute = |root: &Path| {
            rustix::fs::lsetxattr(root.join(other), "user.a", b"b", XattrFlags::empty()).unwrap();
        };
        assert_eq!(difference(attribute), found(other, "has other extended attributes"));
    }

    #[test]
    fn links_are_compared_as_links() {
        let copy = |root: &Path| {
            let mode = fs::metadata(root.join("linked")).unwrap().mode();
            let content = fs::read(root.join("linked")).unwrap();
            fs::remove_file(root.join("linked")).unwrap();
            fs::write(root.join("linked"), content).unwrap();
            fs::set_permissions(root.join("linked"), fs::Permissions::from_mode(mode)).unwrap();
            set_time(&root.join("linked"), 1000);
        };
        assert_eq!(difference(copy).unwrap().1, "has other hard links");
        let point = |root: &Path| {
            fs::remove_file(root.join("symlink")).unwrap();
            symlink("folder/fill", root.join("symlink")).unwrap();
            set_time(&root.join("symlink"), 1000);
        };
        assert_eq!(difference(point), found("symlink", "has other content"));
    }

    #[test]
    fn file_in_the_place_of_a_folder_is_found() {
        let replace = |root: &Path| {
            fs::remove_dir_all(root.join("folder/deep")).unwrap();
            fs::write(root.join("folder/deep"), "").unwrap();
        };
        assert_eq!(difference(replace), found("folder/deep", "is of another kind"));
    }
}
