//! What an image consists of, for whoever hands it on: a registry or an archive.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::sync::Arc;

use oci::{Digest, Reference};

use crate::error::{Error, Result};
use crate::index::Lease;
use crate::ingest::Ingest;
use crate::layer::{Compression, MAGIC_LEN};
use crate::manifest::{self, Descriptor, Document, Manifest, media, to_json};
use crate::record::{Durability, ImageRecord, LayerRecord, ReferenceRecord};
use crate::store::{ImageStore, Shared};

/// An image with its manifest and the blobs that this names. None of them is collected while it exists.
#[derive(Debug)]
pub struct Content {
    /// The image's ID.
    pub id: Digest,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The manifest's bytes: as they came, or made here where none came or one of its blobs is not there.
    pub document: Vec<u8>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, the lowest first. The same can be there several times.
    pub layers: Vec<LayerContent>,
    /// What a manifest that is made here says besides.
    annotations: BTreeMap<String, String>,
    _hold: Hold,
}

/// A layer on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerContent {
    /// The layer as it is stored.
    pub blob: Descriptor,
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
}

impl LayerContent {
    /// Whether it is stored as a plain tar.
    pub fn is_plain(&self) -> bool {
        self.blob.digest == self.diff_id
    }
}

/// Keeps blobs and layers from being collected while it exists.
#[derive(Debug)]
struct Hold {
    shared: Arc<Shared>,
    lease: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.release(self.lease);
    }
}

impl ImageStore {
    /// Whether a registry has an image's manifest as it is here, so that it goes to others as it is.
    pub fn is_from_registry(&self, content: &Content) -> bool {
        let digest = &content.manifest.digest;
        let index = self.shared.read();
        index.references.iter().any(|(name, record)| {
            let listed = record.index.as_ref().is_some_and(|list| Some(&list.digest) == name.digest());
            record.names(&content.id) && (name.digest() == Some(digest) || listed)
        })
    }

    /// Everything of an image that is needed to hand it on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when a blob is damaged or missing.
    pub fn content(&self, id: &Digest) -> Result<Content> {
        let (hold, record) = self.shared.hold(id)?;
        let claim = |layers: &[Descriptor]| self.shared.hold_blobs(&hold, layers);
        let (parts, manifest, document) = self.shared.parts(id, &record, claim)?;
        self.shared.make_archives(&parts.layers, &record.layers)?;
        Ok(parts.into_content(&record, manifest, document, hold))
    }

    /// The manifest that an image is handed on with by archives.
    ///
    /// # Errors
    /// As for [`ImageStore::content`].
    pub fn manifest(&self, id: &Digest) -> Result<Descriptor> {
        self.content_size(id).map(|(manifest, _)| manifest)
    }

    /// The manifest of an image, and the bytes of all that is handed on of it. Nothing is claimed.
    ///
    /// # Errors
    /// As for [`ImageStore::content`].
    pub(crate) fn content_size(&self, id: &Digest) -> Result<(Descriptor, u64)> {
        let record = self.shared.read().images.get(id).map(|entry| entry.record.clone());
        let record = record.ok_or_else(|| Error::NotFound(id.to_string()))?;
        let are_there = |layers: &[Descriptor]| self.shared.read().has_blobs(layers);
        let (parts, manifest, _) = self.shared.parts(id, &record, are_there)?;
        let blobs: BTreeMap<&Digest, u64> =
            parts.layers.iter().chain([&parts.config]).map(|blob| (&blob.digest, blob.size)).collect();
        let size = manifest.size + blobs.values().sum::<u64>();
        Ok((manifest, size))
    }

    /// Opens a blob to be read as it is. Its digest is not verified.
    ///
    /// # Errors
    /// When it is not there, or not as long as it should be.
    pub fn open_blob(&self, blob: &Descriptor) -> Result<File> {
        let path = self.shared.layout.blob(&blob.digest);
        let file = File::open(&path).map_err(Error::io("open blob", &path))?;
        let actual = file.metadata().map_err(Error::io("read blob", &path))?.len();
        if actual == blob.size {
            return Ok(file);
        }
        let (digest, expected) = (blob.digest.clone(), blob.size);
        Err(Error::Size { what: "blob", digest, expected, actual })
    }

