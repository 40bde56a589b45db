//! What a supervisor is told once, when it is created.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci::runtime::Spec;
use serde::{Deserialize, Serialize};

/// Everything a supervisor needs to create its container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The container's ID, 64 hexadecimal digits.
    pub id: String,
    /// The OCI runtime configuration. `root.path` is ignored in favour of [`Config::rootfs`]; `process.user` in favour of
    /// [`Config::user`] where that is set; `linux.seccomp` in favour of [`Config::seccomp`]. A network namespace without a
    /// path is the one passed with `Create`, where one is passed, else a new one.
    pub spec: Spec,
    /// What becomes `/`.
    pub rootfs: Rootfs,
    /// The user as written (`name`, `uid`, `name:group`, …), looked up inside the container's root.
    pub user: Option<User>,
    /// The system call filter.
    pub seccomp: SeccompProfile,
    /// Directory of compiled filters, shared by all supervisors of an engine.
    pub seccomp_cache: PathBuf,
    /// Whether and how long the container's standard input is open.
    pub stdin: StdinMode,
    /// Where output goes besides attached clients.
    pub log: Log,
    /// Directory of the supervisor's own files; exists, mode 0700.
    pub run_dir: PathBuf,
    /// Where the exit record is written.
    pub exit_path: PathBuf,
    /// Where mounts of the spec belong whose source is not opened by its path: `Create` carries a descriptor for each, in this
    /// order, after the network namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<PathBuf>,
    /// An executable of the engine's that is bound read-only over `/sbin/docker-init` and run as process 1 (`--init`).
    pub init: Option<PathBuf>,
}

/// The container's root file system.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rootfs {
    /// An existing directory.
    Directory(PathBuf),
    /// An overlay, mounted inside the container's mount namespace only.
    Overlay(OverlayRootfs),
}

/// The parts of an overlay mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OverlayRootfs {
    /// Read-only layers, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// The work directory, on the same file system as `upper`.
    pub work: PathBuf,
    /// What the writable layer has to survive.
    pub durability: Durability,
}

/// What a writable layer has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Everything: what was synchronised is on disk.
    Durable,
    /// Nothing: it is gone with its container, so that no time is spent on bringing it to disk.
    Volatile,
}

/// A user and groups by name or number, not yet looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// `[name|uid][:[group|gid]]`; empty is root.
    pub user: String,
    /// Supplementary groups by name or number (`--group-add`).
    pub additional_groups: Vec<String>,
}

/// The system call filter of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompProfile {
    /// No filter.
    Unconfined,
    /// The built-in profile, for the capabilities in the spec.
    Default,
    /// A profile in Docker's JSON format (with `includes` and `excludes`).
    Custom(String),
}

/// The container's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdinMode {
    /// `/dev/null`, or with a terminal: never written to.
    Closed,
    /// Stays open when clients leave.
    Open,
    /// Closed when the first client that attached to it ends its side or leaves.
    OpenOnce,
}

/// The log of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// Nothing is kept.
    None,
    /// One JSON object a line: `{"log":…,"stream":…,"time":…}`, and `attrs` where there are any.
    JsonFile {
        /// The current file; rotated ones are `<path>.1`, `<path>.2`, … (newest first), `.gz` with `compress`.
        path: PathBuf,
        /// Bytes after which the file is rotated; `None` is never.
        max_size: Option<u64>,
        /// Number of files kept, the current one included; at least 1.
        max_files: u32,
        /// Whether rotated files are compressed with gzip.
        compress: bool,
        /// Labels and variables selected by log options, written with each line.
        attributes: BTreeMap<String, String>,
    },
    /// A compact binary file, rotated as above.
    Local {
        /// The current file.
        path: PathBuf,
        /// Bytes after which the file is rotated.
        max_size: Option<u64>,
        /// Number of files kept, the current one included; at least 1.
        max_files: u32,
        /// Whether rotated files are compressed with gzip.
        compress: bool,
    },
}
