//! The log files of a container: written by its supervisor, read by the engine.
//!
//! | file | what |
//! |---|---|
//! | `<path>` | the current one |
//! | `<path>.1`, `<path>.2`, … | rotated ones, newest first |
//! | `<path>.1.gz`, … | the same, compressed |
//!
//! Two formats: [`json`] is Docker's json-file, [`local`] is Docker's local. Output is cut into lines by [`lines`]; a line is
//! one record, or several where it is long.

mod chain;
pub mod compress;
pub mod follow;
pub mod json;
pub mod lines;
pub mod local;
mod reader;
mod render;
mod rotate;
mod tail;
mod time;
mod writer;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use compress::Compressor;
pub use reader::{Batch, Entry, Progress, ReadOptions, Reader};
pub use render::{Frames, Render, render};
pub use time::{now, rfc3339, rfc3339_fixed};
pub use writer::Writer;

/// One of the two outputs of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output, and everything that comes from a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in log files and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Its number in Docker's stream frames.
    pub fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    /// The eight bytes before `length` bytes of output in Docker's stream frames.
    pub fn frame_header(self, length: usize) -> [u8; 8] {
        let [a, b, c, d] = (length as u32).to_be_bytes();
        [self.number(), 0, 0, 0, a, b, c, d]
    }
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {action} log file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file holds something else than a log of its format.
    #[error("log file {path} is damaged at byte {offset}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// The container keeps no log.
    #[error("configured logging driver does not support reading")]
    NotKept,
}

impl LogError {
    fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }
}
