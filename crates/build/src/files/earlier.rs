//! Files of an earlier result of the same instruction, which get one more name instead of being copied.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::look::open_folder;
use super::picture::{Hash, Stamp, below};
use super::record::{CopiedFolder, Record};
use super::write::Wanted;

/// An earlier result, by folders.
pub(super) struct Earlier<'a> {
    tree: OwnedFd,
    /// What was copied to a folder, the last first.
    folders: HashMap<Vec<u8>, Vec<&'a CopiedFolder>>,
    taken: Arc<Taken>,
}

/// Files that were taken by their inodes: names of one file are taken once, they need not be names of one file now.
type Taken = Mutex<HashSet<u64>>;

/// A folder of it.
pub(super) struct EarlierFolder {
    fd: OwnedFd,
    files: HashMap<Vec<u8>, Hash>,
    taken: Arc<Taken>,
}

impl<'a> Earlier<'a> {
    /// Nothing where the tree is gone, or had other things put into it than copies.
    pub(super) fn new(tree: &Path, record: &'a Record) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tree = rustix::fs::open(tree, flags, Mode::empty()).ok()?;
        let mut folders: HashMap<Vec<u8>, Vec<&CopiedFolder>> = HashMap::new();
        for copied in record.matches.iter().rev() {
            let place = copied.place.as_ref()?;
            for folder in &copied.folders {
                folders.entry(below(place, &folder.path)).or_default().push(folder);
            }
        }
        Some(Self { tree, folders, taken: Arc::default() })
    }

    /// A folder that there is in it.
    pub(super) fn folder(&self, path: &[u8]) -> Option<EarlierFolder> {
        let copied = self.folders.get(path)?;
        let fd = open_folder(self.tree.as_fd(), path).ok()?;
        // What was copied last is what is there.
        let all = copied.iter().rev().flat_map(|folder| folder.files.iter().cloned());
        Some(EarlierFolder { fd, files: all.collect(), taken: Arc::clone(&self.taken) })
    }
}

impl EarlierFolder {
    pub(super) fn folder(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether a file in it, which nobody else took, has just the contents and all else that is wanted.
    pub(super) fn take(&self, name: &CStr, hash: &Hash, wanted: &Wanted, size: u64) -> bool {
        if self.files.get(name.to_bytes()) != Some(hash) {
            return false;
        }
        let Ok(stat) = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
        let stamp = Stamp::of(&stat);
        stamp.kind() == FileType::RegularFile
            && stamp.size == size
            && stamp.permissions() == wanted.permissions
            && (stamp.uid, stamp.gid) == (wanted.owner.uid, wanted.owner.gid)
            && stamp.modified == wanted.time
            && self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(stamp.inode)
    }
}
