//! The history of an image, and what its removal removed.

use serde::{Deserialize, Serialize};

use crate::omit;

/// One step of `GET /images/{name}/history`, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HistoryItem {
    /// A comment.
    pub comment: String,
    /// When, seconds since 1970 UTC.
    pub created: i64,
    /// By which command.
    pub created_by: String,
    /// The image's ID in the first step, else `<missing>`.
    pub id: String,
    /// Bytes that the step added.
    pub size: i64,
    /// The image's tags in the first step, else null.
    pub tags: Option<Vec<String>>,
}

/// One entry of the answer to `DELETE /images/{name}`: one of the two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteItem {
    /// An image or layer that is gone.
    #[serde(skip_serializing_if = "omit::empty")]
    pub deleted: String,
    /// A name that is gone.
    #[serde(skip_serializing_if = "omit::empty")]
    pub untagged: String,
}

/// The answer to `POST /images/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PruneResponse {
    /// What was removed; null where nothing was.
    pub images_deleted: Option<Vec<DeleteItem>>,
    /// Bytes.
    pub space_reclaimed: u64,
}
