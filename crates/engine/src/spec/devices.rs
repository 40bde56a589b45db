//! Devices of the host that a container may use.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use api::container::{DeviceMapping, HostConfig};
use oci::defaults::{self, allow};
use oci::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::error::Error;

/// Nodes to make, and the rules of the device cgroup.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) nodes: Vec<LinuxDevice>,
    pub(super) rules: Vec<LinuxDeviceCgroup>,
}

/// The devices of a container: the default ones, those it asks for, or, privileged, all of the host's.
pub(super) fn devices(host: &HostConfig) -> Result<Devices, Error> {
    let mut devices = if host.privileged { everything() } else { default_rules() };
    for mapping in host.devices.iter().flatten() {
        map(&mut devices, mapping)?;
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        devices.rules.push(parse_rule(rule)?);
    }
    Ok(devices)
}

fn default_rules() -> Devices {
    Devices { nodes: Vec::new(), rules: defaults::device_rules() }
}

/// A device that vanishes while the folder is read is not the container's concern.
fn everything() -> Devices {
    let mut devices =
        Devices { nodes: Vec::new(), rules: vec![allow(LinuxDeviceType::A, None, None, "rwm")] };
    let mut found = Vec::new();
    walk(Path::new("/dev"), &mut found);
    for path in found {
        if let Ok(metadata) = fs::symlink_metadata(&path)
            && let Some(node) = node(&path, &metadata)
        {
            devices.nodes.push(node);
        }
    }
    devices
}

/// Docker's exceptions: terminals, shared memory and queues are the container's own.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    const OWN: &[&str] = &["pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if OWN.iter().any(|own| name == *own) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
            Ok(kind) if kind.is_char_device() || kind.is_block_device() => found.push(entry.path()),
            _ => {}
        }
    }
}

fn map(devices: &mut Devices, mapping: &DeviceMapping) -> Result<(), Error> {
    let permissions = match mapping.cgroup_permissions.as_str() {
        "" => "rwm",
        text if text.bytes().all(|byte| b"rwm".contains(&byte)) => text,
        text => return Err(Error::invalid(format!("invalid device mode: {text}"))),
    };
    let inside = match mapping.path_in_container.as_str() {
        "" => mapping.path_on_host.as_str(),
        inside => inside,
    };
    let failed = |source: io::Error| {
        let path = &mapping.path_on_host;
        let reason = sys::errno::io_text(&source);
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{path}\": {reason}"
        ))
    };
    let metadata = fs::metadata(&mapping.path_on_host).map_err(failed)?;
    let mut paths = Vec::new();
    if metadata.is_dir() {
        walk(Path::new(&mapping.path_on_host), &mut paths);
    } else {
        paths.push(PathBuf::from(&mapping.path_on_host));
    }
    let before = devices.nodes.len();
    for path in paths {
        let metadata = fs::metadata(&path).map_err(failed)?;
        let target = match path.strip_prefix(&mapping.path_on_host) {
            Ok(rest) if !rest.as_os_str().is_empty() => Path::new(inside).join(rest),
            _ => PathBuf::from(inside),
        };
        if let Some(node) = node(&target, &metadata) {
            devices.rules.push(allow(node.typ(), Some(node.major()), Some(node.minor()), permissions));
            devices.nodes.push(node);
        }
    }
    if devices.nodes.len() == before {
        return Err(failed(io::Error::other("not a device node")));
    }
    Ok(())
}

fn node(path: &Path, metadata: &Metadata) -> Option<LinuxDevice> {
    let kind = if metadata.file_type().is_char_device() {
        LinuxDeviceType::C
    } else if metadata.file_type().is_block_device() {
        LinuxDeviceType::B
    } else {
        return None;
    };
    let (major, minor) = numbers(metadata.rdev());
    let mut device = LinuxDevice::default();
    device
        .set_path(path.to_owned())
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(Some(metadata.mode() & 0o7777))
        .set_uid(Some(metadata.uid()))
        .set_gid(Some(metadata.gid()));
    Some(device)
}

/// Major and minor number of a device, by the layout of `makedev(3)`.
pub(super) fn numbers(device: u64) -> (i64, i64) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    (i64::from((major & 0xffff_ffff) as u32), i64::from((minor & 0xffff_ffff) as u32))
}

/// Reads a rule of the device cgroup, `c 42:* rmw`.
fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup, Error> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let kind = match kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return Err(invalid()),
    };
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| invalid()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    if access.is_empty() || access.len() > 3 || !access.bytes().all(|byte| b"rwm".contains(&byte)) {
        return Err(invalid());
    }
    Ok(allow(kind, number(major)?, number(minor)?, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_device_gets_a_node_and_a_rule() {
        let mapping = DeviceMapping {
            path_on_host: "/dev/null".into(),
            path_in_container: "/dev/nothing".into(),
            cgroup_permissions: "r".into(),
        };
        let mut devices = Devices::default();
        map(&mut devices, &mapping).unwrap();
        let (node, rule) = (&devices.nodes[0], &devices.rules[0]);
        assert_eq!((node.path().as_path(), node.major(), node.minor()), (Path::new("/dev/nothing"), 1, 3));
        assert_eq!((rule.major(), rule.minor(), rule.access().as_deref()), (Some(1), Some(3), Some("r")));
    }

    #[test]
    fn missing_device_is_refused_in_dockers_words() {
        let mapping = DeviceMapping { path_on_host: "/dev/nope".into(), ..DeviceMapping::default() };
        assert_eq!(
            map(&mut Devices::default(), &mapping).unwrap_err().to_string(),
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory"
        );
    }

    #[test]
    fn rules_are_read_strictly() {
        let rule = parse_rule("c 42:* rm").unwrap();
        assert_eq!((rule.major(), rule.minor(), rule.access().as_deref()), (Some(42), None, Some("rm")));
        for bad in ["", "c", "c 1:1", "x 1:1 r", "c 1 r", "c 1:1 x", "c -1:1 r", "c 1:1 r w", "c  1:1 r"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn large_device_numbers_are_split_as_makedev_joins_them() {
        assert_eq!(numbers(0x0103), (1, 3));
        assert_eq!(numbers((0x1_2345 & 0xff) | (259 << 8) | ((0x1_2345 & !0xff) << 12)), (259, 0x1_2345));
    }
}
