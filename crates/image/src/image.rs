//! An image as others see it.

use std::sync::Arc;

use jiff::Timestamp;
use oci::{Digest, ImageConfig, Reference};

use crate::manifest::Descriptor;

/// What the store knows of an image, at one moment.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its ID: the digest of its configuration.
    pub id: Digest,
    /// Its configuration. The bytes it was read from are [`crate::ImageStore::blob`] of the ID.
    pub config: Arc<ImageConfig>,
    /// The manifest it came with.
    pub manifest: Option<Descriptor>,
    /// Its names with a tag, in order.
    pub repo_tags: Vec<Reference>,
    /// Its names with a digest, in order.
    pub repo_digests: Vec<Reference>,
    /// Bytes in the files of its layers.
    pub size: u64,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When a name was last given to it, or when it came.
    pub tagged_at: Option<Timestamp>,
    /// The image it was made from, where that was done here.
    pub parent: Option<Digest>,
    /// Digests of its uncompressed layers, the lowest first.
    pub layers: Vec<Digest>,
}

impl Image {
    /// Whether it has no name with a tag.
    pub fn is_dangling(&self) -> bool {
        self.repo_tags.is_empty()
    }
}

/// One step of how an image came to be, the newest first in a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryItem {
    /// The image's ID for the newest step; `None` (`<missing>`) for those before it.
    pub id: Option<Digest>,
    /// When.
    pub created: Option<Timestamp>,
    /// By which instruction.
    pub created_by: String,
    /// Names of the image, for the newest step.
    pub tags: Vec<Reference>,
    /// Bytes in the files of its layer; 0 where it made none.
    pub size: u64,
    /// A note.
    pub comment: String,
}
