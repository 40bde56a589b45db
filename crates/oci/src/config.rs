//! The configuration of an image, with every field that Docker gives a meaning.
//!
//! `oci-spec`'s own type leaves out Docker's fields (health check, `ONBUILD`, shell, …) and would lose them when written.
//! An image's ID is the digest of its configuration *as it came*, so whoever reads one keeps the bytes and never writes
//! this type over them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::platform::Platform;

/// The configuration of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Go's name of the architecture.
    #[serde(default, deserialize_with = "null_is_default")]
    pub architecture: String,
    /// The architecture's variant.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Go's name of the operating system.
    #[serde(default, deserialize_with = "null_is_default")]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(
        default,
        rename = "os.version",
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features of the operating system (Windows).
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A note, as `commit -m` leaves it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// The version of Docker that made it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// The container it was committed from.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// The configuration of that container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_config: Option<ContainerConfig>,
    /// What containers are started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// Its layers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rootfs: RootFs,
    /// How it came to be, the oldest first.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// The platform it is made for.
    pub fn platform(&self) -> Platform {
        let variant = (!self.variant.is_empty()).then_some(self.variant.as_str());
        Platform::new(&self.os, &self.architecture, variant)
    }
}

/// What containers are started with, by Docker's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// Host name.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Domain name.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// `user[:group]`, by name or number.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port/protocol` that the program listens on.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "KeySet::is_empty")]
    pub exposed_ports: KeySet,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Default arguments, or the default command where there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// How to see whether the program is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether the command is already escaped (Windows).
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Paths that are volumes.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "KeySet::is_empty")]
    pub volumes: KeySet,
    /// Working directory.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The program that is always run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Whether its containers have no network.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// Instructions for builds that start from it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Labels.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds from that signal to the killing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of `RUN`, `CMD` and `ENTRYPOINT` in their shell form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// How to see whether a program is well. Times are in nanoseconds, 0 is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// Empty: inherited; `["NONE"]`: none; `["CMD", …]` or `["CMD-SHELL", command]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<String>>,
    /// From one check to the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// After which a check has failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// In which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// From one check to the next in the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    pub kind: String,
    /// Digests of the uncompressed layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One step of how an image came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// By whom.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// A note.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

/// A set of texts, written as a JSON object with empty objects for values, as Go writes its sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(pub std::collections::BTreeSet<String>);

impl KeySet {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Its texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Serialize for KeySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|key| (key, BTreeMap::<(), ()>::new())))
    }
}

impl<'de> Deserialize<'de> for KeySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, serde::de::IgnoredAny>::deserialize(deserializer)?;
        Ok(Self(map.into_keys().collect()))
    }
}

/// Go reads `null` as the zero value, and its programs write `null` for empty lists and maps.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{
      "architecture":"arm64","variant":"v8","os":"linux","created":"2024-01-02T03:04:05.6Z","author":null,
      "config":{"Hostname":"","User":"app","ExposedPorts":{"80/tcp":{},"53/udp":{}},"Env":["PATH=/bin","A="],
        "Cmd":null,"Entrypoint":["/run"],"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000,"Retries":3},
        "ArgsEscaped":true,"Volumes":{"/data":{}},"WorkingDir":"/w","OnBuild":["RUN x"],"Labels":{"b":"2","a":"1"},
        "StopSignal":"SIGINT","StopTimeout":3,"Shell":["/bin/bash","-c"]},
      "history":[{"created_by":"ADD x","empty_layer":null},{"created_by":"CMD","empty_layer":true}],
      "rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;

    #[test]
    fn image_config_of_docker_keeps_every_field() {
        let image: ImageConfig = serde_json::from_str(DOCKER).unwrap();
        let config = image.config.as_ref().unwrap();
        assert_eq!(image.platform().to_string(), "linux/arm64");
        assert_eq!(config.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(config.cmd, None);
        assert_eq!(config.healthcheck.as_ref().unwrap().retries, 3);
        assert!(config.args_escaped && image.history[1].empty_layer && !image.history[0].empty_layer);
        assert_eq!(config.shell.as_deref().unwrap(), ["/bin/bash", "-c"]);
        assert_eq!(image.rootfs.diff_ids.len(), 1);
        let again: ImageConfig = serde_json::from_str(&serde_json::to_string(&image).unwrap()).unwrap();
        assert_eq!(again, image);
    }

    #[test]
    fn image_config_nulls_are_zero_values() {
        let text = r#"{"rootfs":null,"history":null,"config":{"Env":null,"Volumes":null,"Labels":null,"OnBuild":null}}"#;
        let image: ImageConfig = serde_json::from_str(text).unwrap();
        assert_eq!(image.config.unwrap(), ContainerConfig::default());
        assert!(image.rootfs.diff_ids.is_empty());
    }

    #[test]
    fn image_config_bad_diff_id_is_refused() {
        assert!(serde_json::from_str::<ImageConfig>(r#"{"rootfs":{"diff_ids":["../../etc"]}}"#).is_err());
    }
}
