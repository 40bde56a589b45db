//! Everything about one image.

use serde::{Deserialize, Serialize};

use super::{Descriptor, ManifestSummary};
use crate::container::{Config, GraphDriver, Healthcheck, StrSlice};
use crate::{StringMap, StringSet, Time, omit};

/// The answer to `GET /images/{name}/json`. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// `sha256:…`.
    pub id: String,
    /// `repository:tag`.
    pub repo_tags: Vec<String>,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// The image it was built on; empty where that is not known.
    pub parent: String,
    /// A comment.
    pub comment: String,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// The container it was committed from (up to API 1.44).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// That container's configuration (up to API 1.44).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Config>,
    /// The Docker version that made it.
    pub docker_version: String,
    /// Who made it.
    pub author: String,
    /// What its containers run.
    pub config: Option<ImageConfig>,
    /// `amd64`, `arm64`, ….
    pub architecture: String,
    /// `v7`, ….
    #[serde(skip_serializing_if = "omit::empty")]
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(skip_serializing_if = "omit::empty")]
    pub os_version: String,
    /// What it occupies.
    pub size: i64,
    /// The same again (up to API 1.43).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What is known of it only here.
    pub metadata: Metadata,
    /// Its manifest or index (API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// The manifests of its index (`manifests=1`, API 1.48).
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub manifests: Option<Vec<ManifestSummary>>,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type", skip_serializing_if = "omit::empty")]
    pub kind: String,
    /// Digests of the unpacked layers, the lowest first.
    #[serde(skip_serializing_if = "omit::empty")]
    pub layers: Vec<String>,
}

/// What is known of an image only on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metadata {
    /// When it was last tagged.
    pub last_tag_time: Time,
}

/// What the containers of an image run, as API 1.50 shows it: empty fields are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `[name|uid][:[group|gid]]`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub user: String,
    /// Ports that are meant to be published.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub exposed_ports: Option<StringSet>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub env: Option<Vec<String>>,
    /// The program that gets the command as arguments.
    #[serde(skip_serializing_if = "omit_arguments")]
    pub entrypoint: Option<StrSlice>,
    /// Arguments of the entry point, or the command where there is none.
    #[serde(skip_serializing_if = "omit_arguments")]
    pub cmd: Option<StrSlice>,
    /// Paths that are volumes.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub volumes: Option<StringSet>,
    /// The directory in which the command runs.
    #[serde(skip_serializing_if = "omit::empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub labels: Option<StringMap>,
    /// The signal that asks the container to end.
    #[serde(skip_serializing_if = "omit::empty")]
    pub stop_signal: String,
    /// Whether the command is escaped already (Windows).
    #[serde(skip_serializing_if = "omit::empty")]
    pub args_escaped: bool,
    /// How the container's health is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Triggers for images built on this one.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub on_build: Option<Vec<String>>,
    /// The shell of the shell forms.
    #[serde(skip_serializing_if = "omit_arguments")]
    pub shell: Option<StrSlice>,
}

fn omit_arguments(arguments: &Option<StrSlice>) -> bool {
    arguments.as_ref().is_none_or(|arguments| arguments.is_empty())
}
