//! How an engine is set up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The settings of an engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept that survives a reboot (`--data-root`).
    pub lib: PathBuf,
    /// Where everything is kept that does not (`--exec-root`).
    pub run: PathBuf,
    /// The networks' settings; `state_dir` lies in `lib`.
    pub network: network::Config,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// Its options.
    pub log_options: BTreeMap<String, String>,
    /// The parent cgroup of containers that name none.
    pub cgroup_parent: String,
    /// The size of `/dev/shm` of containers that name none, in bytes.
    pub shm_size: i64,
    /// Whether containers run a small init as process 1 unless they say otherwise.
    pub init: bool,
    /// Labels of the engine, as `info` shows them.
    pub labels: Vec<String>,
    /// How long a container has to end after its stop signal, unless it or the request says otherwise.
    pub default_stop_grace: std::time::Duration,
}

impl Config {
    /// The defaults, for a data root and an exec root.
    pub fn new(lib: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        let lib = lib.into();
        Self {
            network: network::Config::new(lib.join("network")),
            lib,
            run: run.into(),
            log_driver: "json-file".to_owned(),
            log_options: BTreeMap::new(),
            cgroup_parent: "/corten".to_owned(),
            shm_size: 64 * 1024 * 1024,
            init: false,
            labels: Vec::new(),
            default_stop_grace: std::time::Duration::from_secs(10),
        }
    }

    /// The folder of one container's files: log, exit record, hosts file and so on.
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.lib.join("containers").join(id)
    }

    /// The folder of one container's supervisor.
    pub fn shim_dir(&self, id: &str) -> PathBuf {
        self.run.join("shim").join(id)
    }

    pub(crate) fn containers_dir(&self) -> PathBuf {
        self.lib.join("containers")
    }

    pub(crate) fn containers_db(&self) -> PathBuf {
        self.containers_dir().join("containers.db")
    }

    pub(crate) fn shims_dir(&self) -> PathBuf {
        self.run.join("shim")
    }

    /// The folder of the networks' files of names.
    pub(crate) fn names_dir(&self) -> PathBuf {
        self.run.join("names")
    }

    pub(crate) fn seccomp_cache(&self) -> PathBuf {
        self.run.join("seccomp")
    }

    /// Where folders of removed containers wait to be deleted.
    pub(crate) fn trash_dir(&self) -> PathBuf {
        self.lib.join("trash")
    }

    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.lib.join("volumes")
    }
}

/// The files that the engine makes for one container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerFiles {
    dir: PathBuf,
    run_dir: PathBuf,
}

impl ContainerFiles {
    pub(crate) fn new(config: &Config, id: &str) -> Self {
        Self { dir: config.container_dir(id), run_dir: config.shim_dir(id) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn hostname(&self) -> PathBuf {
        self.dir.join("hostname")
    }

    pub(crate) fn hosts(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    pub(crate) fn resolv_conf(&self) -> PathBuf {
        self.dir.join("resolv.conf")
    }

    pub(crate) fn exit_record(&self) -> PathBuf {
        self.dir.join("exit.json")
    }

    /// The network endpoints of the present run, for an engine that is started while the container runs. They go with the
    /// run.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.run_dir.join("endpoints.json")
    }

    /// The log of the `json-file` driver; its name is Docker's, which log collectors look for.
    pub(crate) fn json_log(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}-json.log"))
    }

    pub(crate) fn local_log(&self) -> PathBuf {
        self.dir.join("local-logs").join("container.log")
    }
}
