//! What images take of the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use oci::Digest;

use crate::error::Result;
use crate::index::Index;
use crate::record::ImageRecord;
use crate::store::ImageStore;

/// What all images take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes of everything that is stored: layers, unpacked and as they came, and documents.
    pub all: u64,
    /// What each image takes of it.
    pub images: BTreeMap<Digest, ImageUsage>,
}

/// What an image takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageUsage {
    /// Bytes of everything that it needs.
    pub size: u64,
    /// Bytes of what other images need too.
    pub shared: u64,
}

/// A part of an image on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// An unpacked layer.
    Tree(Digest),
    Blob(Digest),
}

impl ImageStore {
    /// What is stored, and which image needs how much of it: the sizes of files, as they are on disk. Removing the only
    /// image that needs something frees what it does not share.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let all = self.disk_size()?;
        let index = self.shared.read();
        let parts: BTreeMap<Digest, BTreeSet<Part>> =
            index.images.iter().map(|(id, entry)| (id.clone(), parts(&index, &entry.record))).collect();
        let trees: HashMap<Digest, u64> =
            index.layers.iter().map(|(id, layer)| (id.clone(), layer.size)).collect();
        drop(index);
        let mut known: HashMap<&Part, (u64, usize)> = HashMap::new();
        for part in parts.values().flatten() {
            let size = || match part {
                Part::Tree(layer) => trees.get(layer).copied().unwrap_or_default(),
                // One that went meanwhile takes nothing.
                Part::Blob(blob) => self.shared.blob_size(blob).unwrap_or_default(),
            };
            known.entry(part).or_insert_with(|| (size(), 0)).1 += 1;
        }
        let usage = |own: &BTreeSet<Part>| {
            let parts = own.iter().filter_map(|part| known.get(part));
            parts.fold(ImageUsage::default(), |usage, (size, users)| ImageUsage {
                size: usage.size + size,
                shared: usage.shared + if *users > 1 { *size } else { 0 },
            })
        };
        let images = parts.iter().map(|(id, own)| (id.clone(), usage(own))).collect();
        Ok(DiskUsage { all, images })
    }
}

fn parts(index: &Index, record: &ImageRecord) -> BTreeSet<Part> {
    let archive = |layer: &Digest| index.layers.get(layer).and_then(|record| record.archive.clone());
    let layers = record.layers.iter();
    layers
        .clone()
        .cloned()
        .map(Part::Tree)
        .chain(layers.filter_map(archive).map(Part::Blob))
        .chain(record.blobs.iter().cloned().map(Part::Blob))
        .collect()
}
