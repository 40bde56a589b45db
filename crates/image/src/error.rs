//! Why an image could not be stored, found, used or removed.

use std::io;
use std::path::{Path, PathBuf};

use oci::{Digest, ReferenceError};

use crate::layer::LayerError;
use crate::load::ArchiveError;
use crate::manifest::ManifestError;
use crate::tree::TreeError;

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on images failed. Texts that clients match on are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No image has this name or ID.
    #[error("No such image: {0}")]
    NotFound(String),
    /// The name given is none.
    #[error("{source}")]
    Reference {
        /// What was given.
        text: String,
        /// Why it is no name.
        source: ReferenceError,
    },
    /// A tag cannot be made with a digest in its name.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// A name cannot be removed while a container uses the image, which would be left without one.
    #[error(
        "conflict: unable to remove repository reference {reference:?} (must force) - container {container} is using its referenced image {image}"
    )]
    ReferenceInUse {
        /// The name as given.
        reference: String,
        /// Short ID of the container.
        container: String,
        /// Short ID of the image.
        image: String,
    },
    /// An image cannot be deleted.
    #[error("conflict: unable to delete {image} ({}) - {reason}", if *.forcible { "must be forced" } else { "cannot be forced" })]
    InUse {
        /// Short ID of the image.
        image: String,
        /// Whether force would help.
        forcible: bool,
        /// Who uses it.
        reason: String,
    },
    /// The image found is for another platform than the one asked for.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    Platform {
        /// The name as given.
        reference: String,
        /// What the image is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// What a name stands for is not here for the platform asked for.
    #[error(
        "image with reference {reference} was found but does not provide the specified platform ({wanted})"
    )]
    NoPlatform {
        /// The name as given.
        reference: String,
        /// What was asked for.
        wanted: String,
    },
    /// What a name stands for is here for several platforms, but not whole.
    #[error("multiple matching manifests found but no specific platform requested")]
    SeveralPlatforms,
    /// A filter's value makes no sense.
    #[error("invalid filter '{name}={value}'")]
    Filter {
        /// The filter's name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The overlay file system cannot stack that many layers.
    #[error("image {image} has {count} layers, more than the {max} that an overlay mount can stack")]
    TooManyLayers {
        /// The image.
        image: Digest,
        /// How many it has.
        count: usize,
        /// How many are possible.
        max: usize,
    },
    /// A snapshot with this name exists.
    #[error("snapshot {0} exists")]
    SnapshotExists(String),
    /// There is no snapshot with this name.
    #[error("no such snapshot: {0}")]
    SnapshotNotFound(String),
    /// A name for a snapshot that could not be a file's name.
    #[error("invalid snapshot name {0:?}")]
    SnapshotName(String),
    /// Content does not have the digest it was asked for by.
    #[error("{what} verification failed for digest {expected}: content is {actual}")]
    Digest {
        /// What kind of content.
        what: &'static str,
        /// The digest asked for.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// Content is longer or shorter than its descriptor says.
    #[error("{what} {digest} has {actual} bytes instead of {expected}")]
    Size {
        /// What kind of content.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has; with more to come where it is too long.
        actual: u64,
    },
    /// A manifest, index or configuration is malformed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The files of a container cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A layer cannot be unpacked.
    #[error("failed to register layer {layer}: {source}")]
    Layer {
        /// The layer's digest.
        layer: Digest,
        /// Why.
        source: LayerError,
    },
    /// A layer that is made here cannot be unpacked.
    #[error("failed to register layer: {0}")]
    NewLayer(#[source] LayerError),
    /// Of a layer there is only its tree, not the tar that it came as.
    #[error("the archive of layer {0} is not in the store")]
    NoArchive(Digest),
    /// A repository has no such tag, in the words of Docker's reference store.
    #[error("reference does not exist")]
    NoReference(String),
    /// An archive is no image.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A file of the store could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Whoever asked for it wants it no more.
    #[error("cancelled")]
    Cancelled,
    /// The records could not be read or written.
    #[error("image records: {0}")]
    Records(#[from] store::Error),
}

/// What kind of failure it is, for whoever maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was named is not there.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// It cannot be done in this state.
    Conflict,
    /// The store or the system failed.
    System,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_)
            | Self::NoReference(_)
            | Self::Platform { .. }
            | Self::NoPlatform { .. }
            | Self::SnapshotNotFound(_) => ErrorKind::NotFound,
            Self::Reference { .. }
            | Self::TagWithDigest
            | Self::Filter { .. }
            | Self::TooManyLayers { .. }
            | Self::SnapshotName(_)
            | Self::Digest { .. }
            | Self::Size { .. }
            | Self::Manifest(_)
            | Self::Archive(_) => ErrorKind::Invalid,
            Self::Layer { source, .. } | Self::NewLayer(source) if source.is_bad_content() => {
                ErrorKind::Invalid
            }
            Self::ReferenceInUse { .. }
            | Self::InUse { .. }
            | Self::SeveralPlatforms
            | Self::SnapshotExists(_) => ErrorKind::Conflict,
            Self::Layer { .. }
            | Self::NewLayer(_)
            | Self::NoArchive(_)
            | Self::Tree(_)
            | Self::Io { .. }
            | Self::Cancelled
            | Self::Records(_) => ErrorKind::System,
        }
    }

    /// For `map_err` on system calls about one path.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }
}
