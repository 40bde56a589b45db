//! Containers in a list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MountPoint, Port};
use crate::image::Descriptor;
use crate::network::EndpointSettings;
use crate::{StringMap, omit};

/// One entry of `GET /containers/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerSummary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its names, each with a leading slash.
    pub names: Vec<String>,
    /// The image as the user named it, or its ID where that name has moved.
    pub image: String,
    /// The image's ID, `sha256:…`.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// The manifest of its image (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
    /// Program and arguments, as one text.
    pub command: String,
    /// When it was made, seconds since 1970 UTC.
    pub created: i64,
    /// Exposed and published ports.
    pub ports: Vec<Port>,
    /// Bytes it has written (`size=1`).
    #[serde(skip_serializing_if = "omit::empty")]
    pub size_rw: i64,
    /// Bytes of all of its files (`size=1`).
    #[serde(skip_serializing_if = "omit::empty")]
    pub size_root_fs: i64,
    /// Labels.
    pub labels: StringMap,
    /// `created`, `running`, …
    pub state: String,
    /// The same for people: `Up 3 minutes (healthy)`.
    pub status: String,
    /// A part of how it runs.
    pub host_config: SummaryHostConfig,
    /// Its networks.
    pub network_settings: Option<SummaryNetworkSettings>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
}

/// How a listed container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryHostConfig {
    /// Its network mode.
    #[serde(skip_serializing_if = "omit::empty")]
    pub network_mode: String,
    /// Its annotations (API 1.46).
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub annotations: Option<StringMap>,
}

/// The networks of a listed container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryNetworkSettings {
    /// Endpoints by network name.
    pub networks: Option<BTreeMap<String, EndpointSettings>>,
}
