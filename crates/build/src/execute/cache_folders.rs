//! What the folders of cache mounts take of the disk, and taking it back. Those that a command has stay.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use sys::file::{Durability, write_atomic};

use super::caches::CacheLocks;
use crate::cache::{CacheRecord, Pruned};
use crate::error::Error;
use crate::work::{Work, make_folder};

/// What commands see.
pub(super) const DATA: &str = "data";
/// What is known of it.
const NOTE: &str = "note";

/// The folders of all caches.
#[derive(Debug)]
pub(crate) struct CacheFolders {
    folder: PathBuf,
    work: Work,
    pub(super) locks: CacheLocks,
    /// What they had when they were used so many times.
    sizes: Mutex<HashMap<String, (u64, u64)>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    description: String,
    created: Timestamp,
    last_used: Timestamp,
    uses: u64,
}

impl CacheFolders {
    /// Those in a folder, from which goes what an engine that was killed did not finish; `work` is for what is removed.
    pub(crate) fn open(folder: PathBuf, work: Work) -> Result<Self, Error> {
        make_folder(&folder)?;
        for cache in entries(&folder)? {
            if !cache.join(DATA).is_dir() {
                remove(&cache)?;
                continue;
            }
            for path in entries(&cache)? {
                if !path.file_name().is_some_and(|name| name == DATA || name == NOTE) {
                    remove(&path)?;
                }
            }
        }
        Ok(Self { folder, work, locks: CacheLocks::default(), sizes: Mutex::default() })
    }

    /// Where a folder of this name is, or would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Notes that a folder is used, by whom. Without it no more is wrong than what is told of it.
    pub(super) fn note_use(&self, name: &str, description: String) {
        let folder = self.path(name);
        let Note { created, uses, .. } = note(&folder);
        let note = Note { description, created, last_used: Timestamp::now(), uses: uses + 1 };
        let bytes = serde_json::to_vec(&note).expect("a note is texts and numbers");
        if let Err(errno) = write_atomic(&folder.join(NOTE), &bytes, 0o600, Durability::Atomic) {
            tracing::warn!(path = %folder.display(), error = %errno, "cannot note the use of a cache");
        }
    }

    /// All of them. Blocks while those are measured that were used since the last time.
    pub(crate) fn records(&self) -> Result<Vec<CacheRecord>, Error> {
        Ok(self.names()?.iter().map(|name| self.record(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let all = entries(&self.folder)?;
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        Ok(all.iter().filter(|path| path.join(DATA).is_dir()).filter_map(name).collect())
    }

    fn record(&self, name: &str) -> CacheRecord {
        let folder = self.path(name);
        let is_in_use = self.locks.is_used(&Digest::of(name.as_bytes()));
        let Note { description, created, last_used, uses } = note(&folder);
        CacheRecord {
            id: id_of(name),
            parent: None,
            kind: "exec.cachemount",
            description,
            is_shared: false,
            is_in_use,
            size: self.size(name, uses, is_in_use),
            created,
            last_used,
            uses,
        }
    }

    fn size(&self, name: &str, uses: u64, is_in_use: bool) -> u64 {
        let sizes = || self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, size)) = sizes().get(name).filter(|(known, _)| *known == uses) {
            return *size;
        }
        // What cannot be read, or is gone by now, takes nothing that could be told.
        let size = image::measure(&self.path(name).join(DATA)).map_or(0, |usage| usage.size);
        if !is_in_use {
            sizes().insert(name.to_owned(), (uses, size));
        }
        size
    }

    /// Removes those of these that nobody has. Blocks.
    pub(crate) fn remove(&self, going: &BTreeSet<Digest>) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        for name in self.names()?.iter().filter(|name| going.contains(&id_of(name))) {
            let record = self.record(name);
            if self.take_out(name)? {
                pruned.ids.push(record.id.to_string());
                pruned.reclaimed += record.size;
            }
        }
        Ok(pruned)
    }

    /// Removes a folder, unless somebody has it. Its place is free at once.
    fn take_out(&self, name: &str) -> Result<bool, Error> {
        let lock = self.locks.lock(&Digest::of(name.as_bytes()));
        let Ok(locked) = lock.try_write() else { return Ok(false) };
        let (path, work) = (self.path(name), self.work.folder()?);
        match fs::rename(&path, work.path().join(name)) {
            // Somebody else removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result.map_err(Error::io("remove", &path))?,
        }
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(locked);
        Ok(true)
    }
}

