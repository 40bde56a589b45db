//! Mounts as they are asked for, and as they are reported.

use serde::{Deserialize, Serialize};

use crate::{Empty, StringMap, omit};

/// A mount that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
    #[serde(rename = "Type", skip_serializing_if = "omit::empty")]
    pub kind: String,
    /// A path of the host, or a volume's name.
    #[serde(skip_serializing_if = "omit::empty")]
    pub source: String,
    /// The path in the container.
    #[serde(skip_serializing_if = "omit::empty")]
    pub target: String,
    /// Whether it is read-only, with everything mounted below where the kernel can do that.
    #[serde(skip_serializing_if = "omit::empty")]
    pub read_only: bool,
    /// `consistent`, `cached`, `delegated` or `default`; without effect on Linux.
    #[serde(skip_serializing_if = "omit::empty")]
    pub consistency: String,
    /// For `bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// For `tmpfs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
    /// For `cluster`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_options: Option<ClusterOptions>,
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave` or `rslave`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub propagation: String,
    /// Whether what is mounted below the source is left out.
    #[serde(skip_serializing_if = "omit::empty")]
    pub non_recursive: bool,
    /// Whether a missing source is made.
    #[serde(skip_serializing_if = "omit::empty")]
    pub create_mountpoint: bool,
    /// Whether what is mounted below stays writable.
    #[serde(skip_serializing_if = "omit::empty")]
    pub read_only_non_recursive: bool,
    /// Whether it is an error that the kernel cannot make everything below read-only.
    #[serde(skip_serializing_if = "omit::empty")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Whether an empty volume stays empty.
    #[serde(skip_serializing_if = "omit::empty")]
    pub no_copy: bool,
    /// Labels of a volume that is made for this mount.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub labels: Option<StringMap>,
    /// The directory inside the volume.
    #[serde(skip_serializing_if = "omit::empty")]
    pub subpath: String,
    /// The driver of a volume that is made for this mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A volume driver and its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// The driver.
    #[serde(skip_serializing_if = "omit::empty")]
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub options: Option<StringMap>,
}

/// Options of an image mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// The directory inside the image.
    #[serde(skip_serializing_if = "omit::empty")]
    pub subpath: String,
}

/// Options of a file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Its size in bytes; 0 is unlimited.
    #[serde(skip_serializing_if = "omit::empty")]
    pub size_bytes: i64,
    /// Its mode; 0 is 1777.
    #[serde(skip_serializing_if = "omit::empty")]
    pub mode: u32,
    /// Further mount options, each a name or a name and a value.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub options: Option<Vec<Vec<String>>>,
}

/// Options of a cluster volume: there are none.
pub type ClusterOptions = Empty;

/// A mount of a container, as reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, …
    #[serde(rename = "Type", skip_serializing_if = "omit::empty")]
    pub kind: String,
    /// The volume's name.
    #[serde(skip_serializing_if = "omit::empty")]
    pub name: String,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// The volume's driver.
    #[serde(skip_serializing_if = "omit::empty")]
    pub driver: String,
    /// The options as written.
    pub mode: String,
    /// Whether it is writable.
    #[serde(rename = "RW")]
    pub writable: bool,
    /// How mounts propagate.
    pub propagation: String,
}
