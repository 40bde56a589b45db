//! Images as one tar, as `docker save` writes it since version 25: an OCI layout that is also a Docker archive.
//!
//! Layers are in it as they are stored, compressed or not, and each blob once. The documents come first, so that a reader
//! knows what follows, and everything is in an order that depends on nothing but the images and their names: saving the
//! same twice gives the same bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};

use oci::{Digest, Platform, Reference};
use serde::Serialize;

use crate::content::Content;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::layout::blob_path;
use crate::manifest::{Descriptor, media, to_json};
use crate::record::ReferenceRecord;
use crate::select::of_platform;
use crate::store::ImageStore;
use crate::tar::writer::{END, EntryHeader, padding};

/// Images that are about to be saved; what belongs to them is not collected meanwhile.
#[derive(Debug)]
pub struct Archive {
    store: ImageStore,
    images: Vec<Named>,
    indexes: BTreeMap<Reference, SavedIndex>,
}

/// An image, with the names it is saved under.
#[derive(Debug)]
struct Named {
    content: Content,
    /// Those that stand for it alone.
    names: BTreeSet<Reference>,
    /// Those that stand for an index, in which it is the first one.
    listed: BTreeSet<Reference>,
    is_listed: bool,
}

/// The index that a name stands for.
#[derive(Debug)]
struct SavedIndex {
    descriptor: Descriptor,
    document: Vec<u8>,
}

impl ImageStore {
    /// The archive of the images that `names` name: by ID without a name, by tag with that one, by repository with all
    /// tags in it.
    /// Of a name with several platforms all that are here are taken, or those in `platforms`, if there are any.
    ///
    /// # Errors
    /// [`Error::NoReference`], [`Error::NoPlatform`] and [`Error::NotFound`]; as for [`ImageStore::content`].
    pub fn save(&self, names: &[String], platforms: &[Platform]) -> Result<Archive> {
        let mut archive = Archive { store: self.clone(), images: Vec::new(), indexes: BTreeMap::new() };
        for name in names {
            for (record, reference) in self.named(name)? {
                let images = self.of_platforms(name, &record, platforms)?;
                archive.add(record, reference, &images)?;
            }
        }
        Ok(archive)
    }

    /// The images of a name that are wanted.
    fn of_platforms(
        &self,
        name: &str,
        record: &ReferenceRecord,
        platforms: &[Platform],
    ) -> Result<Vec<Digest>> {
        if platforms.is_empty() {
            return Ok(record.images().cloned().collect());
        }
        let images: Vec<Image> = record.images().map(|id| self.image(id)).collect::<Result<_>>()?;
        let of = |wanted: &Platform| of_platform(&images, wanted, name).map(|image| image.id.clone());
        platforms.iter().map(of).collect()
    }

    /// An index that is to list all these manifests.
    fn index_over(&self, descriptor: Descriptor, manifests: &[Digest]) -> Option<SavedIndex> {
        let (list, document) = self.shared.index_document(&descriptor)?;
        let lists = |digest: &Digest| list.manifests.iter().any(|entry| entry.digest == *digest);
        manifests.iter().all(lists).then_some(SavedIndex { descriptor, document })
    }

    /// What `docker save` takes a text for.
    fn named(&self, text: &str) -> Result<Vec<(ReferenceRecord, Option<Reference>)>> {
        let by_id = |text: &str| Ok(vec![(self.shared.find_all(text)?, None)]);
        let Ok(reference) = Reference::parse(text) else { return by_id(text) };
        if reference.digest().is_some() || reference.familiar_name() == "sha256" {
            return by_id(text);
        }
        let index = self.shared.read();
        if reference.tag().is_some() {
            let record = index.references.get(&reference).cloned();
            return Ok(vec![(record.ok_or_else(|| Error::NoReference(text.into()))?, Some(reference))]);
        }
        let in_repository = |name: &Reference| name.tag().is_some() && name.name() == reference.name();
        let tags = index.references.iter().filter(|(name, _)| in_repository(name));
        let tags: Vec<_> = tags.map(|(name, record)| (record.clone(), Some(name.clone()))).collect();
        drop(index);
        if tags.is_empty() { by_id(text) } else { Ok(tags) }
    }
}

impl Named {
    fn all_names(&self) -> impl Iterator<Item = &Reference> {
        self.names.union(&self.listed)
    }
}

