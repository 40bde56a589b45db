//! What files contained, remembered by what the system tells of them, so that those that did not change need not be read.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use sys::Result;
use sys::file::{Durability, write_atomic};

use super::picture::{Hash, Stamp};

/// Begins a file; its last byte is the version of the form.
const MAGIC: &[u8; 8] = b"cortenM\x01";
/// Device, inode, size, times, hash, whether there are attributes, and a sum of all that.
const RECORD: usize = 8 + 8 + 8 + 8 + 4 + 8 + 4 + 32 + 4 + 4;
/// Records that nobody asked for are kept as long as they are few.
const SPARE: usize = 4096;

/// Contents of the files of one context, from one build to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Records, sorted by device and inode.
    kept: Vec<[u8; RECORD]>,
    /// Which of them were asked for.
    used: Vec<AtomicBool>,
    fresh: Mutex<HashMap<(u64, u64), [u8; RECORD]>>,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) content: Hash,
    pub(super) has_attributes: bool,
}

impl Memory {
    /// Reads a file; one that is not there, or damaged, is as good as an empty one.
    pub fn load(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let Some(records) = bytes.strip_prefix(MAGIC) else { return Self::default() };
        let (kept, rest) = records.as_chunks::<RECORD>();
        let is_sorted = kept.is_sorted_by(|a, b| key(a) < key(b));
        if !rest.is_empty() || !is_sorted {
            return Self::default();
        }
        Self {
            kept: kept.to_vec(),
            used: kept.iter().map(|_| AtomicBool::default()).collect(),
            ..Self::default()
        }
    }

    /// Writes a file that [`Memory::load`] reads. Nothing is written where nothing new is known.
    ///
    /// # Errors
    /// As the system calls; the old file is there then.
    pub fn save(&self, path: &Path) -> Result<()> {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.is_empty() {
            return Ok(());
        }
        let used = self.used.iter().filter(|used| used.load(Ordering::Relaxed)).count() + fresh.len();
        let keeps_all = self.kept.len() <= 2 * used + SPARE;
        let old = self.kept.iter().zip(&self.used);
        let old = old.filter(|(_, used)| keeps_all || used.load(Ordering::Relaxed)).map(|(record, _)| record);
        let mut records: Vec<&[u8; RECORD]> =
            old.filter(|record| !fresh.contains_key(&key(record))).chain(fresh.values()).collect();
        records.sort_unstable_by_key(|record| key(record));
        let mut bytes = Vec::with_capacity(MAGIC.len() + records.len() * RECORD);
        bytes.extend(MAGIC);
        records.iter().for_each(|record| bytes.extend(*record));
        write_atomic(path, &bytes, 0o600, Durability::Atomic)
    }

    /// What a file contains that looks like this.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<Remembered> {
        let wanted = (stamp.device, stamp.inode);
        if let Ok(at) = self.kept.binary_search_by_key(&wanted, key)
            && let Some(found) = read(&self.kept[at], stamp)
        {
            self.used[at].store(true, Ordering::Relaxed);
            return Some(found);
        }
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.get(&wanted).and_then(|record| read(record, stamp))
    }

    /// Adds files of which all is known.
    pub(super) fn add(&self, files: impl IntoIterator<Item = (Stamp, Remembered)>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.extend(
            files.into_iter().map(|(stamp, known)| ((stamp.device, stamp.inode), record(&stamp, &known))),
        );
    }
}

fn key(record: &[u8; RECORD]) -> (u64, u64) {
    let number = |at: usize| u64::from_be_bytes(record[at..at + 8].try_into().expect("eight bytes"));
    (number(0), number(8))
}

fn record(stamp: &Stamp, known: &Remembered) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    put(&stamp.device.to_be_bytes());
    put(&stamp.inode.to_be_bytes());
    put(&stamp.size.to_be_bytes());
    for time in [stamp.modified, stamp.changed] {
        put(&time.seconds.to_be_bytes());
        put(&time.nanoseconds.to_be_bytes());
    }
    put(&known.content);
    put(&u32::from(known.has_attributes).to_be_bytes());
    let sum = sum(&bytes[..RECORD - 4]);
    bytes[RECORD - 4..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// What a record says of a file that looks like this; nothing where it is damaged.
fn read(bytes: &[u8; RECORD], stamp: &Stamp) -> Option<Remembered> {
    let at = RECORD - 4 - 4 - 32;
    let content = bytes[at..at + 32].try_into().expect("32 bytes");
    let known = Remembered { content, has_attributes: bytes[at + 35] != 0 };
    (record(stamp, &known) == *bytes).then_some(known)
}

/// After a crash of the machine a part of a file may be zeroes.
fn sum(bytes: &[u8]) -> u32 {
    // FNV-1a.
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::picture::Time;

    fn stamp(inode: u64) -> Stamp {
        let time = Time { seconds: 5, nanoseconds: 6 };
        Stamp {
            device: 1,
            inode,
            size: 3,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            links: 1,
            node: 0,
            modified: time,
            changed: time,
        }
    }

    fn known(byte: u8) -> Remembered {
        Remembered { content: [byte; 32], has_attributes: byte % 2 == 1 }
    }

    #[test]
    fn what_was_saved_is_known_and_what_changed_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("memory");
        let memory = Memory::load(&path);
        memory.add([(stamp(9), known(1)), (stamp(2), known(2))]);
        memory.save(&path).expect("saved");
        let memory = Memory::load(&path);
        memory.add([(stamp(4), known(3))]);
        memory.save(&path).expect("saved");
        let memory = Memory::load(&path);
        for (inode, byte) in [(9, 1), (2, 2), (4, 3)] {
            assert_eq!(memory.find(&stamp(inode)), Some(known(byte)));
        }
        assert_eq!(memory.find(&stamp(3)), None);
        let later = Time { seconds: 5, nanoseconds: 7 };
        assert_eq!(memory.find(&Stamp { changed: later, ..stamp(9) }), None);
        assert_eq!(memory.find(&Stamp { modified: later, ..stamp(9) }), None);
        assert_eq!(memory.find(&Stamp { size: 4, ..stamp(9) }), None);
    }

    #[test]
    fn records_that_nobody_asks_for_are_dropped_when_they_are_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("memory");
        let memory = Memory::default();
        memory.add((0..10_000).map(|inode| (stamp(inode), known(1))));
        memory.save(&path).expect("saved");
        let memory = Memory::load(&path);
        memory.find(&stamp(77)).expect("known");
        memory.add([(stamp(20_000), known(2))]);
        memory.save(&path).expect("saved");
        let memory = Memory::load(&path);
        assert_eq!(memory.kept.len(), 2);
        assert!(memory.find(&stamp(77)).is_some() && memory.find(&stamp(20_000)).is_some());
    }

    #[test]
    fn damaged_files_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("memory");
        let memory = Memory::default();
        memory.add([(stamp(1), known(1)), (stamp(2), known(2))]);
        memory.save(&path).expect("saved");
        let whole = fs::read(&path).expect("read");
        fs::write(&path, &whole[..whole.len() - 1]).expect("written");
        assert_eq!(Memory::load(&path).find(&stamp(1)), None);
        let mut zeroes = whole.clone();
        zeroes[MAGIC.len() + 60..].fill(0);
        fs::write(&path, &zeroes).expect("written");
        assert_eq!(Memory::load(&path).find(&stamp(1)), None);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("written");
            let memory = Memory::load(&path);
            assert!(memory.find(&stamp(1)).is_none_or(|found| found == known(1)), "byte {at}");
        }
    }
}
