//! Versions of the engine.

use serde::{Deserialize, Serialize};

use crate::{StringMap, omit};

/// The answer to `GET /version`. The fields from `version` on repeat the first component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// The product.
    pub platform: PlatformName,
    /// The engine and what it uses.
    #[serde(skip_serializing_if = "omit::empty")]
    pub components: Vec<ComponentVersion>,
    /// The engine's version.
    pub version: String,
    /// The newest API version.
    pub api_version: String,
    /// The oldest API version.
    #[serde(rename = "MinAPIVersion", skip_serializing_if = "omit::empty")]
    pub min_api_version: String,
    /// The commit it was built from.
    pub git_commit: String,
    /// The compiler.
    pub go_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ….
    pub arch: String,
    /// The kernel's release.
    #[serde(skip_serializing_if = "omit::empty")]
    pub kernel_version: String,
    /// Whether experimental features are on.
    #[serde(skip_serializing_if = "omit::empty")]
    pub experimental: bool,
    /// When it was built.
    #[serde(skip_serializing_if = "omit::empty")]
    pub build_time: String,
}

/// The product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlatformName {
    /// Its name.
    pub name: String,
}

/// A part of the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ComponentVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// More.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub details: Option<StringMap>,
}
