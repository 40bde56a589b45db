//! Everything about one container.

use serde::{Deserialize, Serialize};

use super::{Config, ContainerState, HostConfig, MountPoint};
use crate::image::Descriptor;
use crate::network::NetworkSettings;
use crate::{StringMap, Time};

/// The answer to `GET /containers/{id}/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerInspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created: Time,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its state.
    pub state: ContainerState,
    /// The image's ID, `sha256:…`.
    pub image: String,
    /// The file behind `/etc/resolv.conf`.
    pub resolv_conf_path: String,
    /// The file behind `/etc/hostname`.
    pub hostname_path: String,
    /// The file behind `/etc/hosts`.
    pub hosts_path: String,
    /// The log file.
    pub log_path: String,
    /// Its name, with a leading slash.
    pub name: String,
    /// How often it was started again by its policy.
    pub restart_count: i64,
    /// The storage driver.
    pub driver: String,
    /// `linux`.
    pub platform: String,
    /// SELinux label of files.
    pub mount_label: String,
    /// SELinux label of processes.
    pub process_label: String,
    /// AppArmor profile.
    pub app_armor_profile: String,
    /// Running execs; null without any.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// How it runs on this host.
    pub host_config: HostConfig,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Bytes it has written (`size=1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes of all of its files (`size=1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// What runs.
    pub config: Config,
    /// Its networks.
    pub network_settings: NetworkSettings,
    /// The manifest of its image (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_manifest_descriptor: Option<Descriptor>,
}

/// Where the files of a container or an image are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// Directories by role.
    pub data: Option<StringMap>,
    /// The driver.
    pub name: String,
}
