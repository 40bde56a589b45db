//! OCI descriptors inside API answers.

use serde::{Deserialize, Serialize};

use crate::{StringMap, omit};

/// What a blob is and how it is addressed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    /// Media type.
    pub media_type: String,
    /// `algorithm:hex`.
    pub digest: String,
    /// Bytes.
    pub size: i64,
    /// Other places of the blob.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub urls: Option<Vec<String>>,
    /// Annotations.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub annotations: Option<StringMap>,
    /// The blob itself, base64.
    #[serde(skip_serializing_if = "omit::empty")]
    pub data: String,
    /// For what it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The kind of artifact.
    #[serde(skip_serializing_if = "omit::empty")]
    pub artifact_type: String,
}

/// A processor architecture and an operating system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// `amd64`, `arm64`, ….
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", skip_serializing_if = "omit::empty")]
    pub os_version: String,
    /// Features of the operating system (Windows).
    #[serde(rename = "os.features", skip_serializing_if = "omit::empty_list")]
    pub os_features: Option<Vec<String>>,
    /// `v7`, ….
    #[serde(skip_serializing_if = "omit::empty")]
    pub variant: String,
}
