//! Bringing an image into the store.
//!
//! An [`Ingest`] holds a lease on everything it brings or uses, so that none of it is collected before the image is
//! committed. What was brought and not committed goes when it is dropped.
//!
//! # What is on disk when
//!
//! Files are made in `ingest/` and moved to their place in one step when they are whole and verified; only then a record
//! speaks of them. Nothing is synchronised on this way. Instead each record says in which boot of the machine it was made,
//! and [`ImageStore::settle`], run in the background after a commit, synchronises once and marks the records as durable. A
//! kill of the process at any moment leaves nothing that is trusted and not whole; after a power cut, what was not marked
//! is verified or dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use oci::{Algorithm, Digest, HashingReader, ImageConfig, Platform, Reference};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result};
use crate::image::Image;
use crate::index::{ImageEntry, Index, Lease, lookup_key};
use crate::layer::{Compression, Expected, LayerError, LayerStream, Limits, MAGIC_LEN, unpack_stream};
use crate::layout::{TREE, make_dir};
use crate::manifest::{Descriptor, parse_json};
use crate::partial::PartialBlob;
use crate::record::{Durability, ImageRecord, LayerRecord, ReferenceRecord};
use crate::store::{ImageStore, Shared, digest_like};

/// An image on its way in. Operations block; those on different layers may run at the same time.
#[derive(Debug)]
pub struct Ingest {
    shared: Arc<Shared>,
    lease: u64,
    folder: PathBuf,
}

/// What an image consists of, once all of it was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Digest of the configuration: the image's ID.
    pub config: Digest,
    /// The manifest it came with.
    pub manifest: Option<Descriptor>,
    /// Manifests and indexes that belong to it.
    pub documents: Vec<Digest>,
    /// Names it is given.
    pub references: Vec<Reference>,
}

impl ImageStore {
    /// Begins to bring in an image.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn ingest(&self) -> Result<Ingest> {
        let folder = self.shared.layout.fresh("image");
        make_dir(&folder, 0o700)?;
        let mut index = self.shared.write();
        let lease = index.new_lease(Lease::default());
        drop(index);
        Ok(Ingest { shared: Arc::clone(&self.shared), lease, folder })
    }

    /// Waits until the disk has everything that was committed so far. Called in the background after each commit; calling
    /// it again is harmless.
    ///
    /// # Errors
    /// When the disk or the records fail; everything stays as it was then.
    pub fn settle(&self) -> Result<()> {
        self.shared.settle()
    }
}

impl Ingest {
    /// Keeps a manifest, index or configuration.
    ///
    /// # Errors
    /// [`Error::Digest`] when the content is not what the digest says.
    pub fn put_document(&self, what: &'static str, digest: &Digest, content: &[u8]) -> Result<()> {
        let actual = digest_like(digest, content);
        if actual != *digest {
            return Err(Error::Digest { what, expected: digest.clone(), actual });
        }
        if self.lease_blob(digest) {
            return Ok(());
        }
        let file = self.fresh_path("blob");
        fs::write(&file, content).map_err(Error::io("write", &file))?;
        self.place_blob(&file, digest)
    }

    /// Claims a blob if it is there.
    pub fn lease_blob(&self, digest: &Digest) -> bool {
        let mut index = self.shared.write();
        let is_there = index.blobs.contains(digest);
        if is_there {
            self.lease(&mut index).blobs.insert(digest.clone());
        }
        is_there
    }

    /// Claims the layer that came as this blob, if both are there and the blob has this size, and tells which it is.
    pub(crate) fn lease_archive(&self, archive: &Digest, size: u64) -> Option<Digest> {
        let actual = self.shared.blob_size(archive).ok();
        let mut index = self.shared.write();
        let is_it = |record: &LayerRecord| record.archive.as_ref() == Some(archive) && actual == Some(size);
        let diff_id = index.layers.iter().find(|(_, record)| is_it(record)).map(|(id, _)| id.clone())?;
        let lease = self.lease(&mut index);
        lease.blobs.insert(archive.clone());
        lease.layers.insert(diff_id.clone());
        Some(diff_id)
    }

