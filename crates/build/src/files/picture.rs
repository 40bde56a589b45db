//! What a tree looked like when it was looked at.

use std::ffi::CString;

use ring::digest::{SHA256, digest};
use rustix::fs::{FileType, Stat};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

pub(super) fn hash_of(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

/// A folder with all that is selected of it.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// The folder itself first, then those below it, sorted by path.
    pub(super) folders: Vec<Folder>,
}

/// One folder of a picture.
#[derive(Debug)]
pub(super) struct Folder {
    /// From the picture's root on, which has an empty path.
    pub(super) path: Vec<u8>,
    pub(super) stamp: Stamp,
    pub(super) has_attributes: bool,
    pub(super) membership: Membership,
    /// Of the folder alone.
    pub(super) hash: Hash,
    /// Sorted by name.
    pub(super) entries: Vec<Entry>,
}

/// Why a folder is in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Selected,
    /// Only because of something in it.
    Parent,
}

/// Something in a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: CString,
    /// Of all that matters of it.
    pub(super) hash: Hash,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Folder,
    File {
        stamp: Stamp,
        has_attributes: bool,
        /// Of its contents and attributes.
        content: Hash,
        /// It was changed so shortly before that a further change may not show in its times.
        is_recent: bool,
    },
    Link {
        stamp: Stamp,
        target: CString,
    },
    Node {
        stamp: Stamp,
    },
}

/// What the system tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) node: u64,
    pub(super) modified: Time,
    pub(super) changed: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let time = |seconds, nanoseconds: u64| Time { seconds, nanoseconds: nanoseconds as u32 };
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            node: stat.st_rdev,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(super) fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Whether it is an overlay's mark that something of a lower layer is deleted.
    pub(super) fn is_whiteout(&self) -> bool {
        self.kind() == FileType::CharacterDevice && self.node == 0
    }

    /// The same without what further names of a file change.
    pub(super) fn is_same_but_for_names(&self, other: &Self) -> bool {
        *self == Self { links: self.links, changed: self.changed, ..*other }
    }
}

impl Picture {
    /// A folder by its path.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.folders.binary_search_by(|folder| folder.path.as_slice().cmp(path)).ok()
    }

    /// What the system tells of all that is no folder: what changes in one need not be selected.
    pub(super) fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.folders.iter().flat_map(|folder| &folder.entries).filter_map(|entry| match &entry.what {
            What::Folder => None,
            What::File { stamp, .. } | What::Link { stamp, .. } | What::Node { stamp } => Some(stamp),
        })
    }

    /// Adds what digests are made of. What the folder itself is like makes no difference.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        for folder in &self.folders {
            put(bytes, &folder.path);
            if !folder.path.is_empty() {
                bytes.extend(folder.hash);
            }
            for entry in folder.entries.iter().filter(|entry| !matches!(entry.what, What::Folder)) {
                put(bytes, entry.name.as_bytes());
                bytes.extend(entry.hash);
            }
            bytes.extend([0; 4]);
        }
    }
}

/// A text with its length before it, so that no two rows of texts have the same bytes. No name is empty.
pub(super) fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(text);
}

/// A path in a folder.
pub(super) fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() || name.is_empty() { [folder, name].concat() } else { [folder, b"/", name].concat() }
}
