//! What the store knows, in memory: a mirror of the records, with the questions asked of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use oci::reference::is_identifier;
use oci::{Digest, ImageConfig, Reference};

use crate::manifest::Descriptor;
use crate::record::{ImageRecord, LayerRecord, ReferenceRecord, SnapshotRecord};

/// An image's record, and its configuration once somebody has asked for it.
#[derive(Debug)]
pub(crate) struct ImageEntry {
    pub(crate) record: ImageRecord,
    pub(crate) config: OnceLock<Arc<ImageConfig>>,
}

impl ImageEntry {
    pub(crate) fn new(record: ImageRecord) -> Self {
        Self { record, config: OnceLock::new() }
    }

    /// The same image with a changed record.
    pub(crate) fn with_record(&self, record: ImageRecord) -> Self {
        Self { record, config: self.config.clone() }
    }
}

/// What something that is under way needs, although no image refers to it yet.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) layers: BTreeSet<Digest>,
}

/// All records, and what is leased.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) images: BTreeMap<Digest, Arc<ImageEntry>>,
    pub(crate) references: BTreeMap<Reference, ReferenceRecord>,
    pub(crate) layers: BTreeMap<Digest, LayerRecord>,
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) snapshots: BTreeMap<String, SnapshotRecord>,
    pub(crate) kept: BTreeMap<String, Vec<Digest>>,
    pub(crate) leases: HashMap<u64, Lease>,
}

/// What nothing needs any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Garbage {
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: Vec<Digest>,
}

impl Index {
    /// What `text` names: a whole ID, a reference, or the beginning of one ID only, in this order.
    pub(crate) fn find_all(&self, text: &str, reference: Option<&Reference>) -> Option<ReferenceRecord> {
        let whole = if is_identifier(text) { Digest::from_sha256_hex(text) } else { text.parse() };
        if let Ok(id) = whole {
            return self.images.contains_key(&id).then_some(ReferenceRecord::of(id));
        }
        if let Some(record) = reference.and_then(|reference| self.references.get(&lookup_key(reference))) {
            return Some(record.clone());
        }
        self.find_by_prefix(text).map(ReferenceRecord::of)
    }

    /// The one image whose ID begins so, with or without `sha256:`.
    fn find_by_prefix(&self, text: &str) -> Option<Digest> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut found = self.images.keys().filter(|id| id.hex().starts_with(prefix));
        let first = found.next()?;
        found.next().is_none().then(|| first.clone())
    }

    /// All names of an image, in order.
    pub(crate) fn references_of(&self, id: &Digest) -> Vec<Reference> {
        let named = self.references.iter().filter(|(_, record)| record.names(id));
        named.map(|(reference, _)| reference.clone()).collect()
    }

    /// Keeps what is in `lease` until it is removed by its number.
    pub(crate) fn new_lease(&mut self, lease: Lease) -> u64 {
        let number = (0..).find(|number| !self.leases.contains_key(number)).unwrap_or_default();
        self.leases.insert(number, lease);
        number
    }

    /// Whether an image was made here from this one.
    pub(crate) fn has_children(&self, id: &Digest) -> bool {
        self.images.values().any(|entry| entry.record.parent.as_ref() == Some(id))
    }

    /// Bytes in the files of these layers. A layer that is there twice counts twice, as in Docker.
    pub(crate) fn size_of(&self, layers: &[Digest]) -> u64 {
        layers.iter().filter_map(|layer| self.layers.get(layer)).map(|record| record.size).sum()
    }

    /// Whether all these blobs are there.
    pub(crate) fn has_blobs(&self, blobs: &[Descriptor]) -> bool {
        blobs.iter().all(|blob| self.blobs.contains(&blob.digest))
    }

    /// What no image, snapshot or lease refers to, and nobody keeps.
    pub(crate) fn garbage(&self) -> Garbage {
        let images = || self.images.values().map(|entry| &entry.record);
        let leases = || self.leases.values();
        let mut blobs: BTreeSet<&Digest> = images().flat_map(|record| &record.blobs).collect();
        blobs.extend(leases().flat_map(|lease| &lease.blobs));
        let mut layers: BTreeSet<&Digest> = images().flat_map(|record| &record.layers).collect();
        layers.extend(self.snapshots.values().flat_map(|snapshot| &snapshot.layers));
        layers.extend(self.kept.values().flatten());
        layers.extend(leases().flat_map(|lease| &lease.layers));
        let kept = self.layers.iter().filter(|(layer, _)| layers.contains(layer));
        blobs.extend(kept.filter_map(|(_, record)| record.archive.as_ref()));
        Garbage {
            blobs: self.blobs.iter().filter(|blob| !blobs.contains(blob)).cloned().collect(),
            layers: self.layers.keys().filter(|layer| !layers.contains(layer)).cloned().collect(),
        }
    }
}