    /// Claims a layer if it is there with its archive, or with what that can be made of, so that it need not be brought.
    pub fn lease_layer(&self, diff_id: &Digest) -> bool {
        let mut index = self.shared.write();
        let is_whole =
            index.layers.get(diff_id).is_some_and(|record| record.made.is_some() || record.archive.is_some());
        if is_whole {
            self.lease(&mut index).layers.insert(diff_id.clone());
        }
        is_whole
    }

    /// Claims a layer if its tree is there, and tells the blob it came as where that is still there.
    pub(crate) fn lease_tree(&self, diff_id: &Digest) -> Option<Option<Digest>> {
        let mut index = self.shared.write();
        let archive = index.layers.get(diff_id)?.archive.clone();
        self.lease(&mut index).layers.insert(diff_id.clone());
        Some(archive)
    }

    /// Reads a layer, verifies it, unpacks it, and keeps its compressed form. `progress` is told of each piece that was
    /// read and passed on to be unpacked. Memory is bounded whatever the layer's size.
    ///
    /// # Errors
    /// When `reader` fails, or the layer is not what `blob` and `diff_id` say, or cannot be unpacked. Nothing of it stays.
    pub fn layer(
        &self,
        blob: &Descriptor,
        diff_id: &Digest,
        reader: &mut (dyn Read + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        let partial = self.partial_blob(&blob.digest, 0)?;
        self.resume_layer(&partial, blob, diff_id, reader, progress)
    }

    /// The same, of a layer whose beginning may be here already: `reader` gives what follows it.
    ///
    /// # Errors
    /// As for [`Ingest::layer`].
    pub fn resume_layer(
        &self,
        partial: &PartialBlob,
        blob: &Descriptor,
        diff_id: &Digest,
        reader: &mut (dyn Read + Send),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        let path = partial.path();
        let begun = File::open(path).map_err(Error::io("open", path))?.take(partial.length());
        let kept = File::options().append(true).open(path).map_err(Error::io("open", path))?;
        let expected = Some(Expected { digest: &blob.digest, size: blob.size });
        let mut whole = begun.chain(reader);
        let written = partial.length();
        let stream = LayerStream { reader: &mut whole, expected, blob: Some(&kept), written, progress };
        let unpacked = self.unpack(stream, &blob.digest, diff_id)?;
        self.place_blob(path, &blob.digest)?;
        self.place_layer(unpacked, &blob.digest, diff_id)
    }

    /// Unpacks a layer from a file in the ingest folder and keeps that file. What it should be, where that is known, is
    /// verified on the way. `progress` is told of each piece of the file that was read.
    pub(crate) fn layer_from_file(
        &self,
        file: &Path,
        blob: Option<&Descriptor>,
        diff_id: &Digest,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        let mut reader = File::open(file).map_err(Error::io("open", file))?;
        let (unpacked, digest) = match blob {
            Some(Descriptor { digest, size, .. }) if digest != diff_id => {
                let expected = Some(Expected { digest, size: *size });
                let stream = LayerStream { expected, ..LayerStream::of(&mut reader, progress) };
                (self.unpack(stream, digest, diff_id)?, digest.clone())
            }
            // A plain tar is hashed once.
            _ => self.unpack_unnamed(&mut reader, diff_id, progress)?,
        };
        if let Some(blob) = blob.filter(|blob| blob.digest != digest) {
            return Err(Error::Digest { what: "layer", expected: blob.digest.clone(), actual: digest });
        }
        self.place_blob(file, &digest)?;
        self.place_layer(unpacked, &digest, diff_id)
    }

    fn unpack_unnamed(
        &self,
        reader: &mut File,
        diff_id: &Digest,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(UnpackedLayer, Digest)> {
        let failed = |source| Error::Layer { layer: diff_id.clone(), source };
        let new = self.unpack_new(LayerStream::of(reader, progress), diff_id.algorithm(), failed)?;
        if new.diff_id != *diff_id {
            return Err(failed(LayerError::DiffId { expected: diff_id.clone(), actual: new.diff_id }));
        }
        Ok((new.unpacked, new.digest))
    }

    /// Unpacks a layer of which nobody knows what it is yet.
    pub(crate) fn unpack_new(
        &self,
        stream: LayerStream<'_>,
        algorithm: Algorithm,
        failed: impl Fn(LayerError) -> Error,
    ) -> Result<NewLayer> {
        let LayerStream { reader, expected, blob, written, progress } = stream;
        let mut magic = Vec::with_capacity(MAGIC_LEN);
        let read = Read::take(&mut *reader, MAGIC_LEN as u64).read_to_end(&mut magic);
        read.map_err(|source| failed(LayerError::Read(source)))?;
        let compression = Compression::detect(&magic).map_err(&failed)?;
        let mut whole = io::Cursor::new(magic).chain(reader);
        if compression == Compression::None {
            let stream = LayerStream { reader: &mut whole, expected, blob, written, progress };
            let (unpacked, diff_id) = self.unpack_as(stream, algorithm, failed)?;
            return Ok(NewLayer { unpacked, digest: diff_id.clone(), diff_id });
        }
        let mut hashed = HashingReader::new(whole, algorithm);
        let stream = LayerStream { reader: &mut hashed, expected, blob, written, progress };
        let (unpacked, diff_id) = self.unpack_as(stream, algorithm, failed)?;
        let (digest, _, _) = hashed.finish();
        Ok(NewLayer { unpacked, digest, diff_id })
    }

    /// Unpacks a layer from a file whose digest is known to be `digest` into a folder that goes when the result is dropped.
    pub(crate) fn unpack_file(
        &self,
        file: &Path,
        digest: &Digest,
        diff_id: &Digest,
    ) -> Result<UnpackedLayer> {
        let mut reader = File::open(file).map_err(Error::io("open", file))?;
        self.unpack(LayerStream::of(&mut reader, &mut |_| {}), digest, diff_id)
    }

    /// Commits the image: from now on it is in the store.
    ///
    /// # Errors
    /// When a part of it is missing, or its configuration is malformed.
    pub fn commit(self, draft: Draft) -> Result<Image> {
        self.commit_as(draft, None, None)
    }

    /// Commits an image that was built here, with what its manifest is to say besides.
    ///
    /// # Errors
    /// As for [`Ingest::commit`].
    pub fn commit_built(self, draft: Draft, annotations: BTreeMap<String, String>) -> Result<Image> {
        self.commit_changed(draft, None, |record| {
            if record.annotations != annotations {
                // The one that it may have from a registry says something else.
                record.manifest = None;
                record.annotations = annotations;
            }
        })
    }

    /// Commits the image as the one of its platform in `index`, for which its names stand. Images of other platforms that
    /// have these names by the same index keep them.
    ///
    /// # Errors
    /// As for [`Ingest::commit`].
    pub fn commit_listed(self, draft: Draft, index: Descriptor) -> Result<Image> {
        self.commit_as(draft, Some(index), None)
    }

    /// As [`Ingest::commit`], of an image that was made here from another one.
    pub(crate) fn commit_from(self, draft: Draft, parent: Option<Digest>) -> Result<Image> {
        self.commit_as(draft, None, parent)
    }

    fn commit_as(self, draft: Draft, listed: Option<Descriptor>, parent: Option<Digest>) -> Result<Image> {
        self.commit_changed(draft, listed, |record| record.parent = parent.or(record.parent.take()))
    }

    fn commit_changed(
        self,
        draft: Draft,
        listed: Option<Descriptor>,
        change: impl FnOnce(&mut ImageRecord),
    ) -> Result<Image> {
        let content = self.shared.read_blob(&draft.config)?;
        let config: ImageConfig = parse_json("image configuration", &content)?;
        let mut index = self.shared.write();
        let mut record = self.record(&index, &draft, &config)?;
        change(&mut record);
        self.shared.put_image(&mut index, &draft, listed.as_ref(), record)?;
        let entry = Arc::clone(&index.images[&draft.config]);
        let image = self.shared.view(&index, &draft.config, &entry)?;
        drop(index);
        settle_in_background(Arc::clone(&self.shared));
        Ok(image)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn store(&self) -> ImageStore {
        ImageStore { shared: Arc::clone(&self.shared) }
    }

    /// A path that nothing has, in a folder that goes when this is dropped.
    pub(crate) fn fresh_path(&self, kind: &str) -> PathBuf {
        let name = self.shared.layout.fresh(kind);
        self.folder.join(name.file_name().unwrap_or(name.as_os_str()))
    }

    fn record(&self, index: &Index, draft: &Draft, config: &ImageConfig) -> Result<ImageRecord> {
        let missing = |what: &str, digest: &Digest| Error::Io {
            action: "commit image without its",
            path: format!("{what} {digest}").into(),
            source: io::ErrorKind::NotFound.into(),
        };
        let layers = config.rootfs.diff_ids.clone();
        if let Some(layer) = layers.iter().find(|layer| !index.layers.contains_key(layer)) {
            return Err(missing("layer", layer));
        }
        let mut blobs: BTreeSet<Digest> = draft.documents.iter().cloned().collect();
        blobs.insert(draft.config.clone());
        if let Some(blob) = blobs.iter().find(|blob| !index.blobs.contains(blob)) {
            return Err(missing("blob", blob));
        }
        let mut record = ImageRecord {
            manifest: draft.manifest.clone(),
            blobs,
            layers,
            annotations: BTreeMap::new(),
            parent: None,
            tagged_at: None,
            durability: Durability::Since(self.shared.boot.clone()),
        };
        if let Some(existing) = index.images.get(&draft.config) {
            record.blobs.extend(existing.record.blobs.iter().cloned());
            record.manifest = record.manifest.or_else(|| existing.record.manifest.clone());
            record.parent = existing.record.parent.clone();
            record.annotations = existing.record.annotations.clone();
            record.tagged_at = existing.record.tagged_at;
        }
        Ok(record)
    }

    pub(crate) fn lease<'a>(&self, index: &'a mut Index) -> &'a mut Lease {
        index.leases.entry(self.lease).or_default()
    }

    /// Unpacks a layer into a folder that goes when the result is dropped.
    fn unpack(&self, stream: LayerStream<'_>, name: &Digest, diff_id: &Digest) -> Result<UnpackedLayer> {
        let failed = |source| Error::Layer { layer: name.clone(), source };
        let (layer, actual) = self.unpack_as(stream, diff_id.algorithm(), failed)?;
        if actual == *diff_id {
            return Ok(layer);
        }
        Err(failed(LayerError::DiffId { expected: diff_id.clone(), actual }))
    }

    /// As [`Ingest::unpack`], of a layer whose diffID is found out by that.
    pub(crate) fn unpack_as(
        &self,
        stream: LayerStream<'_>,
        algorithm: Algorithm,
        failed: impl Fn(LayerError) -> Error,
    ) -> Result<(UnpackedLayer, Digest)> {
        let folder = self.fresh_path("layer");
        make_dir(&folder, 0o700)?;
        let mut layer = UnpackedLayer::new(folder, 0);
        let tree = layer.folder.join(TREE);
        make_dir(&tree, 0o755)?;
        let root = open_folder(&tree)?;
        let content = unpack_stream(stream, algorithm, root, Limits::default()).map_err(failed)?;
        layer.size = content.unpacked.size;
        Ok((layer, content.diff_id))
    }

    /// Moves a verified file to its place.
    pub(crate) fn place_blob(&self, file: &Path, digest: &Digest) -> Result<()> {
        let target = self.shared.layout.blob(digest);
        let mut index = self.shared.write();
        fs::rename(file, &target).map_err(Error::io("place blob", &target))?;
        index.blobs.insert(digest.clone());
        self.lease(&mut index).blobs.insert(digest.clone());
        Ok(())
    }

    /// Moves a verified tree to its place, unless somebody else was faster.
    pub(crate) fn place_layer(&self, layer: UnpackedLayer, archive: &Digest, diff_id: &Digest) -> Result<()> {
        let mut index = self.shared.write();
        if let Some(record) = index.layers.get(diff_id) {
            let lost = record.archive.is_none().then(|| record.clone());
            lost.map_or(Ok(()), |record| self.found_again(&mut index, diff_id, record, archive))?;
        } else {
            let target = self.shared.layout.layer(diff_id);
            fs::rename(&layer.folder, &target).map_err(Error::io("place layer", &target))?;
            let durability = Durability::Since(self.shared.boot.clone());
            let record = LayerRecord {
                size: layer.size,
                archive: Some(archive.clone()),
                made: None,
                compressed: None,
                durability,
            };
            if let Err(error) = self.shared.records.put(diff_id.as_str(), &record) {
                drop(self.shared.layout.discard(&target)?);
                return Err(error.into());
            }
            index.layers.insert(diff_id.clone(), record);
        }
        self.lease(&mut index).layers.insert(diff_id.clone());
        drop(index);
        drop(layer);
        Ok(())
    }

    /// Moves the archive of a layer that is there without one to its place.
    pub(crate) fn place_archive(&self, file: &Path, diff_id: &Digest) -> Result<()> {
        self.place_blob(file, diff_id)?;
        let mut index = self.shared.write();
        let lacking = index.layers.get(diff_id).filter(|record| record.archive.is_none()).cloned();
        lacking.map_or(Ok(()), |record| self.found_again(&mut index, diff_id, record, diff_id))
    }

    /// The archive of a layer that had lost it, or had none.
    fn found_again(
        &self,
        index: &mut Index,
        diff_id: &Digest,
        record: LayerRecord,
        archive: &Digest,
    ) -> Result<()> {
        let durability = Durability::Since(self.shared.boot.clone());
        let record = LayerRecord { archive: Some(archive.clone()), durability, ..record };
        self.shared.records.put(diff_id.as_str(), &record)?;
        index.layers.insert(diff_id.clone(), record);
        Ok(())
    }
}

/// A layer that was unpacked, and what it turned out to be.
pub(crate) struct NewLayer {
    pub(crate) unpacked: UnpackedLayer,
    /// Digest of the bytes as they came.
    pub(crate) digest: Digest,
    /// Digest of the tar.
    pub(crate) diff_id: Digest,
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.shared.release(self.lease);
        if let Err(error) = self.shared.layout.discard(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "left for the next start to remove");
        }
    }
}

