//! Images from archives: what `docker save` writes, and OCI layouts in a tar.
//!
//! The archive is read once, as a stream. Its files are spooled into the ingest folder under names of our own; which of them
//! are manifests and which are layers is known only at its end. Layers are then verified and unpacked from there, and the
//! spooled file becomes the blob. Layers that the store has by their digests are passed over.

mod docker;
mod layout;
mod spool;

use std::io::{BufReader, Read};

use oci::{Digest, Platform, Reference};

use crate::archive::Decoder;
use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::layer::LayerError;
use crate::manifest::Descriptor;
use crate::store::ImageStore;
use crate::tar::TarError;
use spool::{Content, Spooled};

/// Why an archive is no image.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It has neither of the files that say what is in it.
    #[error("invalid archive: does not contain a manifest.json or index.json")]
    NoManifest,
    /// It lists no image.
    #[error("invalid archive: it lists no image{0}")]
    NoImage(String),
    /// A file that it speaks of is not in it.
    #[error("invalid archive: {0:?} is not in it")]
    Missing(String),
    /// A name in it is not allowed.
    #[error("invalid archive: path {0:?} leaves it")]
    Escape(String),
    /// Something that is neither a file, a folder nor a link.
    #[error("invalid archive: {0:?} is not a file")]
    NotAFile(String),
    /// It has too many files.
    #[error("invalid archive: more than {0} files")]
    TooManyFiles(usize),
    /// A file is not what its name says.
    #[error("invalid archive: {path:?} is {actual}")]
    Digest {
        /// The file.
        path: String,
        /// The digest it has.
        actual: Digest,
    },
    /// A name for an image that cannot be one.
    #[error("invalid archive: tag {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: oci::ReferenceError,
    },
    /// It cannot be read.
    #[error("invalid archive: {0}")]
    Tar(#[source] LayerError),
}

impl From<TarError> for ArchiveError {
    fn from(error: TarError) -> Self {
        Self::Tar(error.into())
    }
}

impl From<LayerError> for ArchiveError {
    fn from(error: LayerError) -> Self {
        Self::Tar(error)
    }
}

/// An image that was loaded, once for each of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub image: Digest,
    /// The name it was given; `None` where the archive had none for it.
    pub reference: Option<Reference>,
    /// The image that had this name before.
    pub replaced: Option<Digest>,
}

/// A layer that is being unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadingLayer<'a> {
    /// The digest of its uncompressed tar.
    pub layer: &'a Digest,
    /// Bytes of its file in the archive that were read so far.
    pub current: u64,
    /// All bytes of that file.
    pub total: u64,
}

/// Who is told of layers that are being unpacked.
type Progress<'p> = &'p mut (dyn FnMut(LoadingLayer<'_>) + Send);

impl ImageStore {
    /// As [`ImageStore::load_with`], telling nobody how far it is.
    ///
    /// # Errors
    /// As there.
    pub fn load(&self, reader: impl Read + Send, platforms: &[Platform]) -> Result<Vec<Loaded>> {
        self.load_with(reader, platforms, &mut |_| {})
    }

    /// Loads all images of an archive, plain or compressed with gzip, bzip2, xz or zstd. Of images for several platforms those in
    /// `platforms` are taken, or all that are in the archive where none is named. `progress` is told of layers that are
    /// unpacked, once the whole archive was read.
    ///
    /// # Errors
    /// When the archive is malformed, truncated, or not what its digests say. Images that came before the fault and were
    /// whole stay; nothing else does.
    pub fn load_with(
        &self,
        reader: impl Read + Send,
        platforms: &[Platform],
        progress: &mut (dyn FnMut(LoadingLayer<'_>) + Send),
    ) -> Result<Vec<Loaded>> {
        let ingest = self.ingest()?;
        let buffered = BufReader::with_capacity(256 << 10, reader);
        let decoder = Decoder::new(buffered).map_err(ArchiveError::from)?;
        let spool = spool::read(&ingest, BufReader::with_capacity(256 << 10, decoder))?;
        // With both, the layout keeps more: the manifests as they are.
        match (spool.contains("index.json"), spool.contains("manifest.json")) {
            (true, true) => match layout::load(self, &spool, platforms, progress) {
                Err(Error::Archive(ArchiveError::NoImage(_))) => {
                    docker::load(self, &spool, platforms, progress)
                }
                other => other,
            },
            (true, false) => layout::load(self, &spool, platforms, progress),
            (false, true) => docker::load(self, &spool, platforms, progress),
            (false, false) => Err(ArchiveError::NoManifest.into()),
        }
    }

    /// What has this name now, for [`Loaded::replaced`].
    pub(crate) fn holder(&self, reference: &Reference, newcomer: &Digest) -> Option<Digest> {
        let index = self.shared.read();
        let record = index.references.get(&crate::index::lookup_key(reference))?;
        // One more platform of the same takes the name from nobody.
        let record = Some(record).filter(|record| !record.names(newcomer))?;
        (record.image != *newcomer).then(|| record.image.clone())
    }
}

/// Makes a layer of a file of the archive.
fn unpack(
    ingest: &Ingest,
    file: &Spooled,
    blob: Option<&Descriptor>,
    layer: &Digest,
    progress: Progress<'_>,
) -> Result<()> {
    let path = match &file.content {
        Content::File(path) => path,
        // Had it been this layer, it would have been found before.
        Content::Stored(other) => {
            let source = LayerError::DiffId { expected: layer.clone(), actual: other.clone() };
            return Err(Error::Layer { layer: layer.clone(), source });
        }
    };
    let (mut current, total) = (0, file.size);
    ingest.layer_from_file(path, blob, layer, &mut |bytes| {
        current += bytes;
        progress(LoadingLayer { layer, current, total });
    })
}

/// What was loaded, if that is anything.
fn some(all: Vec<Loaded>, platforms: &[Platform]) -> Result<Vec<Loaded>> {
    if !all.is_empty() {
        return Ok(all);
    }
    let wanted = platforms.first().map(|platform| format!(" for {platform}")).unwrap_or_default();
    Err(ArchiveError::NoImage(wanted).into())
}

/// One [`Loaded`] for each name, or one without.
fn loaded(image: &Digest, names: Vec<(Reference, Option<Digest>)>) -> Vec<Loaded> {
    if names.is_empty() {
        return vec![Loaded { image: image.clone(), reference: None, replaced: None }];
    }
    let with_name =
        |(reference, replaced)| Loaded { image: image.clone(), reference: Some(reference), replaced };
    names.into_iter().map(with_name).collect()
}
