//! Trees of files as they are on disk: walking them, comparing a writable layer with what is below it, writing them as a tar
//! and measuring that tar without making it.

mod archive;
mod changes;
mod content;
mod measure;
mod walk;

use std::io;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

pub(crate) use archive::write_layer;
pub use archive::write_root;
pub use changes::{Change, ChangeKind};
pub(crate) use measure::{Checkpoint, Measured, measure, measure_like};

use crate::tar::printable;

/// Why a tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Something in it cannot be read.
    #[error("{action} {path:?}: {errno}")]
    Read {
        /// What was tried.
        action: &'static str,
        /// Where, inside the tree.
        path: String,
        /// What the system says.
        errno: Errno,
    },
    /// Whoever wanted the archive takes no more of it.
    #[error("write archive: {0}")]
    Write(#[source] io::Error),
}

fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> TreeError {
    move |errno| TreeError::Read { action, path: printable(&[b"/", path].concat()), errno }
}

/// Whether it is an overlay's mark that something of a lower layer is deleted.
fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