/// What is known of a folder; of one without a note, when it was changed.
fn note(folder: &Path) -> Note {
    let note = fs::read(folder.join(NOTE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    note.unwrap_or_else(|| {
        let modified = fs::metadata(folder.join(DATA)).and_then(|data| data.modified());
        let time = modified.ok().and_then(|time| Timestamp::try_from(time).ok());
        let time = time.unwrap_or_else(Timestamp::now);
        Note { description: "cached mount".to_owned(), created: time, last_used: time, uses: 0 }
    })
}

/// What a folder is called by others.
fn id_of(name: &str) -> Digest {
    format!("sha256:{name}").parse().unwrap_or_else(|_| Digest::of(name.as_bytes()))
}

fn remove(path: &Path) -> Result<(), Error> {
    sys::trash::delete(path).map_err(Error::io("remove", path))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("read folder", folder))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("read folder", folder))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        work: Work,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let work = Work::open(&folder.path().join("work")).unwrap();
            Self { folder, work }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("caches")
        }

        fn open(&self) -> CacheFolders {
            CacheFolders::open(self.path(), self.work.clone()).unwrap()
        }

        fn make(&self, name: &str, bytes: usize) {
            let data = self.path().join(name).join(DATA);
            fs::create_dir_all(&data).unwrap();
            fs::write(data.join("file"), vec![0; bytes]).unwrap();
        }
    }

    fn name(id: &str) -> String {
        Digest::of(id.as_bytes()).hex().to_owned()
    }

    #[test]
    fn what_was_not_finished_is_gone() {
        let place = Place::new();
        place.make(&name("a"), 1);
        for path in [format!("{}/new-1-0/half", name("a")), format!("{}/new-1-1", name("b"))] {
            fs::create_dir_all(place.path().join(path)).unwrap();
        }
        assert_eq!(place.open().records().unwrap().len(), 1);
        assert_eq!(
            entries(&place.path().join(name("a"))).unwrap(),
            [place.path().join(name("a")).join(DATA)]
        );
        assert!(!place.path().join(name("b")).exists());
    }

    #[test]
    fn use_is_told_after_a_restart() {
        let place = Place::new();
        place.make(&name("a"), 5);
        let folders = place.open();
        assert_eq!(folders.records().unwrap()[0].uses, 0);
        folders.note_use(&name("a"), "first".into());
        folders.note_use(&name("a"), "second".into());
        let record = &place.open().records().unwrap()[0];
        assert_eq!((record.uses, record.size, record.description.as_str()), (2, 5, "second"));
        assert!(record.created <= record.last_used);
        assert_eq!((record.id.hex(), record.kind), (name("a").as_str(), "exec.cachemount"));
    }

    #[test]
    fn folder_is_measured_again_when_it_was_used() {
        let place = Place::new();
        place.make(&name("a"), 5);
        let folders = place.open();
        let size = || folders.records().unwrap()[0].size;
        assert_eq!(size(), 5);
        place.make(&name("a"), 7);
        assert_eq!(size(), 5);
        folders.note_use(&name("a"), String::new());
        assert_eq!(size(), 7);
    }

    #[test]
    fn folder_that_somebody_has_is_not_removed() {
        let place = Place::new();
        place.make(&name("a"), 1);
        place.make(&format!("{}-1", name("a")), 2);
        let folders = place.open();
        let all: BTreeSet<Digest> = folders.records().unwrap().into_iter().map(|record| record.id).collect();
        assert_eq!(all.len(), 2);
        let lock = folders.locks.lock(&Digest::of(name("a").as_bytes()));
        let used = lock.try_read().unwrap();
        assert!(folders.records().unwrap().iter().any(|record| record.is_in_use));
        assert_eq!(folders.remove(&all).unwrap().reclaimed, 2);
        drop(used);
        assert_eq!(folders.remove(&all).unwrap().ids, [format!("sha256:{}", name("a"))]);
        assert!(entries(&place.path()).unwrap().is_empty());
    }
}
