//! What is kept about images, layers and snapshots, beside their files.

use std::collections::{BTreeMap, BTreeSet};

use oci::Digest;
use serde::{Deserialize, Serialize};
use store::Record;

use crate::manifest::Descriptor;

/// An image, by its ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// The manifest it came with, where it came with one.
    pub(crate) manifest: Option<Descriptor>,
    /// What it keeps in `blobs/` by itself: configuration, manifests, indexes. Layers keep their own archives.
    pub(crate) blobs: BTreeSet<Digest>,
    /// Digests of its uncompressed layers, the lowest first.
    pub(crate) layers: Vec<Digest>,
    /// What its manifest says besides, where the manifest is made here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The image it was made from, where that was done here.
    pub(crate) parent: Option<Digest>,
    /// When a name was last given to it, nanoseconds since 1970 UTC.
    pub(crate) tagged_at: Option<i64>,
    /// Whether the disk is known to have it.
    pub(crate) durability: Durability,
}

/// A name, by its complete form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReferenceRecord {
    /// The ID of the image that is meant where no platform is asked for.
    pub(crate) image: Digest,
    /// The index that the name stands for, where it stands for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Descriptor>,
    /// The images of other platforms in this index that are here too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<Digest>,
}

impl ReferenceRecord {
    /// A name of one image.
    pub(crate) fn of(image: Digest) -> Self {
        Self { image, index: None, others: Vec::new() }
    }

    /// All images that have the name, the one that is meant without a platform first.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.image).chain(&self.others)
    }

    /// Whether an image has this name.
    pub(crate) fn names(&self, image: &Digest) -> bool {
        self.images().any(|other| other == image)
    }

    /// What is left without some images; `None` where nothing is.
    pub(crate) fn without(&self, gone: impl Fn(&Digest) -> bool) -> Option<Self> {
        let mut left = self.images().filter(|image| !gone(image)).cloned();
        let image = left.next()?;
        Some(Self { image, index: self.index.clone(), others: left.collect() })
    }
}

/// An unpacked layer, by the digest of its uncompressed tar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Bytes in its files.
    pub(crate) size: u64,
    /// The blob it was unpacked from: its tar, byte for byte, as it came.
    pub(crate) archive: Option<Digest>,
    /// Bytes of its tar where it was made here, so that the tar can be made of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<u64>,
    /// What it becomes when it is compressed for a registry, where that was found out. It is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) compressed: Option<Compressed>,
    /// Whether the disk is known to have it.
    pub(crate) durability: Durability,
}

/// The compressed form of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compressed {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its length in bytes.
    pub(crate) size: u64,
}

/// A container's writable layer, by the container's ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    /// Digests of the uncompressed layers under it, the lowest first.
    pub(crate) layers: Vec<Digest>,
}

/// Layers that are kept although no image has them, by a name that whoever keeps them has for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRecord {
    /// The layers, the lowest first.
    pub(crate) layers: Vec<Digest>,
    /// What whoever keeps them wants to know of them.
    pub(crate) note: String,
}

/// Whether files that a record speaks of would survive a power cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Durability {
    /// They were synchronised.
    Durable,
    /// They may still be in memory only, as long as the machine runs that has this boot ID. Under another boot ID they
    /// are not trusted unless they verify.
    Since(String),
}

impl Durability {
    /// Whether the files can be relied on in this boot.
    pub(crate) fn is_trusted(&self, boot: &str) -> bool {
        match self {
            Self::Durable => true,
            Self::Since(id) => id == boot,
        }
    }
}

impl Record for ImageRecord {
    const TABLE: &'static str = "image";
    const VERSION: u32 = 1;
}

impl Record for ReferenceRecord {
    const TABLE: &'static str = "image-reference";
    const VERSION: u32 = 1;
}

impl Record for LayerRecord {
    const TABLE: &'static str = "image-layer";
    const VERSION: u32 = 1;
}

impl Record for KeptRecord {
    const TABLE: &'static str = "image-kept";
    const VERSION: u32 = 1;
}

impl Record for SnapshotRecord {
    const TABLE: &'static str = "image-snapshot";
    const VERSION: u32 = 1;
}
