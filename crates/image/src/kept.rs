//! Layers that somebody keeps by a name of their own: those that builds may use again.
//!
//! They are kept until they are released, over restarts too. Where one of them is lost, all of that name is forgotten when
//! the store is opened.

use oci::Digest;

use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::record::KeptRecord;
use crate::store::ImageStore;

/// Layers that are kept, with a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The layers, the lowest first.
    pub layers: Vec<Digest>,
    /// What whoever keeps them wants to know of them; of no meaning here.
    pub note: String,
}

impl Ingest {
    /// Keeps layers by a name; what had this name is replaced.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a layer is not there; when the records cannot be written.
    pub fn keep(&self, name: &str, kept: Kept) -> Result<()> {
        let shared = self.shared();
        let mut index = shared.write();
        if let Some(layer) = kept.layers.iter().find(|layer| !index.layers.contains_key(layer)) {
            return Err(Error::NotFound(layer.to_string()));
        }
        let Kept { layers, note } = kept;
        let record = KeptRecord { layers, note };
        shared.records.put(name, &record)?;
        index.kept.insert(name.to_owned(), record.layers);
        Ok(())
    }
}

impl ImageStore {
    /// All that is kept, by name, read from the disk.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub fn kept(&self) -> Result<Vec<(String, Kept)>> {
        let kept = |KeptRecord { layers, note }: KeptRecord| Kept { layers, note };
        let records = self.shared.records.list::<KeptRecord>()?.into_iter();
        Ok(records.map(|(name, record)| (name, kept(record))).collect())
    }

    /// Replaces notes, all or none. Names by which nothing is kept are passed over.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub fn note(&self, notes: Vec<(String, String)>) -> Result<()> {
        let index = self.shared.write();
        let known = |(name, note): (String, String)| {
            let record = KeptRecord { layers: index.kept.get(&name)?.clone(), note };
            Some((name, record))
        };
        let records: Vec<(String, KeptRecord)> = notes.into_iter().filter_map(known).collect();
        self.shared.records.transaction::<_, Error>(|transaction| {
            records.iter().try_for_each(|(name, record)| Ok(transaction.put(name, record)?))
        })
    }

    /// No longer keeps what has these names, and deletes what nothing needs then. Tells the bytes that this frees.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub fn release_kept(&self, names: &[String]) -> Result<u64> {
        let before = self.disk_size()?;
        let mut index = self.shared.write();
        self.shared.records.transaction::<_, Error>(|transaction| {
            names
                .iter()
                .try_for_each(|name| transaction.remove::<KeptRecord>(name).map(drop).map_err(Into::into))
        })?;
        names.iter().for_each(|name| drop(index.kept.remove(name)));
        let trash = self.shared.collect(&mut index)?;
        drop(index);
        drop(trash);
        Ok(before.saturating_sub(self.disk_size()?))
    }

    /// Bytes in the files of each of these layers; 0 for one that is not there.
    pub fn layer_sizes(&self, layers: &[Digest]) -> Vec<u64> {
        let index = self.shared.read();
        layers.iter().map(|layer| index.layers.get(layer).map_or(0, |record| record.size)).collect()
    }

    /// Whether an image has this layer.
    pub fn is_in_image(&self, layer: &Digest) -> bool {
        self.shared.read().images.values().any(|entry| entry.record.layers.contains(layer))
    }

    /// The folder with the tree of a layer, for reading. It stays as long as the layer is leased or kept.
    pub fn layer_tree(&self, layer: &Digest) -> std::path::PathBuf {
        self.shared.layout.layer_tree(layer)
    }
}