impl Archive {
    /// Adds images of a name. The index that the name stands for goes too, unless it is damaged or knows not all of them.
    fn add(&mut self, record: ReferenceRecord, name: Option<Reference>, images: &[Digest]) -> Result<()> {
        let mut manifests = Vec::with_capacity(images.len());
        for id in images {
            manifests.push(self.image(id)?.content.manifest.digest.clone());
        }
        let index = record.index.filter(|_| images.len() > 1 && name.is_some());
        let index = index.and_then(|descriptor| self.store.index_over(descriptor, &manifests));
        for (at, id) in images.iter().enumerate() {
            let image = self.image(id)?;
            image.is_listed |= index.is_some();
            match index {
                Some(_) if at == 0 => image.listed.extend(name.clone()),
                // Without an index a name can stand for one image only: the first is the one that is meant.
                None if at == 0 => image.names.extend(name.clone()),
                _ => {}
            }
        }
        self.indexes.extend(name.zip(index));
        Ok(())
    }

    /// The image with this ID, which is added where it is not there.
    fn image(&mut self, id: &Digest) -> Result<&mut Named> {
        let at = match self.images.iter().position(|other| other.content.id == *id) {
            Some(at) => at,
            None => {
                let (names, listed) = (BTreeSet::new(), BTreeSet::new());
                let content = self.store.content(id)?;
                self.images.push(Named { content, names, listed, is_listed: false });
                self.images.len() - 1
            }
        };
        Ok(&mut self.images[at])
    }

    /// The IDs of the images in it.
    pub fn images(&self) -> impl Iterator<Item = &Digest> {
        self.images.iter().map(|image| &image.content.id)
    }

    /// The bytes of the tar. Fails while it is read if a blob is not as long as it should be.
    pub fn into_reader(self) -> ArchiveReader {
        let mut parts = Parts::default();
        parts.document("oci-layout", &to_json(&serde_json::json!({"imageLayoutVersion": "1.0.0"})));
        parts.document("index.json", &self.index());
        parts.document("manifest.json", &self.manifest());
        parts.document("repositories", &self.repositories());
        let blobs = self.blobs();
        parts.folder("blobs/");
        for algorithm in blobs.iter().map(|blob| blob.1.digest.algorithm()).collect::<BTreeSet<_>>() {
            parts.folder(&format!("blobs/{}/", algorithm.as_str()));
        }
        for (_, blob, document) in blobs {
            match document {
                Some(document) => parts.document(&blob_path(&blob.digest), document),
                None => parts.blob(blob),
            }
        }
        parts.bytes(&END);
        ArchiveReader { parts: parts.done, current: Current::None, archive: self }
    }

    /// All blobs, each once: manifests, configurations, layers; by digest within these.
    fn blobs(&self) -> Vec<(u8, &Descriptor, Option<&[u8]>)> {
        let mut seen = BTreeMap::new();
        for SavedIndex { descriptor, document } in self.indexes.values() {
            seen.entry(&descriptor.digest).or_insert((0, descriptor, Some(&document[..])));
        }
        for Named { content, .. } in &self.images {
            seen.entry(&content.manifest.digest).or_insert((
                0,
                &content.manifest,
                Some(&content.document[..]),
            ));
            for blob in content.blobs() {
                let rank = if blob.digest == content.id { 1 } else { 2 };
                seen.entry(&blob.digest).or_insert((rank, blob, None));
            }
        }
        let mut blobs: Vec<_> = seen.into_values().collect();
        // Stable, so that the order by digest stays.
        blobs.sort_by_key(|(rank, _, _)| *rank);
        blobs
    }

