//! What a container was made with: written once, when it is created.

use std::collections::BTreeMap;

use api::container::{Config, HostConfig};
use api::network::EndpointSettings;
use serde::{Deserialize, Serialize};
use store::Record;

use crate::links::Link;
use crate::mounts::MountSettings;

/// What does not change while a container exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was created, nanoseconds since 1970 UTC.
    pub created: i64,
    /// The image's ID, `sha256:…`.
    pub image_id: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What runs: the request, completed from the image.
    pub config: Config,
    /// How it runs: the request, completed with the engine's defaults.
    pub host_config: HostConfig,
    /// The networks it was asked to join, by name; in a record, those that it is to join at its next start. Those of a
    /// container in memory are in [`crate::container::Published`], for they change.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// What it is linked to; those of a container in memory are in [`crate::links::Links`], for they can be removed.
    #[serde(default)]
    pub links: Vec<Link>,
    /// What is mounted in it besides the file systems that every container has.
    pub mounts: Vec<MountSettings>,
}

/// A container's durable record: its settings and its name, which can be changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) name: String,
    pub(crate) settings: Settings,
}

impl Record for ContainerRecord {
    const TABLE: &'static str = "container";
    const VERSION: u32 = 1;
}

impl Settings {
    /// Whether it is a step, which is made from no image.
    pub(crate) fn is_step(&self) -> bool {
        self.image_id.is_empty()
    }

    /// The first twelve digits of the ID.
    pub(crate) fn short_id(&self) -> &str {
        &self.id[..12]
    }
}
