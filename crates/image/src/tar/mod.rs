//! A streaming reader of tar archives, written for hostile input, and the headers of those that are made here.
//!
//! It reads what Docker, BuildKit, GNU tar, bsdtar and Go's `archive/tar` write: v7, ustar, GNU and pax headers, long names,
//! extended attributes, and all four forms of sparse files. Everything that is held in memory is bounded; names are bytes.

mod header;
mod pax;
mod reader;
mod sparse;
pub(crate) mod writer;

pub(crate) use header::{BLOCK, Kind, Time, is_header};
pub(crate) use reader::{Entry, TarReader, drain};
pub(crate) use sparse::Segment;

use std::io;

/// Why a tar archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes under it could not be read.
    #[error("read archive: {0}")]
    Read(#[source] io::Error),
    /// It ends in the middle of a header or a file.
    #[error("unexpected end of archive")]
    Truncated,
    /// A header's checksum is wrong: it is no tar archive, or a damaged one.
    #[error("invalid tar header at byte {0}")]
    Header(u64),
    /// A number in a header is malformed or out of range.
    #[error("invalid {field} in tar header of {name:?}")]
    Number {
        /// Which.
        field: &'static str,
        /// Of which entry.
        name: String,
    },
    /// An extension header is malformed.
    #[error("invalid pax header: {0}")]
    Pax(&'static str),
    /// An extension header or a name is too long.
    #[error("{0} bytes of extension headers exceed the limit of {MAX_EXTENSION}")]
    ExtensionTooBig(u64),
    /// The map of a sparse file is malformed.
    #[error("invalid sparse map of {0:?}")]
    Sparse(String),
    /// An entry of a kind that is not known.
    #[error("unsupported tar entry type {kind:?} of {name:?}")]
    Unsupported {
        /// The type flag.
        kind: char,
        /// Its name.
        name: String,
    },
}

impl TarError {
    pub(crate) fn from_read(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Read(error),
        }
    }
}

/// Bytes that the extension headers of one entry may have: long names, attributes, sparse maps.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// A name for an error message.
pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(256)]).into_owned()
}
