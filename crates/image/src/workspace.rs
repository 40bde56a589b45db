//! Layers that are made here one after the other, and belong to no image until the end: those of a build.
//!
//! An [`Ingest`] holds them meanwhile. A writable layer is a snapshot as a container has it; when whoever wrote to it is done,
//! its tree becomes the layer as it is: its tar is only hashed, and made of the tree when somebody wants to have it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use oci::{Digest, Hasher};
use rustix::fd::AsFd as _;

use crate::error::{Error, Result};
use crate::ingest::{Ingest, UnpackedLayer, open_folder};
use crate::layer::LayerError;
use crate::layout::make_dir;
use crate::record::{Durability, LayerRecord};
use crate::snapshot::{MAX_LOWER_LAYERS, OverlayParts};
use crate::store::{ImageStore, Shared};
use crate::tree::{Measured, measure, measure_like, write_layer};

impl Ingest {
    /// Claims the layers of an image, the lowest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn lease_image(&self, image: &Digest) -> Result<Vec<Digest>> {
        let mut index = self.shared().write();
        let entry = index.images.get(image).ok_or_else(|| Error::NotFound(image.to_string()))?;
        let layers = entry.record.layers.clone();
        self.lease(&mut index).layers.extend(layers.iter().cloned());
        Ok(layers)
    }

    /// Claims layers that were made before, all or none.
    pub fn lease_layers(&self, layers: &[Digest]) -> bool {
        let mut index = self.shared().write();
        let are_there = layers.iter().all(|layer| index.layers.contains_key(layer));
        if are_there {
            self.lease(&mut index).layers.extend(layers.iter().cloned());
        }
        are_there
    }

    /// Whether a layer was made here.
    pub(crate) fn is_made(&self, diff_id: &Digest) -> bool {
        self.shared().read().layers.get(diff_id).is_some_and(|record| record.made.is_some())
    }

    /// Begins a writable layer over these, the lowest first, which [`Ingest::finish_layer`] or
    /// [`ImageStore::remove_snapshot`] ends.
    ///
    /// # Errors
    /// When one of them is not there, there are too many, or `id` is taken. Nothing is left behind then.
    pub fn begin_layer(&self, id: &str, below: &[Digest]) -> Result<OverlayParts> {
        let count = below.iter().collect::<BTreeSet<_>>().len();
        if let Some(image) = below.last().filter(|_| count > MAX_LOWER_LAYERS) {
            return Err(Error::TooManyLayers { image: image.clone(), count, max: MAX_LOWER_LAYERS });
        }
        self.store().prepare_over(id, below.to_vec())
    }

    /// Removes a writable layer. One that is not there is no error.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove_layer(&self, id: &str) -> Result<()> {
        self.store().remove_snapshot(id)
    }

    /// Makes a layer of a writable one to which nobody writes any more, and tells its diffID. The writable layer is gone then.
    ///
    /// # Errors
    /// When it is not there or cannot be read; it stays then.
    pub fn finish_layer(&self, id: &str) -> Result<Digest> {
        let upper = self.store().open_snapshot(id)?.upper;
        let measured = measure_tree(&upper)?;
        self.make_layer(id, &upper, &measured)?;
        Ok(measured.digest)
    }

    /// As [`Ingest::finish_layer`], of one that has links to files of an earlier layer where they are the same: of as much of it as
    /// is the same from the start the digest is known.
    ///
    /// # Errors
    /// As there.
    pub fn finish_layer_like(&self, id: &str, earlier: Option<&Digest>) -> Result<Digest> {
        let shared = self.shared();
        let upper = self.store().open_snapshot(id)?.upper;
        let tree = open_folder(&upper)?;
        // All links are there by now, so that files with the inodes of a tree that is in its place are the files of that tree.
        let known = earlier.map(|layer| shared.checkpoints.of(layer, &shared.layout.layer_tree(layer)));
        let (measured, checkpoints) = measure_like(tree.as_fd(), known.as_deref().unwrap_or_default())?;
        debug_assert_eq!(measured.digest, measure_tree(&upper)?.digest, "of what was hashed again");
        // Of a tree that was not taken the inodes are free for others.
        if self.make_layer(id, &upper, &measured)? {
            shared.checkpoints.keep(measured.digest.clone(), tree, checkpoints);
        }
        Ok(measured.digest)
    }

    /// Makes a layer of what was written to, and tells whether there was none like it.
    fn make_layer(&self, id: &str, upper: &Path, measured: &Measured) -> Result<bool> {
        let folder = self.fresh_path("layer");
        make_dir(&folder, 0o700)?;
        let layer = UnpackedLayer::new(folder, measured.size);
        fs::rename(upper, layer.tree()).map_err(Error::io("move", upper))?;
        let is_new = self.place_made_layer(layer, &measured.digest, measured.length)?;
        self.store().remove_snapshot(id)?;
        Ok(is_new)
    }

    /// Moves a tree to its place, and tells whether it is there now: the same may have been there.
    fn place_made_layer(&self, layer: UnpackedLayer, diff_id: &Digest, length: u64) -> Result<bool> {
        let shared = self.shared();
        let mut index = shared.write();
        let is_new = !index.layers.contains_key(diff_id);
        if is_new {
            let target = shared.layout.layer(diff_id);
            fs::rename(layer.folder(), &target).map_err(Error::io("place layer", &target))?;
            let durability = Durability::Since(shared.boot.clone());
            let record = LayerRecord {
                size: layer.size(),
                archive: None,
                made: Some(length),
                compressed: None,
                durability,
            };
            if let Err(error) = shared.records.put(diff_id.as_str(), &record) {
                drop(shared.layout.discard(&target)?);
                return Err(error.into());
            }
            index.layers.insert(diff_id.clone(), record);
        }
        self.lease(&mut index).layers.insert(diff_id.clone());
        drop(index);
        drop(layer);
        Ok(is_new)
    }
}

impl Shared {
    /// The archive of a layer that was made here, made of its tree where it is not there.
    ///
    /// # Errors
    /// [`Error::Layer`] when the tree is not what it was; when there is no space.
    pub(crate) fn make_archive(self: &Arc<Self>, diff_id: &Digest) -> Result<()> {
        let ingest = ImageStore { shared: Arc::clone(self) }.ingest()?;
        let path = ingest.fresh_path("archive");
        let mut file = File::create_new(&path).map_err(Error::io("make", &path))?;
        let tree = self.layout.layer_tree(diff_id);
        let mut hashed = Hashed { file: &mut file, hasher: Hasher::new(diff_id.algorithm()) };
        let mut out = BufWriter::with_capacity(64 << 10, &mut hashed);
        write_layer(open_folder(&tree)?, &mut out)?;
        out.flush().map_err(Error::io("write the archive of", &tree))?;
        drop(out);
        let actual = hashed.hasher.finish();
        if actual != *diff_id {
            let source = LayerError::DiffId { expected: diff_id.clone(), actual };
            return Err(Error::Layer { layer: diff_id.clone(), source });
        }
        ingest.place_archive(&path, diff_id)
    }
}

/// Measures the tar of a layer's tree without making it.
pub(crate) fn measure_tree(tree: &Path) -> Result<Measured> {
    Ok(measure(open_folder(tree)?)?)
}

/// Writes to a file and hashes what it writes.
struct Hashed<'a> {
    file: &'a mut File,
    hasher: Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
