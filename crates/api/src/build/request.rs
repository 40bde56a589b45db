//! What Corten's own client asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::container::Ulimit;

/// The content type of a body that begins with a [`BuildRequest`] in one line.
pub const REQUEST_TYPE: &str = "application/vnd.corten.build.v1";

/// A build. In the body it is one line of JSON; a tar of the context follows where [`ContextSource::Archive`] says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRequest {
    /// The Dockerfile's name in messages.
    pub name: String,
    /// The Dockerfile; `None` where it is to be read from the context at `name`.
    pub dockerfile: Option<String>,
    /// What the file with ignored patterns says; `None` where there is none, or where the context has to be looked at.
    pub ignore: Option<String>,
    /// The context.
    pub context: ContextSource,
    /// `--build-context`, by name.
    pub contexts: BTreeMap<String, ContextSource>,
    /// The stage to build; empty: the last one.
    pub target: String,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`, as they are written: `[type:]key=value`.
    pub annotations: Vec<String>,
    /// `-t`.
    pub tags: Vec<String>,
    /// `--platform`; empty: the engine's.
    pub platform: String,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Stages of which nothing is taken from the cache.
    pub no_cache_filter: Vec<String>,
    /// Whether images are looked for in their registries also where they are here.
    pub pull: bool,
    /// `default`, `none` or `host`, for commands that do not say; empty is `default`.
    pub network: String,
    /// `--add-host`, as `name:address`.
    pub extra_hosts: Vec<String>,
    /// Limits of commands.
    pub limits: Limits,
    /// Values of secrets, by their names.
    pub secrets: BTreeMap<String, Secret>,
    /// Sockets of SSH agents on the engine's machine, by their names.
    pub ssh: BTreeMap<String, String>,
    /// `--cache-from`.
    pub cache_from: Vec<CacheOption>,
    /// `--cache-to`.
    pub cache_to: Vec<CacheOption>,
    /// Whether the Dockerfile is only checked.
    pub check: bool,
    /// Whether events tell why results were not there.
    pub explain: bool,
}

/// Where files of a build are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextSource {
    /// There are none.
    #[default]
    Empty,
    /// A folder on the engine's machine.
    Folder(LocalFolder),
    /// The tar that follows the request, maybe compressed. Only for the build's own context.
    Archive,
    /// A git repository or an address, as a `remote` of Docker's clients.
    Remote(String),
    /// An image (`docker-image://…`), for contexts with names.
    Image(String),
    /// An image in an OCI layout on the engine's machine (`oci-layout://…`), for contexts with names.
    Layout {
        /// Its folder.
        #[serde(flatten)]
        folder: LocalFolder,
        /// The digest or the tag of the image.
        entry: String,
    },
}

/// A folder on the engine's machine. The engine refuses it (404) when what is there is not this folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalFolder {
    /// Its absolute path.
    pub path: String,
    /// Its device, as `stat(2)` says.
    pub device: u64,
    /// Its inode, as `stat(2)` says.
    pub inode: u64,
}

/// Where results of builds are or go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheOption {
    /// `registry`, `inline`, `local`.
    pub kind: String,
    /// What else is said, by name.
    pub attributes: BTreeMap<String, String>,
    /// The folder that `src` or `dest` names.
    pub folder: Option<LocalFolder>,
}

/// A secret's value. Its `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret {
    /// The bytes, in base64.
    pub data: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What commands of a build may use. 0 and empty are no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: i64,
    /// Bytes of memory and swap; -1: no limit.
    pub memory_swap: i64,
    /// Relative weight of processor time.
    pub cpu_shares: i64,
    /// Microseconds of a period.
    pub cpu_period: i64,
    /// Microseconds of processor time in a period.
    pub cpu_quota: i64,
    /// Processors: `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Limits of processes.
    pub ulimits: Vec<Ulimit>,
    /// The cgroup above.
    pub cgroup_parent: String,
}
