//! Unpacking layers: from a compressed stream to a tree that an overlay mount can use.

mod compression;
mod limits;
mod root;
mod stream;
mod unpack;

pub(crate) use compression::{Compression, MAGIC_LEN};
pub(crate) use limits::Limits;
pub use limits::SpaceGuard;
pub(crate) use root::{clean, split};
pub(crate) use stream::{Expected, LayerStream, unpack_stream};
pub(crate) use unpack::{OPAQUE, Purpose, WHITEOUT, unpack};

use std::io;

use oci::Digest;
use rustix::io::Errno;

use crate::tar::TarError;

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It is no tar archive that can be read.
    #[error(transparent)]
    Tar(TarError),
    /// Its bytes could not be had, or not be decompressed.
    #[error("read archive: {0}")]
    Read(#[source] io::Error),
    /// It is compressed in a way that is not supported.
    #[error("unsupported compression: {0}")]
    Compression(&'static str),
    /// A name in it leaves its root.
    #[error("invalid path {0:?} in archive: it leaves the archive's root")]
    Escape(String),
    /// A name in it cannot be a name.
    #[error("invalid path {0:?} in archive")]
    Name(String),
    /// A whiteout that hides nothing.
    #[error("invalid whiteout {0:?} in layer")]
    Whiteout(String),
    /// An entry could not be made.
    #[error("{action} {path:?}: {}", sys::errno::text(*errno))]
    Entry {
        /// What was tried.
        action: &'static str,
        /// The entry.
        path: String,
        /// What the system says.
        errno: Errno,
    },
    /// It has too many entries.
    #[error("archive has more than {0} entries")]
    TooManyEntries(u64),
    /// It grows beyond all measure.
    #[error("archive expands from {compressed} to more than {expanded} bytes")]
    Ratio {
        /// Bytes read.
        compressed: u64,
        /// Bytes they became.
        expanded: u64,
    },
    /// The disk would be full.
    #[error("no space left on device: more is needed than the {0} bytes that are free")]
    NoSpace(u64),
    /// Its compressed form does not have the digest it was asked for by.
    #[error("filesystem layer verification failed for digest {expected}: content is {actual}")]
    Digest {
        /// The digest asked for.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// Its uncompressed form does not have the digest in the image's configuration.
    #[error("layer verification failed: the configuration lists {expected}, its content is {actual}")]
    DiffId {
        /// The digest in the configuration.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// Its compressed form is longer or shorter than its descriptor says.
    #[error("layer has {actual} bytes instead of {expected}")]
    Size {
        /// Bytes it should have.
        expected: u64,
        /// Bytes it has; with more to come where it is too long.
        actual: u64,
    },
    /// A file of the store could not be written.
    #[error("{action}: {source}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl From<TarError> for LayerError {
    fn from(error: TarError) -> Self {
        // What stopped the reader under the archive may have been one of our own limits.
        match error {
            TarError::Read(source) => {
                source.downcast::<Self>().unwrap_or_else(|source| Self::Tar(TarError::Read(source)))
            }
            other => Self::Tar(other),
        }
    }
}

impl LayerError {
    /// Whether the layer is to blame, and not the disk or the connection.
    pub fn is_bad_content(&self) -> bool {
        match self {
            Self::Read(source) => {
                matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            }
            Self::Tar(TarError::Read(_)) | Self::NoSpace(_) | Self::Store { .. } => false,
            Self::Entry { errno, .. } => {
                !matches!(*errno, Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)
            }
            _ => true,
        }
    }
}
