//! The store itself: finding, naming and listing images.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use oci::{Digest, ImageConfig, Platform, Reference};
use store::Store;
use sys::trash::Discarded;

use crate::checkpoints::Checkpoints;
use crate::error::{Error, Result};
use crate::image::{HistoryItem, Image};
use crate::index::{Garbage, ImageEntry, Index, lookup_key};
use crate::layout::Layout;
use crate::manifest::{MAX_CONFIG_SIZE, ManifestError, parse_json};
use crate::open;
use crate::partial::Partials;
use crate::record::{ImageRecord, LayerRecord, ReferenceRecord};

/// All images of an engine. Cheap to clone; every clone is the same store.
///
/// Every operation blocks on the disk; asynchronous callers use `spawn_blocking`.
#[derive(Clone, Debug)]
pub struct ImageStore {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) records: Store,
    pub(crate) boot: String,
    pub(crate) settling: Mutex<()>,
    pub(crate) partials: Partials,
    pub(crate) checkpoints: Checkpoints,
    index: RwLock<Index>,
}

impl ImageStore {
    /// Opens the store in the folder `root`, and makes it where there is none. What was half-made when its last process
    /// ended is removed.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process has the store open.
    pub fn open(root: &Path) -> Result<Self> {
        let layout = Layout::create(root)?;
        let records = Store::open(&layout.database())?;
        let boot = open::boot_id()?;
        let index = RwLock::new(open::load(&layout, &records, &boot)?);
        let (partials, checkpoints) = (Partials::default(), Checkpoints::default());
        let shared = Shared { layout, records, boot, settling: Mutex::new(()), partials, checkpoints, index };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The image that `text` names: a reference, an ID with or without its algorithm, or the beginning of one.
    ///
    /// # Errors
    /// [`Error::NotFound`], also when several IDs begin so; [`Error::Reference`] when the text could name none.
    pub fn resolve(&self, text: &str) -> Result<Image> {
        let id = self.shared.find(text)?;
        self.image(&id)
    }

    /// As [`ImageStore::resolve`], for a platform that was asked for.
    ///
    /// # Errors
    /// Also [`Error::Platform`].
    pub fn resolve_for(&self, text: &str, wanted: &Platform) -> Result<Image> {
        let named = self.shared.find_all(text)?;
        let mut best: Option<(u32, Image)> = None;
        for id in named.images() {
            let image = self.image(id)?;
            let distance = image.config.platform().distance(wanted);
            if let Some(distance) = distance.filter(|it| best.as_ref().is_none_or(|(best, _)| it < best)) {
                best = Some((distance, image));
            }
        }
        if let Some((_, image)) = best {
            return Ok(image);
        }
        let found = self.image(&named.image)?.config.platform().to_string();
        Err(Error::Platform { reference: text.into(), found, wanted: wanted.to_string() })
    }

    /// All images that `text` names: those of several platforms where they came as one.
    ///
    /// # Errors
    /// As for [`ImageStore::resolve`].
    pub fn resolve_all(&self, text: &str) -> Result<Vec<Image>> {
        self.shared.find_all(text)?.images().map(|id| self.image(id)).collect()
    }

    /// The image with this ID.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn image(&self, id: &Digest) -> Result<Image> {
        let index = self.shared.read();
        let entry = index.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
        self.shared.view(&index, id, entry)
    }

    /// All images, in no particular order.
    pub fn images(&self) -> Result<Vec<Image>> {
        let index = self.shared.read();
        index.images.iter().map(|(id, entry)| self.shared.view(&index, id, entry)).collect()
    }

    /// The trees of layers for an overlay to read, the topmost first. They stay as long as the layers are leased or kept.
    ///
    /// `layers` has the lowest first. The kernel refuses one tree twice, and a layer's lower copy shows nothing that its upper
    /// one does not, so only the upper one is there.
    pub fn layer_trees(&self, layers: &[Digest]) -> Vec<PathBuf> {
        self.shared.layout.layer_trees(layers)
    }

    /// Whether an image was made here from this one.
    pub fn has_children(&self, id: &Digest) -> bool {
        self.shared.read().has_children(id)
    }