    /// Notes that a registry has an image under this name, with a digest, and keeps the manifest it has there.
    ///
    /// # Errors
    /// [`Error::NotFound`]; when the store cannot be written.
    pub fn set_pushed(&self, content: &Content, name: &Reference) -> Result<()> {
        let digest = &content.manifest.digest;
        let ingest = self.ingest()?;
        ingest.put_document("manifest", digest, &content.document)?;
        let mut index = self.shared.write();
        let entry = index.images.get(&content.id).ok_or_else(|| Error::NotFound(content.id.to_string()))?;
        let entry = Arc::clone(entry);
        let key = name.with_digest(digest.clone());
        let mut record = entry.record.clone();
        let is_new = record.blobs.insert(digest.clone());
        if is_new {
            record.durability = Durability::Since(self.shared.boot.clone());
        }
        record.manifest.get_or_insert_with(|| content.manifest.clone());
        let named = ReferenceRecord::of(content.id.clone());
        self.shared.records.transaction::<_, Error>(|transaction| {
            transaction.put(&key.to_string(), &named)?;
            transaction.put(content.id.as_str(), &record)?;
            Ok(())
        })?;
        let entry = Arc::new(entry.with_record(record));
        index.images.insert(content.id.clone(), entry);
        index.references.insert(key, named);
        drop(index);
        if is_new {
            crate::ingest::settle_in_background(Arc::clone(&self.shared));
        }
        Ok(())
    }

    /// All names of images in a repository, with tags and with digests, and the images' IDs.
    pub fn names_in(&self, repository: &Reference) -> Vec<(Reference, Digest)> {
        let name = repository.name();
        let index = self.shared.read();
        let found = index.references.iter().filter(|(reference, _)| reference.name() == name);
        found.map(|(reference, record)| (reference.clone(), record.image.clone())).collect()
    }

    /// Repositories of a registry that are known to have this layer: those that an image with it came from or went to.
    pub fn repositories_with(&self, diff_id: &Digest, domain: &str) -> Vec<String> {
        let index = self.shared.read();
        let has_layer =
            |id: &Digest| index.images.get(id).is_some_and(|entry| entry.record.layers.contains(diff_id));
        let in_registry = index.references.iter().filter(|(name, record)| {
            name.digest().is_some() && name.domain() == domain && record.images().any(has_layer)
        });
        let mut found: Vec<String> = in_registry.map(|(name, _)| name.path().to_owned()).collect();
        found.dedup();
        found
    }
}

impl Ingest {
    /// Layers that this claims, on their way out; those that were made here get their archives.
    ///
    /// # Errors
    /// When one is not there or damaged, or there is no space.
    pub fn layer_contents(&self, layers: &[Digest]) -> Result<Vec<LayerContent>> {
        if let Some(gone) = layers.iter().find(|layer| !self.lease_layer(layer)) {
            return Err(Error::NotFound(gone.to_string()));
        }
        let shared = self.shared();
        let blobs = shared.stored_layers(layers)?;
        for blob in &blobs {
            self.lease_blob(&blob.digest);
        }
        shared.make_archives(&blobs, layers)?;
        let contents = blobs.into_iter().zip(layers);
        Ok(contents.map(|(blob, diff_id)| LayerContent { blob, diff_id: diff_id.clone() }).collect())
    }
}

impl Content {
    /// All blobs, each once: the configuration, then the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let layers = self.layers.iter().enumerate().filter(|(at, layer)| {
            !self.layers[..*at].iter().any(|earlier| earlier.blob.digest == layer.blob.digest)
        });
        std::iter::once(&self.config).chain(layers.map(|(_, layer)| &layer.blob))
    }

    /// The same image with its layers in these forms, in the order of [`Content::layers`], and the manifest that this makes.
    #[must_use]
    pub fn with_layers(mut self, forms: Vec<Descriptor>) -> Self {
        for (layer, form) in self.layers.iter_mut().zip(forms) {
            layer.blob = form;
        }
        let layers = self.layers.iter().map(|layer| layer.blob.clone()).collect();
        let parts = Parts { config: self.config.clone(), layers, annotations: self.annotations.clone() };
        (self.manifest, self.document) = parts.manifest();
        self
    }
}

/// A manifest in the making.
struct Parts {
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

impl Parts {
    /// The same parts always have the same manifest.
    fn manifest(&self) -> (Descriptor, Vec<u8>) {
        let mut manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": self.config,
            "layers": self.layers,
        });
        if !self.annotations.is_empty() {
            manifest["annotations"] = serde_json::json!(self.annotations);
        }
        let document = to_json(&manifest);
        let size = document.len() as u64;
        (Descriptor::new(media::OCI_MANIFEST, Digest::of(&document), size), document)
    }

    fn into_content(
        self,
        record: &ImageRecord,
        manifest: Descriptor,
        document: Vec<u8>,
        hold: Hold,
    ) -> Content {
        let layers = self.layers.into_iter().zip(&record.layers);
        let layers = layers.map(|(blob, diff_id)| LayerContent { blob, diff_id: diff_id.clone() }).collect();
        let id = self.config.digest.clone();
        Content {
            id,
            manifest,
            document,
            config: self.config,
            layers,
            annotations: self.annotations,
            _hold: hold,
        }
    }
}

