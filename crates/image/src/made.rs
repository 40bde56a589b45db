//! Images that are made here: of a container's writable layer, or of a tar of a whole root file system.
//!
//! The layer of a container goes through one pipe: its tree is read once, and the tar that is made of it is hashed, kept and
//! unpacked as it passes. The container's own files stay its own, for it may go on writing to them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, History, ImageConfig, Reference};

use crate::error::{Error, Result};
use crate::image::Image;
use crate::ingest::{Draft, Ingest, NewLayer};
use crate::layer::LayerStream;
use crate::manifest::to_json;
use crate::store::ImageStore;
use crate::tree::{TreeError, write_layer};

/// The digest of a tar without entries: a layer that changes nothing, and that no image needs.
const EMPTY_TAR: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// What is said of an image that is made here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewImage {
    /// Its configuration, with the layers and the history of the image below; a new layer and step are added to these.
    pub config: ImageConfig,
    /// The step that makes it.
    pub step: History,
    /// The image that it is made from.
    pub parent: Option<Digest>,
    /// The names that it is given.
    pub references: Vec<Reference>,
}

impl ImageStore {
    /// Makes an image of what a container changed. Without any change it has the layers of the image below.
    ///
    /// # Errors
    /// When the snapshot or a layer below it is not there, or the store cannot be written. Nothing is left behind then.
    pub fn commit_snapshot(&self, id: &str, image: NewImage) -> Result<Image> {
        let upper = self.open_snapshot(id)?.upper;
        let ingest = self.ingest()?;
        for layer in &image.config.rootfs.diff_ids {
            ingest.lease_tree(layer).ok_or_else(|| Error::NotFound(layer.to_string()))?;
        }
        let tree = File::open(&upper).map_err(Error::io("open folder", &upper))?;
        let (mut reader, writer) = io::pipe().map_err(Error::io("make a pipe for", &upper))?;
        let (file, layer) = std::thread::scope(|scope| {
            let archive = scope.spawn(move || {
                let mut out = BufWriter::with_capacity(64 << 10, writer);
                write_layer(tree.into(), &mut out).and_then(|_| out.flush().map_err(TreeError::Write))
            });
            let unpacked = ingest.new_layer(&mut reader, &mut |_| {});
            // Lets the other thread go, whatever it was about to write.
            drop(reader);
            // A thread that panics is a bug, and goes on as one.
            let archived = archive.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (archived, unpacked) {
                // The other end failed: that is the failure to tell.
                (Err(TreeError::Write(_)), Err(error)) => Err(error),
                (Err(error), _) => Err(error.into()),
                (Ok(()), unpacked) => unpacked,
            }
        })?;
        ingest.finish(image, &file, layer)
    }

    /// Makes an image of one layer: the root file system in a tar, plain or compressed with gzip or zstd. `progress` is told
    /// of each piece that was read.
    ///
    /// # Errors
    /// When the tar is malformed or truncated, or the store cannot be written. Nothing is left behind then.
    pub fn import(
        &self,
        reader: &mut (dyn Read + Send),
        image: NewImage,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Image> {
        let ingest = self.ingest()?;
        let (file, layer) = ingest.new_layer(reader, progress)?;
        ingest.finish(image, &file, layer)
    }
}

impl Ingest {
    /// Reads a layer whose digests nobody knows yet, unpacks it, and keeps the bytes as they came in a file.
    fn new_layer(
        &self,
        reader: &mut (dyn Read + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(PathBuf, NewLayer)> {
        let file = self.fresh_path("blob");
        let kept = File::create_new(&file).map_err(Error::io("make", &file))?;
        let stream = LayerStream { blob: Some(&kept), ..LayerStream::of(reader, progress) };
        Ok((file, self.unpack_new(stream, Algorithm::Sha256, Error::NewLayer)?))
    }

    /// Adds the layer to the configuration, and commits the image.
    fn finish(self, mut image: NewImage, file: &Path, layer: NewLayer) -> Result<Image> {
        let is_empty = layer.diff_id.as_str() == EMPTY_TAR;
        if is_empty {
            fs::remove_file(file).map_err(Error::io("remove", file))?;
        } else {
            let NewLayer { unpacked, diff_id, digest } = layer;
            self.place_blob(file, &digest)?;
            self.place_layer(unpacked, &digest, &diff_id)?;
            image.config.rootfs.diff_ids.push(diff_id);
        }
        image.config.history.push(History { empty_layer: is_empty, ..image.step });
        let content = to_json(&image.config);
        let id = Digest::of(&content);
        self.put_document("image config", &id, &content)?;
        let draft = Draft { config: id, manifest: None, documents: Vec::new(), references: image.references };
        self.commit_from(draft, image.parent)
    }
}
