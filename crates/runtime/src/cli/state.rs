//! What is kept of a container on disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci::runtime::{ContainerState, Spec};
use serde::{Deserialize, Serialize};
use sys::Errno;
use sys::file::{Durability, write_atomic};

use super::Failure;
use crate::cgroup::Cgroup;
use crate::hooks::HookState;

/// The contents of `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) id: String,
    pub(super) pid: i32,
    /// Clock ticks after boot at which that process began: an ID alone may name another one later.
    pub(super) started_at_tick: u64,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: jiff::Timestamp,
    pub(super) cgroup: String,
    pub(super) spec: Spec,
}

/// The directory of a container.
pub(super) struct Directory {
    path: PathBuf,
    id: String,
}

impl Directory {
    /// # Errors
    /// An ID that is no plain name.
    pub(super) fn new(root: &Path, id: &str) -> Result<Self, Failure> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if id.is_empty() || id.len() > 1024 || !id.bytes().all(allowed) || id == "." || id == ".." {
            return Err(format!("invalid container ID format: {id:?}").into());
        }
        Ok(Self { path: root.join(id), id: id.to_owned() })
    }

    /// Makes it; a container of this ID must not exist.
    pub(super) fn make(&self) -> Result<(), Failure> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        match fs::DirBuilder::new().mode(0o711).create(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err("container with given ID already exists".into())
            }
            result => Ok(result?),
        }
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        Ok(fs::remove_dir_all(&self.path)?)
    }

    pub(super) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        let json = serde_json::to_vec(state)?;
        Ok(write_atomic(&self.path.join("state.json"), &json, 0o600, Durability::Atomic)?)
    }

    pub(super) fn load(&self) -> Result<State, Failure> {
        let json = match fs::read(self.path.join("state.json")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err("container does not exist".into());
            }
            result => result?,
        };
        serde_json::from_slice(&json)
            .map_err(|error| format!("the state of container {} is damaged: {error}", self.id).into())
    }

    /// The socket at which a created container waits; its name is short however long the path is.
    pub(super) fn with_gate<T>(
        &self,
        act: impl FnOnce(&rustix::net::SocketAddrUnix) -> sys::Result<T>,
    ) -> sys::Result<T> {
        let directory = fs::File::open(&self.path).map_err(sys::process::errno)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        act(&rustix::net::SocketAddrUnix::new(format!("/proc/self/fd/{number}/start.sock"))?)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.path.join("start.sock").exists()
    }

    /// After this it no longer counts as waiting.
    pub(super) fn remove_gate(&self) {
        let _ = fs::remove_file(self.path.join("start.sock"));
    }
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Known(ContainerState),
    Paused,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(state) => state.fmt(f),
            Self::Paused => f.write_str("paused"),
        }
    }
}

impl State {
    pub(super) fn status(&self, directory: &Directory) -> Status {
        if !self.is_alive() {
            return Status::Known(ContainerState::Stopped);
        }
        if self.cgroup().is_ok_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            return Status::Paused;
        }
        match directory.is_waiting() {
            true => Status::Known(ContainerState::Created),
            false => Status::Known(ContainerState::Running),
        }
    }

    /// Whether its first process is there, and is more than a zombie.
    pub(super) fn is_alive(&self) -> bool {
        ticks(self.pid).is_some_and(|(tick, running)| running && tick == self.started_at_tick)
    }

    pub(super) fn cgroup(&self) -> Result<Cgroup, Failure> {
        Ok(Cgroup::open(&self.cgroup)?)
    }

    pub(super) fn hook_state(&self) -> HookState {
        HookState::new(&self.id, &self.spec, &self.bundle)
    }

    /// What `state` and `list` print.
    pub(super) fn printed(&self, status: Status) -> Printed<'_> {
        let stopped = status == Status::Known(ContainerState::Stopped);
        Printed {
            oci_version: self.spec.version(),
            id: &self.id,
            pid: if stopped { 0 } else { self.pid },
            status: status.to_string(),
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: self.created,
            annotations: self.spec.annotations().iter().flatten().collect(),
            owner: "root",
        }
    }
}

/// The state of a container as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Printed<'a> {
    oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: String,
    pub(super) bundle: &'a Path,
    rootfs: &'a Path,
    pub(super) created: jiff::Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a String, &'a String>,
    pub(super) owner: &'static str,
}

/// When a process began, and whether it still runs.
pub(super) fn ticks(pid: i32) -> Option<(u64, bool)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): the name is in parentheses and may hold any byte; the state is field 3, the start field 22.
fn parse_stat(stat: &str) -> Option<(u64, bool)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let running = !matches!(fields.next()?, "Z" | "X" | "x");
    Some((fields.nth(18)?.parse().ok()?, running))
}

/// A message for an operation that the state does not allow.
pub(super) fn refuse(state: &str, id: &str) -> Failure {
    format!("container {id} is {state}").into()
}

/// Whether an error says that the process is gone.
pub(super) fn is_gone(errno: Errno) -> bool {
    errno == Errno::SRCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7";
        assert_eq!(parse_stat(stat), Some((12345, true)));
        assert_eq!(parse_stat(&stat.replace(" S ", " Z ")), Some((12345, false)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn own_process_is_found() {
        let (tick, running) = ticks(std::process::id() as i32).expect("it is there");
        assert!(tick > 0 && running);
    }

    #[test]
    fn id_is_a_plain_name() {
        for id in ["", "a/b", "..", ".", "a b", "a\0b", "a%2fb\n"] {
            assert!(Directory::new(Path::new("/r"), id).is_err(), "{id:?}");
        }
        assert!(Directory::new(Path::new("/r"), "a-B_1.2+x").is_ok());
    }
}