impl Shared {
    /// What an image is handed on as: what it came as, if `has` its layers, or else what is made here of those it has.
    fn parts(
        &self,
        id: &Digest,
        record: &ImageRecord,
        has: impl FnOnce(&[Descriptor]) -> bool,
    ) -> Result<(Parts, Descriptor, Vec<u8>)> {
        let size = self.blob_size(id)?;
        if let Some(manifest) = &record.manifest
            && let Some((came, document)) = self.as_came(manifest)
            && came.config.digest == *id
            && has(&came.layers)
        {
            let annotations = record.annotations.clone();
            let parts = Parts { config: came.config, layers: came.layers, annotations };
            return Ok((parts, manifest.clone(), document));
        }
        let config = Descriptor::new(media::OCI_CONFIG, id.clone(), size);
        let annotations = record.annotations.clone();
        let made = Parts { config, layers: self.stored_layers(&record.layers)?, annotations };
        let (manifest, document) = made.manifest();
        Ok((made, manifest, document))
    }

    fn hold(self: &Arc<Self>, id: &Digest) -> Result<(Hold, ImageRecord)> {
        let mut index = self.write();
        let entry = index.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        let record = entry.record.clone();
        let lease = Lease { blobs: record.blobs.clone(), layers: record.layers.iter().cloned().collect() };
        let number = index.new_lease(lease);
        Ok((Hold { shared: Arc::clone(self), lease: number }, record))
    }

    /// The manifest that an image came with, if it can still be read.
    fn as_came(&self, descriptor: &Descriptor) -> Option<(Manifest, Vec<u8>)> {
        let content = self.read_blob(&descriptor.digest).ok()?;
        match Document::parse(&content, Some(&descriptor.media_type)).ok()? {
            Document::Manifest(manifest) => Some((manifest, content)),
            Document::Index(_) => None,
        }
    }

    /// An index that is kept, with its bytes, if it can still be read.
    pub(crate) fn index_document(&self, descriptor: &Descriptor) -> Option<(manifest::Index, Vec<u8>)> {
        let content = self.read_blob(&descriptor.digest).ok()?;
        match Document::parse(&content, Some(&descriptor.media_type)).ok()? {
            Document::Index(list) => Some((list, content)),
            Document::Manifest(_) => None,
        }
    }

    /// Claims these blobs; `false` where one is missing. A layer can have come in another form than this image's manifest
    /// names it by, and is kept only once.
    fn hold_blobs(&self, hold: &Hold, blobs: &[Descriptor]) -> bool {
        let mut index = self.write();
        let are_there = index.has_blobs(blobs);
        if let Some(lease) = index.leases.get_mut(&hold.lease).filter(|_| are_there) {
            lease.blobs.extend(blobs.iter().map(|blob| blob.digest.clone()));
        }
        are_there
    }

    /// Layers in the form in which they are stored.
    fn stored_layers(&self, layers: &[Digest]) -> Result<Vec<Descriptor>> {
        let index = self.read();
        let known: Vec<(&Digest, Option<LayerRecord>)> =
            layers.iter().map(|layer| (layer, index.layers.get(layer).cloned())).collect();
        drop(index);
        let describe = |(layer, record): (&Digest, Option<LayerRecord>)| match record {
            Some(LayerRecord { archive: Some(archive), .. }) => self.describe_layer(archive),
            Some(LayerRecord { made: Some(size), .. }) => {
                Ok(Descriptor::new(Compression::None.layer_type(), layer.clone(), size))
            }
            _ => Err(Error::NoArchive(layer.clone())),
        };
        known.into_iter().map(describe).collect()
    }

    /// Makes the archives of layers that were made here and have none yet.
    fn make_archives(self: &Arc<Self>, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<()> {
        let is_lacking = |layer: &&Digest| {
            let index = self.read();
            index.layers.get(layer).is_some_and(|known| known.archive.is_none())
                && layers.iter().any(|blob| blob.digest == **layer)
        };
        diff_ids.iter().filter(is_lacking).try_for_each(|layer| self.make_archive(layer))
    }

    fn describe_layer(&self, digest: Digest) -> Result<Descriptor> {
        let path = self.layout.blob(&digest);
        let file = File::open(&path).map_err(Error::io("open blob", &path))?;
        let size = file.metadata().map_err(Error::io("read blob", &path))?.len();
        let mut magic = Vec::with_capacity(MAGIC_LEN);
        file.take(MAGIC_LEN as u64).read_to_end(&mut magic).map_err(Error::io("read blob", &path))?;
        let compression =
            Compression::detect(&magic).map_err(|source| Error::Layer { layer: digest.clone(), source })?;
        Ok(Descriptor::new(compression.layer_type(), digest, size))
    }

    pub(crate) fn blob_size(&self, digest: &Digest) -> Result<u64> {
        let path = self.layout.blob(digest);
        fs::metadata(&path).map(|metadata| metadata.len()).map_err(Error::io("read blob", &path))
    }
}
