//! What is mounted in a container by request: folders and files of the host, volumes, file systems in memory.

mod bind;
mod inherit;
mod request;
mod tmpfs;

use std::path::PathBuf;

use api::container::{Config, HostConfig, MountPoint};
use serde::{Deserialize, Serialize};

use crate::error::Error;

pub(crate) use inherit::inherited;

/// One mount, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountSettings {
    /// The absolute path in the container, without a slash at the end.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
    /// The options as the user wrote them (`ro,z`), which `inspect` shows.
    pub mode: String,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MountSource {
    /// A folder or file of the host.
    Bind(BindSource),
    /// A folder that the engine keeps.
    Volume(VolumeSource),
    /// A file system in memory.
    Tmpfs {
        /// Mount options, `size=64m` and the like.
        options: Vec<String>,
        /// Whether it came as `--mount`, and is therefore listed by `inspect`.
        listed: bool,
    },
}

/// A folder or file of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BindSource {
    /// Its absolute path.
    pub path: PathBuf,
    /// `rprivate`, `shared`, ….
    pub propagation: String,
    /// Whether what is mounted below it comes along.
    pub recursive: bool,
    /// How far read-only reaches, where it is read-only.
    pub read_only_reach: ReadOnlyReach,
    /// Whether it is made, as a folder, where it is missing at a start.
    pub create: bool,
}

/// How far a read-only bind mount is read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadOnlyReach {
    /// Everything below too.
    Recursive,
    /// Only itself; what is mounted below stays as it is.
    TopOnly,
}

/// A folder that the engine keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeSource {
    /// Its name; empty until it is made, for an anonymous one.
    pub name: String,
    /// Whether nobody named it, so that it goes with its container.
    pub anonymous: bool,
    /// Whether what the image has at the target is copied into it while it is empty.
    pub copy: bool,
}

/// Collects all mounts of a request: `--mount`, `-v`, `--tmpfs`, `--volumes-from` (what is `inherited`) and the image's
/// volumes, in the order in which they are mounted (outer folders first). What is asked for goes before what is inherited,
/// and that before the image's. What `reach` says holds for every bind that is asked for.
///
/// # Errors
///
/// [`Error::InvalidParameter`] and [`Error::Unsupported`], each naming the mount.
pub(crate) fn collect(
    config: &Config,
    host_config: &HostConfig,
    inherited: Vec<MountSettings>,
    reach: ReadOnlyReach,
) -> Result<Vec<MountSettings>, Error> {
    let mut mounts = Vec::new();
    for text in host_config.binds.iter().flatten() {
        add(&mut mounts, bind::parse(text)?)?;
    }
    for mount in host_config.mounts.iter().flatten() {
        add(&mut mounts, request::check(mount)?)?;
    }
    for (target, options) in host_config.tmpfs.iter().flatten() {
        add(&mut mounts, tmpfs::parse(target, options)?)?;
    }
    if reach == ReadOnlyReach::TopOnly {
        mounts.iter_mut().for_each(MountSettings::leave_below);
    }
    for mount in inherited {
        if !mounts.iter().any(|asked: &MountSettings| asked.target == mount.target) {
            mounts.push(mount);
        }
    }
    for target in config.volumes.iter().flatten().map(|(target, _)| target) {
        let target = absolute(target)?;
        if !mounts.iter().any(|mount: &MountSettings| mount.target == target) {
            mounts.push(anonymous_volume(target));
        }
    }
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(mounts)
}

impl MountSettings {
    /// Keeps what is mounted below a read-only bind as it is.
    fn leave_below(&mut self) {
        if let MountSource::Bind(bind) = &mut self.source {
            bind.read_only_reach = ReadOnlyReach::TopOnly;
        }
    }

    /// The mount as `inspect` lists it; `None` for those that it does not list.
    pub(crate) fn to_api(&self, volume_path: impl FnOnce(&str) -> PathBuf) -> Option<MountPoint> {
        let mut point = MountPoint {
            destination: self.target.clone(),
            mode: self.mode.clone(),
            writable: !self.read_only,
            ..MountPoint::default()
        };
        match &self.source {
            MountSource::Bind(bind) => {
                point.kind = "bind".to_owned();
                point.source = bind.path.to_string_lossy().into_owned();
                point.propagation = bind.propagation.clone();
            }
            MountSource::Volume(volume) => {
                point.kind = "volume".to_owned();
                point.name = volume.name.clone();
                point.source = volume_path(&volume.name).to_string_lossy().into_owned();
                point.driver = "local".to_owned();
            }
            MountSource::Tmpfs { listed: false, .. } => return None,
            MountSource::Tmpfs { .. } => point.kind = "tmpfs".to_owned(),
        }
        Some(point)
    }
}

