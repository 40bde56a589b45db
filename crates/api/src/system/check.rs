//! What verifying the engine's files has found. An extension: Docker's API has nothing of the kind.

use serde::{Deserialize, Serialize};

/// The last message of `POST /system/check`, as its `aux`; those before it tell how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckReport {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Layers that were unpacked and compared with their trees.
    pub layers: u64,
    /// Images.
    pub images: u64,
    /// What is damaged.
    pub findings: Vec<CheckFinding>,
}

/// Something that is damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckFinding {
    /// What it is: `blob`, `layer`, `image`, `container` or `records`.
    pub kind: String,
    /// Its digest, ID or path.
    #[serde(rename = "ID")]
    pub id: String,
    /// In which way it is damaged.
    pub problem: String,
    /// Names of the images that have it.
    pub images: Vec<String>,
    /// Names of the containers over it.
    pub containers: Vec<String>,
    /// What was done: `restored`, `quarantined`, `removed` (out of use, with its images), `kept`; empty where nothing was
    /// asked for.
    pub action: String,
    /// Why it was kept.
    pub reason: String,
}

impl CheckFinding {
    /// Whether it is as damaged as before.
    pub fn remains(&self) -> bool {
        matches!(self.action.as_str(), "" | "kept")
    }
}
