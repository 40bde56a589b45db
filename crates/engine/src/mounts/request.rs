//! The long form: `--mount`.

use std::path::{Path, PathBuf};

use api::container::{BindOptions, Mount, VolumeOptions};

use super::{
    BindSource, MountSettings, MountSource, ReadOnlyReach, VolumeSource, absolute, is_propagation,
    is_volume_name, tmpfs,
};
use crate::error::Error;

/// Checks one mount of a request.
pub(super) fn check(mount: &Mount) -> Result<MountSettings, Error> {
    if mount.target.is_empty() {
        return Err(invalid(mount, "field Target must not be empty"));
    }
    let source = match mount.kind.as_str() {
        "bind" => bind(mount)?,
        "volume" => volume(mount)?,
        "tmpfs" => memory(mount)?,
        "image" | "cluster" | "npipe" => {
            return Err(Error::unsupported(format!("mount type {}", mount.kind)));
        }
        other => return Err(Error::invalid(format!("mount type unknown: \"{other}\""))),
    };
    let target = absolute(&mount.target)?;
    Ok(MountSettings { target, read_only: mount.read_only, source, mode: String::new() })
}

fn bind(mount: &Mount) -> Result<MountSource, Error> {
    refuse_options(mount, mount.volume_options.is_some(), "VolumeOptions")?;
    refuse_options(mount, mount.tmpfs_options.is_some(), "TmpfsOptions")?;
    if mount.source.is_empty() {
        return Err(invalid(mount, "field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        return Err(invalid(
            mount,
            &format!("invalid mount path: '{}' mount path must be absolute", mount.source),
        ));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    if !options.create_mountpoint && !Path::new(&mount.source).exists() {
        return Err(invalid(mount, &format!("bind source path does not exist: {}", mount.source)));
    }
    Ok(MountSource::Bind(BindSource {
        path: PathBuf::from(&mount.source),
        propagation: propagation(mount, &options)?,
        recursive: !options.non_recursive,
        read_only_reach: read_only_reach(mount, &options)?,
        create: options.create_mountpoint,
    }))
}

fn propagation(mount: &Mount, options: &BindOptions) -> Result<String, Error> {
    match options.propagation.as_str() {
        "" => Ok("rprivate".to_owned()),
        word if is_propagation(word) => Ok(word.to_owned()),
        word => Err(invalid(mount, &format!("invalid propagation mode: {word}"))),
    }
}

fn read_only_reach(mount: &Mount, options: &BindOptions) -> Result<ReadOnlyReach, Error> {
    let (top_only, forced) = (options.read_only_non_recursive, options.read_only_force_recursive);
    if (top_only || forced) && !mount.read_only {
        return Err(invalid(mount, "mount must be read-only for a read-only recursion option"));
    }
    match (top_only, forced) {
        (true, true) => {
            Err(invalid(mount, "ReadOnlyForceRecursive and ReadOnlyNonRecursive exclude each other"))
        }
        (true, false) => Ok(ReadOnlyReach::TopOnly),
        (false, _) => Ok(ReadOnlyReach::Recursive),
    }
}

fn volume(mount: &Mount) -> Result<MountSource, Error> {
    refuse_options(mount, mount.bind_options.is_some(), "BindOptions")?;
    refuse_options(mount, mount.tmpfs_options.is_some(), "TmpfsOptions")?;
    let VolumeOptions { no_copy, labels, subpath, driver_config } =
        mount.volume_options.clone().unwrap_or_default();
    if !subpath.is_empty() {
        return Err(Error::unsupported("volume option Subpath"));
    }
    if labels.is_some_and(|labels| !labels.is_empty()) {
        return Err(Error::unsupported("volume option Labels"));
    }
    if let Some(driver) = driver_config.filter(|driver| !matches!(driver.name.as_str(), "" | "local")) {
        return Err(Error::unsupported(format!("volume driver {}", driver.name)));
    }
    if !mount.source.is_empty() && !is_volume_name(&mount.source) {
        return Err(invalid(mount, &format!("invalid volume name: {}", mount.source)));
    }
    let anonymous = mount.source.is_empty();
    Ok(MountSource::Volume(VolumeSource { name: mount.source.clone(), anonymous, copy: !no_copy }))
}

fn memory(mount: &Mount) -> Result<MountSource, Error> {
    refuse_options(mount, mount.bind_options.is_some(), "BindOptions")?;
    refuse_options(mount, mount.volume_options.is_some(), "VolumeOptions")?;
    if !mount.source.is_empty() {
        return Err(invalid(mount, "field Source must not be specified"));
    }
    Ok(MountSource::Tmpfs { options: tmpfs::options(mount.tmpfs_options.as_ref())?, listed: true })
}

fn refuse_options(mount: &Mount, given: bool, field: &str) -> Result<(), Error> {
    if given { Err(invalid(mount, &format!("field {field} must not be specified"))) } else { Ok(()) }
}

fn invalid(mount: &Mount, reason: &str) -> Error {
    Error::invalid(format!("invalid mount config for type \"{}\": {reason}", mount.kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, source: &str) -> Mount {
        Mount { kind: kind.into(), source: source.into(), target: "/t".into(), ..Mount::default() }
    }

    fn message(mount: &Mount) -> String {
        check(mount).unwrap_err().to_string()
    }

    #[test]
    fn missing_bind_source_is_refused_in_dockers_words() {
        assert_eq!(
            message(&mount("bind", "/no/such/folder")),
            "invalid mount config for type \"bind\": bind source path does not exist: /no/such/folder"
        );
    }

    #[test]
    fn options_of_another_type_are_refused() {
        let mount = Mount { volume_options: Some(VolumeOptions::default()), ..mount("bind", "/") };
        assert_eq!(
            message(&mount),
            "invalid mount config for type \"bind\": field VolumeOptions must not be specified"
        );
    }

    #[test]
    fn unnamed_volume_is_anonymous_and_unknown_type_is_refused() {
        let checked = check(&mount("volume", "")).unwrap();
        assert!(matches!(checked.source, MountSource::Volume(volume) if volume.anonymous && volume.copy));
        assert_eq!(message(&mount("floppy", "")), "mount type unknown: \"floppy\"");
    }

    #[test]
    fn recursion_options_need_a_read_only_mount() {
        let options = BindOptions { read_only_non_recursive: true, ..BindOptions::default() };
        let writable = Mount { bind_options: Some(options), ..mount("bind", "/") };
        assert!(check(&writable).is_err());
        let checked = check(&Mount { read_only: true, ..writable }).unwrap();
        assert!(
            matches!(checked.source, MountSource::Bind(bind) if bind.read_only_reach == ReadOnlyReach::TopOnly)
        );
    }
}
