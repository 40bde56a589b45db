//! The mounts of a container: the file systems every container has, the engine's three files, and what was asked for.

use std::path::{Path, PathBuf};

use api::container::HostConfig;
use oci::defaults;
use oci::runtime::Mount;

use super::AtStart;
use crate::config::ContainerFiles;
use crate::error::Error;
use crate::mounts::{BindSource, MountSettings, MountSource, ReadOnlyReach};
use crate::settings::Settings;

pub(super) fn mounts(
    settings: &Settings,
    files: &ContainerFiles,
    at_start: &AtStart,
) -> Result<Vec<Mount>, Error> {
    let mut mounts = system(&settings.host_config, at_start);
    let mut further =
        network_files(settings, at_start.joined.names.as_ref().map_or(files, |names| &names.files));
    for asked in &settings.mounts {
        mounts.retain(|mount| mount.destination() != Path::new(&asked.target));
        further.retain(|mount| mount.destination() != Path::new(&asked.target));
        further.push(requested(asked, at_start)?);
    }
    if settings.is_step() {
        // What a command of a build has over a folder is all that it sees there.
        let is_hidden = |mount: &Mount| {
            let mut asked = settings.mounts.iter().map(|asked| Path::new(&asked.target));
            asked.any(|target| mount.destination() != target && mount.destination().starts_with(target))
        };
        let is_asked = |mount: &Mount| {
            settings.mounts.iter().any(|asked| mount.destination() == Path::new(&asked.target))
        };
        further.retain(|mount| is_asked(mount) || !is_hidden(mount));
    }
    // Outer folders first: a volume at /etc does not hide the engine's files there.
    further.sort_by_key(|mount| mount.destination().components().count());
    mounts.extend(further);
    Ok(mounts)
}

/// How mounts of the host reach the container's root: as far as its most open bind mount asks.
pub(super) fn root_propagation(settings: &Settings) -> Option<String> {
    let asked = settings.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Bind(bind) => Some(bind.propagation.trim_start_matches('r')),
        _ => None,
    });
    let mut propagation = None;
    for word in asked {
        match word {
            "shared" => return Some("rshared".to_owned()),
            "slave" => propagation = Some("rslave".to_owned()),
            _ => {}
        }
    }
    propagation
}

fn system(host: &HostConfig, at_start: &AtStart) -> Vec<Mount> {
    let mut mounts = defaults::mounts();
    for mount in &mut mounts {
        let destination = mount.destination().clone();
        if host.privileged && destination.starts_with("/sys") {
            make_writable(mount);
        }
        if destination == Path::new("/dev/shm") {
            shared_memory(mount, host, at_start);
        }
    }
    if host.ipc_mode == "none" {
        mounts.retain(|mount| mount.destination() != Path::new("/dev/shm"));
    }
    mounts
}

fn make_writable(mount: &mut Mount) {
    if let Some(options) = mount.options_mut() {
        options.retain(|option| option != "ro");
        options.push("rw".to_owned());
    }
}

/// `/dev/shm` belongs to the IPC namespace: whoever joins one sees its shared memory.
fn shared_memory(mount: &mut Mount, host: &HostConfig, at_start: &AtStart) {
    if host.ipc_mode == "host" {
        *mount = bind("/dev/shm", "/dev/shm", &["rbind"]);
    } else if let Some(process) = &at_start.joined.ipc {
        // Of that mount only: what else the other container has mounted below is its own affair.
        let source = process.join("root/dev/shm");
        *mount = bind(&source.to_string_lossy(), "/dev/shm", &["bind", "rprivate"]);
    } else if let Some(options) = mount.options_mut() {
        options.retain(|option| !option.starts_with("size="));
        options.push(format!("size={}", host.shm_size));
    }
}

fn network_files(settings: &Settings, files: &ContainerFiles) -> Vec<Mount> {
    let options: &[&str] = if settings.host_config.readonly_rootfs { &["bind", "ro"] } else { &["bind"] };
    let mounts = [
        (files.resolv_conf(), "/etc/resolv.conf"),
        (files.hostname(), "/etc/hostname"),
        (files.hosts(), "/etc/hosts"),
    ];
    mounts.map(|(source, target)| bind(&source.to_string_lossy(), target, options)).into()
}

fn requested(asked: &MountSettings, at_start: &AtStart) -> Result<Mount, Error> {
    match &asked.source {
        MountSource::Bind(source) => Ok(host_bind(asked, source)),
        MountSource::Volume(volume) => {
            let not_found = || Error::VolumeNotFound { name: volume.name.clone() };
            let path = at_start.volumes.get(&volume.name).ok_or_else(not_found)?;
            let options: &[&str] =
                if asked.read_only { &["rbind", "rprivate", "ro"] } else { &["rbind", "rprivate"] };
            Ok(bind(&path.to_string_lossy(), &asked.target, options))
        }
        MountSource::Tmpfs { options, .. } => Ok(tmpfs(asked, options)),
    }
}

fn host_bind(asked: &MountSettings, source: &BindSource) -> Mount {
    let mut options = vec![if source.recursive { "rbind" } else { "bind" }, source.propagation.as_str()];
    if asked.read_only {
        options.push(match (source.read_only_reach, source.recursive) {
            (ReadOnlyReach::Recursive, true) => "rro",
            _ => "ro",
        });
    }
    bind(&source.path.to_string_lossy(), &asked.target, &options)
}

fn tmpfs(asked: &MountSettings, options: &[String]) -> Mount {
    let mut options = options.to_vec();
    if asked.read_only && !options.iter().any(|option| option == "ro") {
        options.push("ro".to_owned());
    }
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(&asked.target))
        .set_typ(Some("tmpfs".to_owned()))
        .set_source(Some(PathBuf::from("tmpfs")))
        .set_options(Some(options));
    mount
}

fn bind(source: &str, target: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}
