//! Removing images that nobody uses, and what images take of the disk.

use jiff::Timestamp;
use oci::Digest;

use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filters;
use crate::image::Image;
use crate::remove::{Force, Removed, Users};
use crate::store::ImageStore;

/// Which unused images go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Only those without a tag.
    pub dangling_only: bool,
    /// Made before this moment.
    pub until: Option<Timestamp>,
    /// `name` or `name=value`; an image needs all of them.
    pub labels: Vec<String>,
    /// `name` or `name=value`; an image must have none of them.
    pub without_labels: Vec<String>,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names, images and layers.
    pub removed: Vec<Removed>,
    /// Bytes.
    pub reclaimed: u64,
}

impl ImageStore {
    /// Removes images that no container uses and that match, with all their names. `users` tells which containers use an
    /// image.
    ///
    /// # Errors
    /// When the store cannot be read or written. What was removed by then stays removed.
    pub fn prune(&self, unused: &Unused, users: &dyn Fn(&Digest) -> Users) -> Result<Pruned> {
        let filters = Filters {
            dangling: unused.dangling_only.then_some(true),
            labels: unused.labels.clone(),
            without_labels: unused.without_labels.clone(),
            until: unused.until,
            all: true,
            ..Filters::default()
        };
        let before = self.disk_size()?;
        let mut pruned = Pruned::default();
        // An image without its children is one that nobody needs any more.
        loop {
            let count = pruned.removed.len();
            for image in self.list(&filters)? {
                if users(&image.id) == Users::default() && !self.is_intermediate(&image) {
                    pruned.removed.extend(self.remove_names(&image, users)?);
                }
            }
            if pruned.removed.len() == count {
                break;
            }
        }
        pruned.reclaimed = before.saturating_sub(self.disk_size()?);
        Ok(pruned)
    }

    /// Bytes that layers and everything else of images take, as they are and as they came.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn disk_size(&self) -> Result<u64> {
        let index = self.shared.read();
        let layers: u64 = index.layers.values().map(|record| record.size).sum();
        let blobs: Vec<Digest> = index.blobs.iter().cloned().collect();
        drop(index);
        // One that went meanwhile takes nothing.
        Ok(layers + blobs.iter().filter_map(|blob| self.shared.blob_size(blob).ok()).sum::<u64>())
    }

    /// Bytes in the files of an image's layers that other images have too.
    pub fn shared_size(&self, image: &Image) -> u64 {
        let index = self.shared.read();
        let others = || index.images.iter().filter(|(id, _)| **id != image.id);
        let is_shared = |layer: &&Digest| others().any(|(_, other)| other.record.layers.contains(layer));
        let shared: Vec<Digest> = image.layers.iter().filter(is_shared).cloned().collect();
        index.size_of(&shared)
    }

    fn is_intermediate(&self, image: &Image) -> bool {
        image.repo_tags.is_empty() && image.repo_digests.is_empty() && self.has_children(&image.id)
    }

    /// What cannot be removed just now stays.
    fn remove_names(&self, image: &Image, users: &dyn Fn(&Digest) -> Users) -> Result<Vec<Removed>> {
        let names = image.repo_tags.iter().chain(&image.repo_digests);
        let mut names: Vec<String> = names.map(ToString::to_string).collect();
        if names.is_empty() {
            names.push(image.id.to_string());
        }
        let mut removed = Vec::new();
        for name in names {
            // What the name stands for on another platform may be in use.
            if self.resolve_all(&name).is_ok_and(|all| all.iter().any(|it| users(&it.id) != Users::default()))
            {
                continue;
            }
            match self.remove(&name, Force::No, users) {
                Ok(more) => removed.extend(more),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

/// Whether somebody was faster, with a container or with a removal.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
}
