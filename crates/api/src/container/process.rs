//! Processes of a container, their end, and the files they changed.

use serde::{Deserialize, Serialize};

use crate::omit;

/// The answer to `GET /containers/{id}/top`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TopResponse {
    /// A row for each process.
    pub processes: Vec<Vec<String>>,
    /// The columns' names.
    pub titles: Vec<String>,
}

/// The answer to `POST /containers/{id}/wait`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitResponse {
    /// Why waiting, or the removal that was waited for, failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
    /// The exit code.
    pub status_code: i64,
}

/// Why waiting failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitError {
    /// The text for people.
    #[serde(skip_serializing_if = "omit::empty")]
    pub message: String,
}

/// One entry of `GET /containers/{id}/changes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Change {
    /// What happened to the file.
    pub kind: ChangeKind,
    /// Its path.
    pub path: String,
}

/// What happened to a file. A number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum ChangeKind {
    /// 0.
    Modified,
    /// 1.
    Added,
    /// 2.
    Deleted,
}

impl From<ChangeKind> for u8 {
    fn from(kind: ChangeKind) -> Self {
        kind as Self
    }
}

impl TryFrom<u8> for ChangeKind {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Modified),
            1 => Ok(Self::Added),
            2 => Ok(Self::Deleted),
            other => Err(format!("unknown kind of change: {other}")),
        }
    }
}

/// The answer to `POST /containers/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PruneResponse {
    /// IDs of what was removed; null where nothing was.
    pub containers_deleted: Option<Vec<String>>,
    /// Bytes.
    pub space_reclaimed: u64,
}
