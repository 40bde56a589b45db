//! How a container ended, as its supervisor leaves it on disk.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code.
    Code(u8),
    /// It was ended by this signal.
    Signal(u8),
}

impl ExitStatus {
    /// The code a shell would report: the exit code, or 128 and the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(signal) => 128 + i32::from(signal),
        }
    }
}

/// The end of a container's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The container's ID.
    pub id: String,
    /// Its process ID as the host saw it.
    pub pid: i32,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether the kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// When the process was started, nanoseconds since 1970 UTC.
    pub started_at: i64,
    /// When it ended, nanoseconds since 1970 UTC.
    pub finished_at: i64,
}

/// Why an exit record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExitRecordError {
    /// The file system refused.
    #[error("cannot access exit record {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("malformed exit record {path}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl ExitRecord {
    /// Reads the record; `None` where there is none (yet).
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Option<Self>, ExitRecordError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ExitRecordError::Io { path: path.into(), source }),
        };
        let record = serde_json::from_slice(&bytes);
        record.map(Some).map_err(|source| ExitRecordError::Malformed { path: path.into(), source })
    }

    /// Writes the record so that a reader sees either all of it or what was there before. Mode 0600.
    ///
    /// # Errors
    /// The file cannot be written or put in its place.
    pub fn write(&self, path: &Path) -> Result<(), ExitRecordError> {
        let failed = |source| ExitRecordError::Io { path: path.into(), source };
        let bytes = serde_json::to_vec(self).expect("a record holds only text and numbers");
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        fs::rename(&temporary, path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exit.json");
        assert_eq!(ExitRecord::read(&path).unwrap(), None);
        let record = ExitRecord {
            id: "a".repeat(64),
            pid: 7,
            status: ExitStatus::Signal(9),
            oom_killed: true,
            started_at: 1,
            finished_at: 2,
        };
        record.write(&path).unwrap();
        assert_eq!(ExitRecord::read(&path).unwrap(), Some(record));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn malformed_record_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exit.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(ExitRecord::read(&path), Err(ExitRecordError::Malformed { .. })));
    }
}
