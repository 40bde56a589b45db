use std::path::PathBuf;

use crate::record::UpgradeError;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, is no database, or is open in another process.
    #[error("open store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A statement failed.
    #[error("{action} {table} record {key:?}")]
    Statement {
        /// What was tried.
        action: &'static str,
        /// The kind of record.
        table: &'static str,
        /// The record's key; empty where several are meant.
        key: String,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A transaction could not be begun or committed.
    #[error("commit transaction")]
    Commit(#[source] rusqlite::Error),
    /// The log could not be moved into the file.
    #[error("checkpoint store")]
    Checkpoint(#[source] rusqlite::Error),
    /// The file could not be verified.
    #[error("verify store")]
    Verify(#[source] rusqlite::Error),
    /// A value cannot be written as JSON.
    #[error("encode {table} record {key:?}")]
    Encode {
        /// The kind of record.
        table: &'static str,
        /// The record's key.
        key: String,
        /// What the encoder says.
        source: serde_json::Error,
    },
    /// A stored document cannot be read as its type.
    #[error("decode {table} record {key:?}")]
    Decode {
        /// The kind of record.
        table: &'static str,
        /// The record's key.
        key: String,
        /// Why.
        source: UpgradeError,
    },
}
