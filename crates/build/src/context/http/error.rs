//! Why a file could not be had.

use std::io;
use std::path::PathBuf;

use image::LayerError;
use oci::{Digest, DigestError};

use crate::archive;

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server has another answer than the file.
    #[error("invalid response status {0}")]
    Status(u16),
    /// The file is another one.
    #[error("digest mismatch for {url}: {actual} (expected: {expected})")]
    Checksum {
        /// Its address, without what may be secret in it.
        url: String,
        /// The digest it has.
        actual: Digest,
        /// The digest it should have.
        expected: Digest,
    },
    /// What it should be is no digest.
    #[error("invalid checksum {text:?}: {source}")]
    InvalidChecksum {
        /// What it is instead.
        text: String,
        /// Why that is none.
        source: DigestError,
    },
    /// It could not be written.
    #[error("{action} {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk would be full.
    #[error(transparent)]
    Space(LayerError),
    /// The connection broke off.
    #[error("download {url}: {source}")]
    Read {
        /// The address, without what may be secret in it.
        url: String,
        /// What became of it.
        source: io::Error,
    },
    /// The server cannot be reached.
    #[error(transparent)]
    Network(#[from] registry::Error),
    /// A context cannot be had.
    #[error("error downloading remote context {url}: {source}")]
    Context {
        /// Its address, without what may be secret in it.
        url: String,
        /// Why.
        source: registry::Error,
    },
    /// A context is of a kind that is none.
    #[error("error detecting content type for remote {url}: {reason}")]
    Content {
        /// Its address, without what may be secret in it.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A Dockerfile is longer than any is.
    #[error("the Dockerfile at {url} exceeds the limit of {limit} bytes")]
    TooBig {
        /// Its address, without what may be secret in it.
        url: String,
        /// Bytes it may have.
        limit: u64,
    },
    /// A context is no archive that can be unpacked.
    #[error(transparent)]
    Archive(#[from] archive::Error),
}