    /// `index.json`: an entry for each name.
    fn index(&self) -> Vec<u8> {
        let entry = |described: &Descriptor, name: Option<&Reference>| {
            let Descriptor { media_type, digest, size, .. } = described;
            let annotations = name.map(|name| {
                BTreeMap::from([
                    ("io.containerd.image.name".to_owned(), name.to_string()),
                    (
                        "org.opencontainers.image.ref.name".to_owned(),
                        name.tag().unwrap_or_default().to_owned(),
                    ),
                ])
            });
            Descriptor { annotations, ..Descriptor::new(media_type, digest.clone(), *size) }
        };
        let images = self.images.iter().flat_map(|image| {
            let manifest = &image.content.manifest;
            match image.names.is_empty() && !image.is_listed {
                true => vec![entry(manifest, None)],
                false => image.names.iter().map(|name| entry(manifest, Some(name))).collect(),
            }
        });
        let indexes = self.indexes.iter().map(|(name, saved)| entry(&saved.descriptor, Some(name)));
        let entries = images.chain(indexes);
        to_json(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_INDEX,
            "manifests": entries.collect::<Vec<_>>(),
        }))
    }

    /// `manifest.json`, by which Docker before version 25 and other tools find the parts of an image.
    fn manifest(&self) -> Vec<u8> {
        let items: Vec<Item> = self.images.iter().map(Item::of).collect();
        to_json(&items)
    }

    /// `repositories`, for readers that are still older: which layer is the topmost of a tag.
    fn repositories(&self) -> Vec<u8> {
        let mut repositories: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
        for image in &self.images {
            let (content, names) = (&image.content, image.all_names());
            let Some(top) = content.layers.last() else { continue };
            for name in names {
                let tags = repositories.entry(name.familiar_name()).or_default();
                tags.insert(name.tag().unwrap_or_default(), top.blob.digest.hex());
            }
        }
        to_json(&repositories)
    }
}

/// An entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    layer_sources: BTreeMap<Digest, Descriptor>,
}

impl Item {
    fn of(image: &Named) -> Self {
        let content = &image.content;
        let tags: Vec<String> = image.all_names().map(Reference::familiar).collect();
        let sources = content.layers.iter().map(|layer| (layer.diff_id.clone(), layer.blob.clone()));
        Self {
            config: blob_path(&content.id),
            repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
            layers: content.layers.iter().map(|layer| blob_path(&layer.blob.digest)).collect(),
            layer_sources: sources.collect(),
        }
    }
}

/// A piece of the tar.
#[derive(Debug)]
enum Part {
    Bytes(Vec<u8>),
    Blob(Descriptor),
}

/// The tar in the making; small pieces that follow each other are one.
#[derive(Default)]
struct Parts {
    done: VecDeque<Part>,
}

impl Parts {
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(Part::Bytes(last)) = self.done.back_mut() {
            last.extend(bytes);
        } else {
            self.done.push_back(Part::Bytes(bytes.to_vec()));
        }
    }

    fn folder(&mut self, path: &str) {
        self.bytes(&EntryHeader::folder(path.as_bytes()).blocks());
    }

    fn document(&mut self, path: &str, content: &[u8]) {
        let size = content.len() as u64;
        self.bytes(&EntryHeader::file(path.as_bytes(), size).blocks());
        self.bytes(content);
        self.bytes(&vec![0; padding(size)]);
    }

    fn blob(&mut self, blob: &Descriptor) {
        self.bytes(&EntryHeader::file(blob_path(&blob.digest).as_bytes(), blob.size).blocks());
        self.done.push_back(Part::Blob(blob.clone()));
        self.bytes(&vec![0; padding(blob.size)]);
    }
}

/// Reads an [`Archive`]; memory is bounded whatever its size.
#[derive(Debug)]
pub struct ArchiveReader {
    parts: VecDeque<Part>,
    current: Current,
    /// Keeps the blobs.
    archive: Archive,
}

#[derive(Debug)]
enum Current {
    None,
    Bytes(io::Cursor<Vec<u8>>),
    File { file: File, left: u64 },
}

impl ArchiveReader {
    /// Goes on to the next piece; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.current = match self.parts.pop_front() {
            None => return Ok(false),
            Some(Part::Bytes(bytes)) => Current::Bytes(io::Cursor::new(bytes)),
            Some(Part::Blob(blob)) => {
                let file = self.archive.store.open_blob(&blob).map_err(io::Error::other)?;
                Current::File { file, left: blob.size }
            }
        };
        Ok(true)
    }
}

impl Read for ArchiveReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.current {
                Current::None => 0,
                Current::Bytes(bytes) => bytes.read(buffer)?,
                Current::File { file, left } => {
                    let room = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let count = file.read(&mut buffer[..room])?;
                    if count == 0 && *left > 0 && room > 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob ends too early"));
                    }
                    *left -= count as u64;
                    count
                }
            };
            if count > 0 || buffer.is_empty() || !self.advance()? {
                return Ok(count);
            }
        }
    }
}
