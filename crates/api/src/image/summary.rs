//! Images in a list.

use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform};
use crate::{StringMap, omit};

/// One entry of `GET /images/json`. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// How many containers use it; -1 where that was not counted.
    pub containers: i64,
    /// When it was made, seconds since 1970 UTC.
    pub created: i64,
    /// `sha256:…`.
    pub id: String,
    /// Labels; null without any.
    pub labels: Option<StringMap>,
    /// The image it was built on; empty where that is not known.
    pub parent_id: String,
    /// Its manifest or index (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// The manifests of its index (`manifests=1`, API 1.47).
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub manifests: Option<Vec<ManifestSummary>>,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// `repository:tag`.
    pub repo_tags: Vec<String>,
    /// What it shares with other images; -1 where that was not computed.
    pub shared_size: i64,
    /// What it occupies.
    pub size: i64,
    /// The same again (up to API 1.43).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
}

/// One manifest of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSummary {
    /// Its digest.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Whether all of its blobs are here.
    pub available: bool,
    /// What it occupies.
    pub size: ManifestSizes,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    /// For an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ImageProperties>,
    /// For an attestation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_data: Option<AttestationProperties>,
}

/// What an attestation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttestationProperties {
    /// The digest of the image's manifest.
    #[serde(rename = "For")]
    pub of: String,
}

/// What a manifest occupies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSizes {
    /// Its blobs, as they are in the registry.
    pub content: i64,
    /// Everything.
    pub total: i64,
}

/// An image of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageProperties {
    /// For what it is made.
    pub platform: Platform,
    /// What it occupies.
    pub size: UnpackedSize,
    /// IDs of containers that use it.
    pub containers: Vec<String>,
}

/// What an unpacked image occupies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnpackedSize {
    /// Bytes.
    pub unpacked: i64,
}