/// Under which name a reference is kept: the digest alone where it has one, else its tag or `latest`.
pub(crate) fn lookup_key(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Durability;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn image(layers: &[&str], blobs: &[&str]) -> Arc<ImageEntry> {
        Arc::new(ImageEntry::new(ImageRecord {
            manifest: None,
            blobs: blobs.iter().map(|blob| digest(blob)).collect(),
            layers: layers.iter().map(|layer| digest(layer)).collect(),
            annotations: Default::default(),
            parent: None,
            tagged_at: None,
            durability: Durability::Durable,
        }))
    }

    #[test]
    fn find_prefix_of_one_image_is_found_and_of_two_is_not() {
        let mut index = Index::default();
        let ids: Vec<Digest> = ["00a", "00b", "1"]
            .map(|start| format!("sha256:{start}{}", "0".repeat(64 - start.len())).parse().unwrap())
            .into();
        for id in &ids {
            index.images.insert(id.clone(), image(&[], &[]));
        }
        let find =
            |text: &str| index.find_all(text, Reference::parse(text).ok().as_ref()).map(|named| named.image);
        assert_eq!(find("00a"), Some(ids[0].clone()));
        assert_eq!(find("sha256:1"), Some(ids[2].clone()));
        assert_eq!(find("00"), None);
        assert_eq!(find(ids[1].as_str()), Some(ids[1].clone()));
        assert_eq!(find(ids[1].hex()), Some(ids[1].clone()));
        assert_eq!(find("2"), None);
        assert_eq!(find("0x"), None);
    }

    #[test]
    fn find_name_goes_before_id_prefix() {
        let mut index = Index::default();
        let id: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let other = digest("other");
        index.images.insert(id.clone(), image(&[], &[]));
        index.images.insert(other.clone(), image(&[], &[]));
        let name = Reference::parse("aaa").unwrap();
        assert_eq!(index.find_all("aaa", Some(&name)).map(|named| named.image), Some(id));
        index.references.insert(name.clone().or_latest(), ReferenceRecord::of(other.clone()));
        assert_eq!(index.find_all("aaa", Some(&name)).map(|named| named.image), Some(other));
    }

    #[test]
    fn garbage_is_what_nobody_needs_or_keeps() {
        let mut index = Index::default();
        index.images.insert(digest("i"), image(&["a"], &["x"]));
        index.snapshots.insert("c".into(), SnapshotRecord { layers: vec![digest("b")] });
        index.leases.insert(1, Lease { blobs: [digest("y")].into(), layers: [digest("c")].into() });
        index.kept.insert("k".into(), vec![digest("e")]);
        for layer in ["a", "b", "c", "d", "e"] {
            let archive = Some(digest(&format!("{layer}.tar")));
            index.layers.insert(
                digest(layer),
                LayerRecord {
                    size: 1,
                    archive,
                    made: None,
                    compressed: None,
                    durability: Durability::Durable,
                },
            );
        }
        index.blobs = ["x", "y", "b.tar", "d.tar", "e.tar"].map(digest).into();
        assert_eq!(index.garbage(), Garbage { blobs: vec![digest("d.tar")], layers: vec![digest("d")] });
    }
}