/// A layer's folder in `ingest/`; what was not moved away by its end is deleted.
#[derive(Debug)]
pub(crate) struct UnpackedLayer {
    folder: PathBuf,
    size: u64,
}

impl UnpackedLayer {
    /// What is in `folder` from now on.
    pub(crate) fn new(folder: PathBuf, size: u64) -> Self {
        Self { folder, size }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.join(TREE)
    }

    /// Bytes in its files.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for UnpackedLayer {
    fn drop(&mut self) {
        if let Err(error) = sys::trash::delete(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "left for the next start to remove");
        }
    }
}

impl Shared {
    fn put_image(
        &self,
        index: &mut Index,
        draft: &Draft,
        listed: Option<&Descriptor>,
        mut record: ImageRecord,
    ) -> Result<()> {
        if !draft.references.is_empty() {
            record.tagged_at = Some(Timestamp::now().as_nanosecond() as i64);
        }
        let named: Vec<(Reference, ReferenceRecord)> = draft
            .references
            .iter()
            .map(lookup_key)
            .map(|key| {
                let named = self.join(index, &key, &draft.config, listed);
                (key, named)
            })
            .collect();
        self.records.transaction::<_, Error>(|transaction| {
            transaction.put(draft.config.as_str(), &record)?;
            for (key, named) in &named {
                transaction.put(&key.to_string(), named)?;
            }
            Ok(())
        })?;
        index.images.insert(draft.config.clone(), Arc::new(ImageEntry::new(record)));
        index.references.extend(named);
        Ok(())
    }

