//! Room for the write-ahead log, taken before the disk is full.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// Enough for some fifty removals and changes of state.
pub(crate) const SIZE: u64 = 512 * 1024;

/// Blocks of the disk that belong to the log although nothing is written there yet: on a full disk records can still be
/// removed and exits still be recorded.
#[derive(Debug)]
pub(crate) struct Reserve {
    log: PathBuf,
}

impl Reserve {
    pub(crate) fn of(store: &Path) -> Self {
        let mut log = store.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into() }
    }

    /// Takes the room, after the log was made or cut. A disk that is full already has none to give, and some file systems
    /// know no such thing: the store works without it.
    pub(crate) fn take(&self) {
        if let Ok(log) = File::options().write(true).open(&self.log) {
            let _ = fallocate(&log, FallocateFlags::KEEP_SIZE, 0, SIZE);
        }
    }
}
