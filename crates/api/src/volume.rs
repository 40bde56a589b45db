//! Volumes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{StringMap, omit};

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// When it was made, RFC 3339 with whole seconds.
    #[serde(skip_serializing_if = "omit::empty")]
    pub created_at: String,
    /// The driver.
    pub driver: String,
    /// Labels.
    pub labels: Option<StringMap>,
    /// Its path on the host.
    pub mountpoint: String,
    /// Its name.
    pub name: String,
    /// Options of the driver.
    pub options: Option<StringMap>,
    /// `local` or `global`.
    pub scope: String,
    /// What the driver says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<std::collections::BTreeMap<String, Value>>,
    /// What it occupies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<UsageData>,
}

/// What a volume occupies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UsageData {
    /// How many containers use it; -1 where that is not known.
    pub ref_count: i64,
    /// Bytes; -1 where that is not known.
    pub size: i64,
}

/// The answer to `GET /volumes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListResponse {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// What the user should know.
    pub warnings: Option<Vec<String>>,
}

/// The body of `POST /volumes/create`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRequest {
    /// A swarm's volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_volume_spec: Option<Value>,
    /// The driver; empty is `local`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub driver: String,
    /// Options of the driver.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub driver_opts: Option<StringMap>,
    /// Labels.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub labels: Option<StringMap>,
    /// Its name; empty for one that the engine draws.
    #[serde(skip_serializing_if = "omit::empty")]
    pub name: String,
}