    /// The bytes of a manifest, index or configuration, verified.
    ///
    /// # Errors
    /// When it is not there, too big to be one of these, or damaged.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        self.shared.read_blob(digest)
    }

    /// How an image came to be, the newest step first.
    ///
    /// # Errors
    /// As for [`ImageStore::resolve`].
    pub fn history(&self, text: &str) -> Result<Vec<HistoryItem>> {
        let image = self.resolve(text)?;
        let index = self.shared.read();
        let mut layers = image.layers.iter();
        let mut items: Vec<HistoryItem> = Vec::with_capacity(image.config.history.len());
        for step in &image.config.history {
            let layer = if step.empty_layer { None } else { layers.next() };
            items.push(HistoryItem {
                id: None,
                created: step.created.as_deref().and_then(|time| time.parse().ok()),
                created_by: step.created_by.clone(),
                tags: Vec::new(),
                size: layer.map_or(0, |layer| index.size_of(std::slice::from_ref(layer))),
                comment: step.comment.clone(),
            });
        }
        items.reverse();
        if let Some(newest) = items.first_mut() {
            newest.id = Some(image.id);
            newest.tags = image.repo_tags;
        }
        Ok(items)
    }

    /// Gives the image that `source` names a further name. A name that another image had is taken from it.
    ///
    /// # Errors
    /// As for [`ImageStore::resolve`]; [`Error::TagWithDigest`].
    pub fn tag(&self, source: &str, target: &Reference) -> Result<Image> {
        if target.digest().is_some() {
            return Err(Error::TagWithDigest);
        }
        let named = self.shared.find_all(source)?;
        let id = named.image.clone();
        let mut index = self.shared.write();
        self.shared.add_name(&mut index, named, target)?;
        drop(index);
        self.image(&id)
    }
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        // Every change of the index is one assignment after its record is written: a panic leaves it whole.
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, text: &str) -> Result<Digest> {
        self.find_all(text).map(|named| named.image)
    }

    pub(crate) fn find_all(&self, text: &str) -> Result<ReferenceRecord> {
        let parsed = Reference::parse(text);
        if let Some(named) = self.read().find_all(text, parsed.as_ref().ok()) {
            return Ok(named);
        }
        match parsed {
            Ok(reference) => Err(Error::NotFound(reference.or_latest().familiar())),
            Err(_) if text.parse::<Digest>().is_ok() || oci::reference::is_identifier(text) => {
                Err(Error::NotFound(text.into()))
            }
            Err(source) => Err(Error::Reference { text: text.into(), source }),
        }
    }

    pub(crate) fn view(&self, index: &Index, id: &Digest, entry: &ImageEntry) -> Result<Image> {
        let config = self.config(id, entry)?;
        let (repo_digests, repo_tags) =
            index.references_of(id).into_iter().partition(|reference| reference.digest().is_some());
        let record = &entry.record;
        Ok(Image {
            id: id.clone(),
            manifest: record.manifest.clone(),
            repo_tags,
            repo_digests,
            size: index.size_of(&record.layers),
            created: config.created.as_deref().and_then(|time| time.parse().ok()),
            tagged_at: record.tagged_at.and_then(|time| Timestamp::from_nanosecond(time.into()).ok()),
            parent: record.parent.clone(),
            layers: record.layers.clone(),
            config,
        })
    }

    pub(crate) fn config(&self, id: &Digest, entry: &ImageEntry) -> Result<Arc<ImageConfig>> {
        if let Some(config) = entry.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(parse_json("image configuration", &self.read_blob(id)?)?);
        Ok(Arc::clone(entry.config.get_or_init(|| config)))
    }

    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.layout.blob(digest);
        let size = fs::metadata(&path).map_err(Error::io("read blob", &path))?.len();
        if size > MAX_CONFIG_SIZE {
            let (what, limit) = ("blob", MAX_CONFIG_SIZE);
            return Err(ManifestError::TooBig { what, size, limit }.into());
        }
        let content = fs::read(&path).map_err(Error::io("read blob", &path))?;
        let actual = digest_like(digest, &content);
        if actual == *digest {
            return Ok(content);
        }
        Err(Error::Digest { what: "blob", expected: digest.clone(), actual })
    }

    /// Gives images a further name, in the records and in memory.
    fn add_name(&self, index: &mut Index, named: ReferenceRecord, name: &Reference) -> Result<()> {
        let now = Timestamp::now().as_nanosecond() as i64;
        let mut changed = Vec::new();
        for id in named.images() {
            let entry = index.images.get(id).ok_or_else(|| Error::NotFound(id.to_string()))?;
            changed.push((id.clone(), ImageRecord { tagged_at: Some(now), ..entry.record.clone() }));
        }
        let key = lookup_key(name);
        self.records.transaction::<_, Error>(|transaction| {
            transaction.put(&key.to_string(), &named)?;
            for (id, record) in &changed {
                transaction.put(id.as_str(), record)?;
            }
            Ok(())
        })?;
        for (id, record) in changed {
            if let Some(entry) = index.images.get_mut(&id) {
                *entry = Arc::new(entry.with_record(record));
            }
        }
        index.references.insert(key, named);
        Ok(())
    }

    /// Ends a lease; what only it kept goes.
    pub(crate) fn release(&self, lease: u64) {
        let mut index = self.write();
        index.leases.remove(&lease);
        let collected = self.collect(&mut index);
        drop(index);
        if let Err(error) = collected {
            tracing::warn!(%error, "what is not needed any more is left for the next start to remove");
        }
    }

    /// Takes what nothing needs out of the records and out of sight. The result is to be dropped, which deletes it, when
    /// the lock on the index is no longer held.
    pub(crate) fn collect(&self, index: &mut Index) -> Result<Vec<Discarded>> {
        let Garbage { blobs, layers } = index.garbage();
        if blobs.is_empty() && layers.is_empty() {
            return Ok(Vec::new());
        }
        self.records.transaction::<_, Error>(|transaction| {
            for layer in &layers {
                transaction.remove::<LayerRecord>(layer.as_str())?;
            }
            Ok(())
        })?;
        let mut trash = Vec::with_capacity(blobs.len() + layers.len());
        for layer in layers {
            trash.extend(self.layout.discard(&self.layout.layer(&layer))?);
            index.layers.remove(&layer);
        }
        for blob in blobs {
            trash.extend(self.layout.discard(&self.layout.blob(&blob))?);
            index.blobs.remove(&blob);
        }
        Ok(trash)
    }
}

/// The digest of `content` by the algorithm of `digest`.
pub(crate) fn digest_like(digest: &Digest, content: &[u8]) -> Digest {
    let mut hasher = oci::Hasher::new(digest.algorithm());
    hasher.update(content);
    hasher.finish()
}