/// Makes the folders of the host that `-v` names and that are not there, as Docker does.
pub(crate) fn make_missing_sources(mounts: &[MountSettings]) -> Result<(), Error> {
    for mount in mounts {
        if let MountSource::Bind(bind) = &mount.source {
            match bind.path.symlink_metadata() {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && bind.create => {
                    std::fs::create_dir_all(&bind.path).map_err(|error| missing_source(bind, &error))?;
                }
                Err(error) => return Err(missing_source(bind, &error)),
            }
        }
    }
    Ok(())
}

fn missing_source(bind: &BindSource, error: &std::io::Error) -> Error {
    Error::invalid(format!("error while creating mount source path '{}': {error}", bind.path.display()))
}

fn add(mounts: &mut Vec<MountSettings>, mount: MountSettings) -> Result<(), Error> {
    if mounts.iter().any(|other| other.target == mount.target) {
        return Err(Error::invalid(format!("Duplicate mount point: {}", mount.target)));
    }
    mounts.push(mount);
    Ok(())
}

fn anonymous_volume(target: String) -> MountSettings {
    let source = VolumeSource { name: String::new(), anonymous: true, copy: true };
    MountSettings { target, read_only: false, source: MountSource::Volume(source), mode: String::new() }
}

/// A path in the container in its shortest form.
fn absolute(target: &str) -> Result<String, Error> {
    if !target.starts_with('/') {
        let message = format!("invalid mount path: '{target}' mount path must be absolute");
        return Err(Error::invalid(message));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(Error::invalid(format!("invalid mount path: '{target}' destination can't be '/'")));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Whether `name` may name a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn is_volume_name(name: &str) -> bool {
    !name.contains('/') && crate::names::is_valid(name)
}

/// Whether `word` says how mounts propagate.
fn is_propagation(word: &str) -> bool {
    matches!(word, "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_made_short_and_root_and_relative_paths_are_refused() {
        assert_eq!(absolute("/a//b/./c/../d/").unwrap(), "/a/b/d");
        assert!(absolute("/..").is_err());
        assert!(absolute("a/b").is_err());
    }

    #[test]
    fn outer_mounts_come_first_and_image_volumes_yield_to_requests() {
        let host_config = HostConfig {
            binds: Some(vec!["/x:/data/inner".into(), "/y:/data".into()]),
            ..HostConfig::default()
        };
        let volumes = [("/data".to_owned(), api::Empty), ("/v".to_owned(), api::Empty)];
        let config = Config { volumes: Some(volumes.into()), ..Config::default() };
        let targets: Vec<String> = collect(&config, &host_config, Vec::new(), ReadOnlyReach::Recursive)
            .unwrap()
            .into_iter()
            .map(|mount| mount.target)
            .collect();
        assert_eq!(targets, ["/data", "/v", "/data/inner"]);
    }

    #[test]
    fn binds_that_are_asked_for_reach_as_far_as_is_said() {
        let host_config = HostConfig { binds: Some(vec!["/x:/data:ro".into()]), ..HostConfig::default() };
        let reaches = |reach| {
            let inherited = collect(
                &Config::default(),
                &HostConfig { binds: Some(vec!["/y:/more:ro".into()]), ..HostConfig::default() },
                Vec::new(),
                ReadOnlyReach::Recursive,
            );
            let mounts = collect(&Config::default(), &host_config, inherited.unwrap(), reach).unwrap();
            let reach = |mount: &MountSettings| match &mount.source {
                MountSource::Bind(bind) => bind.read_only_reach,
                other => panic!("{other:?}"),
            };
            mounts.iter().map(|mount| (mount.target.clone(), reach(mount))).collect::<Vec<_>>()
        };
        let (data, more) = ("/data".to_owned(), ("/more".to_owned(), ReadOnlyReach::Recursive));
        assert_eq!(
            reaches(ReadOnlyReach::Recursive),
            [(data.clone(), ReadOnlyReach::Recursive), more.clone()]
        );
        assert_eq!(reaches(ReadOnlyReach::TopOnly), [(data, ReadOnlyReach::TopOnly), more]);
    }

    #[test]
    fn two_mounts_at_one_place_are_refused() {
        let host_config =
            HostConfig { binds: Some(vec!["/x:/data".into(), "/y:/data/".into()]), ..HostConfig::default() };
        let error =
            collect(&Config::default(), &host_config, Vec::new(), ReadOnlyReach::Recursive).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /data");
    }
}