    /// What a name stands for once an image has it. The image of this machine's platform is the one that is meant without
    /// a platform, or else the one that came last.
    fn join(
        &self,
        index: &Index,
        key: &Reference,
        id: &Digest,
        listed: Option<&Descriptor>,
    ) -> ReferenceRecord {
        let fresh = ReferenceRecord { index: listed.cloned(), ..ReferenceRecord::of(id.clone()) };
        let present = index.references.get(key).filter(|present| {
            let same = |list: &Descriptor| present.index.as_ref().is_some_and(|it| it.digest == list.digest);
            listed.is_some_and(same)
        });
        let Some(present) = present else { return fresh };
        let mut images: Vec<Digest> = present.images().filter(|other| *other != id).cloned().collect();
        let is_native = |id: &Digest| {
            let entry = index.images.get(id);
            let config = entry.and_then(|entry| self.config(id, entry).ok());
            config.is_some_and(|config| config.platform().satisfies(&Platform::host()))
        };
        let at = usize::from(images.first().is_some_and(is_native));
        images.insert(at, id.clone());
        let image = images.remove(0);
        ReferenceRecord { image, others: images, ..fresh }
    }

    pub(crate) fn settle(&self) -> Result<()> {
        let _one_at_a_time = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let (images, layers) = unsettled(&self.read());
        if images.is_empty() && layers.is_empty() {
            return Ok(());
        }
        let root = open_folder(self.layout.root())?;
        rustix::fs::syncfs(&root).map_err(Error::io("synchronise", self.layout.root()))?;
        self.mark_durable(&images, &layers)?;
        Ok(self.records.checkpoint()?)
    }

