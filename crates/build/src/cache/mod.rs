//! Results of earlier builds, by key.
//!
//! A result is a list of layers that the image store keeps under the key ([`image::Kept`]), with a [`Note`] about it; both are
//! written in one step, so that a key never stands for something else than what was made for it. The notes are in memory
//! too. When a result was used is written at the end of a build, off anybody's way.

mod explain;
mod note;
mod prune;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image::{ImageStore, Ingest, Kept};
use jiff::Timestamp;
use oci::Digest;

use crate::error::Error;

pub(crate) use note::{ELSEWHERE, Identity, Note};
pub use prune::{CacheFilter, CacheRecord, Pruned};

/// All results.
#[derive(Debug)]
pub(crate) struct Cache {
    images: Arc<ImageStore>,
    entries: Mutex<HashMap<Digest, Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    layers: Vec<Digest>,
    note: Note,
    /// Whether the note on disk is older.
    is_used: bool,
}

/// A result that was there.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// All layers, the lowest first.
    pub(crate) layers: Vec<Digest>,
    /// The one that was made, where there is one.
    pub(crate) layer: Option<Digest>,
    /// What the result is called in the keys of others.
    pub(crate) result: Digest,
    /// When it was made.
    pub(crate) created: Timestamp,
}

impl Cache {
    /// Reads what is there. Notes that cannot be read, and those of other versions, are released.
    pub(crate) fn open(images: Arc<ImageStore>) -> Result<Self, Error> {
        let mut entries = HashMap::new();
        let mut unknown = Vec::new();
        for (name, Kept { layers, note }) in images.kept()? {
            match (name.parse::<Digest>(), Note::read(&note)) {
                (Ok(key), Some(note)) => {
                    entries.insert(key, Entry { layers, note, is_used: false });
                }
                _ => unknown.push(name),
            }
        }
        if !unknown.is_empty() {
            images.release_kept(&unknown)?;
        }
        Ok(Self { images, entries: Mutex::new(entries) })
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a result and claims its layers.
    pub(crate) fn find(&self, key: &Digest, ingest: &Ingest) -> Option<Hit> {
        let mut entries = self.entries();
        let entry = entries.get_mut(key)?;
        if !ingest.lease_layers(&entry.layers) {
            // A check has put a damaged layer out of use.
            entries.remove(key);
            drop(entries);
            self.release(key);
            return None;
        }
        entry.note.last_used = Timestamp::now();
        entry.note.uses += 1;
        entry.is_used = true;
        let Entry { layers, note, .. } = entry;
        let (layer, result, created) = (note.layer.clone(), note.result.clone(), note.created);
        Some(Hit { layers: layers.clone(), layer, result, created })
    }

    /// Forgets what can no longer be used. Without it the other layers of the result stay until it is pruned.
    fn release(&self, key: &Digest) {
        if let Err(error) = self.images.release_kept(&[key.to_string()]) {
            tracing::warn!(%key, %error, "cannot release a result whose layers are gone");
        }
    }

    /// Keeps a result, for which the layers are claimed by `ingest`.
    pub(crate) fn put(
        &self,
        key: &Digest,
        ingest: &Ingest,
        layers: Vec<Digest>,
        note: Note,
    ) -> Result<(), Error> {
        ingest.keep(key.as_str(), Kept { layers: layers.clone(), note: note.write() })?;
        self.entries().insert(key.clone(), Entry { layers, note, is_used: false });
        Ok(())
    }

    /// The keys of all results, without the name of the algorithm.
    pub(crate) fn names(&self) -> HashSet<String> {
        self.entries().keys().map(|key| key.hex().to_owned()).collect()
    }

    /// Why there is no result for what has this identity.
    pub(crate) fn explain(&self, identity: &Identity) -> String {
        explain::explain(identity, self.entries().values().map(|entry| &entry.note))
    }

    /// What the newest result of this operation is the result of.
    pub(crate) fn newest(&self, operation: &serde_json::Value) -> Option<Identity> {
        let entries = self.entries();
        let same = entries.values().filter(|entry| entry.note.identity.operation == *operation);
        same.max_by_key(|entry| entry.note.created).map(|entry| entry.note.identity.clone())
    }

    /// The newest result of the same instruction on other files: its key, and the layer that it made.
    pub(crate) fn previous(&self, identity: &Identity) -> Option<(Digest, Digest)> {
        let entries = self.entries();
        let same = entries.iter().filter(|(_, entry)| {
            let note = &entry.note;
            // Of what is from elsewhere nobody has a list of files.
            note.identity.operation == identity.operation
                && note.layer.is_some()
                && !note.identity.is_from_elsewhere()
        });
        let (key, entry) = same.max_by_key(|(_, entry)| entry.note.created)?;
        Some((key.clone(), entry.note.layer.clone()?))
    }

    /// Writes down which results were used.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let mut notes = Vec::new();
        for (key, entry) in self.entries().iter_mut().filter(|(_, entry)| entry.is_used) {
            entry.is_used = false;
            notes.push((key.to_string(), entry.note.write()));
        }
        if notes.is_empty() { Ok(()) } else { Ok(self.images.note(notes)?) }
    }
}