    /// Marks what is still there of what was there before the disk was synchronised.
    fn mark_durable(&self, images: &[(Digest, BTreeSet<Digest>)], layers: &[Digest]) -> Result<()> {
        let mut index = self.write();
        let mut durable_images = Vec::new();
        for (id, blobs) in images {
            // An image that was committed again in between may have blobs that are not on disk yet.
            if let Some(entry) = index.images.get(id).filter(|entry| entry.record.blobs == *blobs) {
                durable_images
                    .push((id, ImageRecord { durability: Durability::Durable, ..entry.record.clone() }));
            }
        }
        let mut durable_layers = Vec::new();
        for diff_id in layers {
            if let Some(record) = index.layers.get(diff_id) {
                durable_layers
                    .push((diff_id, LayerRecord { durability: Durability::Durable, ..record.clone() }));
            }
        }
        self.records.transaction::<_, Error>(|transaction| {
            for (id, record) in &durable_images {
                transaction.put(id.as_str(), record)?;
            }
            for (diff_id, record) in &durable_layers {
                transaction.put(diff_id.as_str(), record)?;
            }
            Ok(())
        })?;
        for (id, record) in durable_images {
            if let Some(entry) = index.images.get_mut(id) {
                *entry = Arc::new(entry.with_record(record));
            }
        }
        for (diff_id, record) in durable_layers {
            index.layers.insert(diff_id.clone(), record);
        }
        Ok(())
    }
}

fn unsettled(index: &Index) -> (Vec<(Digest, BTreeSet<Digest>)>, Vec<Digest>) {
    let images = index.images.iter().filter(|(_, entry)| entry.record.durability != Durability::Durable);
    let layers = index.layers.iter().filter(|(_, record)| record.durability != Durability::Durable);
    (
        images.map(|(id, entry)| (id.clone(), entry.record.blobs.clone())).collect(),
        layers.map(|(diff_id, _)| diff_id.clone()).collect(),
    )
}

pub(crate) fn settle_in_background(shared: Arc<Shared>) {
    let run = move || {
        if let Err(error) = shared.settle() {
            tracing::warn!(%error, "images are not yet known to be on disk");
        }
    };
    // Without a thread the records stay as they are, and the next commit tries again.
    if let Err(error) = std::thread::Builder::new().name("image-settle".into()).spawn(run) {
        tracing::warn!(%error, "images are not yet known to be on disk");
    }
}

pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::io("open folder", path))
}
