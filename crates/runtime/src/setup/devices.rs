//! Devices and links in `/dev`.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, makedev};
use sys::Errno;
use sys::mount::{Depth, DetachedMount};
use sys::namespace::Namespaces;
use sys::root::Root;

use super::Plan;
use crate::error::{Error, Step};

/// A device node to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Device {
    path: PathBuf,
    kind: FileType,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// What every container has: name, major and minor number.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Makes them, unless the host's own `/dev` was asked for.
pub(super) fn set_up(plan: &Plan<'_>, root: &Root) -> Result<(), Error> {
    if plan.mounts.iter().any(|mount| mount.is_host_dev()) {
        return Ok(());
    }
    let configured = plan.spec.linux().as_ref().and_then(|linux| linux.devices().as_deref());
    let devices = devices(configured.unwrap_or_default())?;
    let in_user_namespace = plan.namespaces.new.contains(Namespaces::USER);
    let mask = rustix::process::umask(Mode::empty());
    let made = devices.iter().try_for_each(|device| make(device, root, in_user_namespace));
    rustix::process::umask(mask);
    made?;
    link(root)
}

fn devices(configured: &[LinuxDevice]) -> Result<Vec<Device>, Error> {
    let mut devices: Vec<Device> = DEFAULT.iter().map(|device| default(*device)).collect();
    for device in configured {
        let device = parse(device)?;
        match devices.iter_mut().find(|known| known.path == device.path) {
            Some(known) => *known = device,
            None => devices.push(device),
        }
    }
    Ok(devices)
}

fn default((path, major, minor): (&str, u32, u32)) -> Device {
    let path = PathBuf::from(path);
    Device { path, kind: FileType::CharacterDevice, major, minor, mode: 0o666, uid: 0, gid: 0 }
}

fn parse(device: &LinuxDevice) -> Result<Device, Error> {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::A => {
            return Err(Error::invalid("linux.devices", format!("{:?} has no type", device.path())));
        }
    };
    let number = |number: i64| {
        u32::try_from(number).map_err(|_| {
            Error::invalid("linux.devices", format!("{number} is no device number of {:?}", device.path()))
        })
    };
    Ok(Device {
        path: device.path().clone(),
        kind,
        major: number(device.major())?,
        minor: number(device.minor())?,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

fn make(device: &Device, root: &Root, in_user_namespace: bool) -> Result<(), Error> {
    if in_user_namespace {
        return bind(device, root).step_with(|| format!("bind device {:?}", device.path));
    }
    match node(device, root) {
        // The image has one, or a mount brought it.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).step_with(|| format!("make device {:?}", device.path)),
    }
}

fn node(device: &Device, root: &Root) -> Result<(), Errno> {
    let name = device.path.file_name().ok_or(Errno::INVAL)?;
    let parent = root.make_directory(device.path.parent().unwrap_or(Path::new("/")))?;
    let mode = Mode::from_raw_mode(device.mode);
    rustix::fs::mknodat(&parent, name, device.kind, mode, makedev(device.major, device.minor))?;
    if (device.uid, device.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    // chown takes set-user-ID bits away.
    rustix::fs::chmodat(&parent, name, mode, AtFlags::empty())
}

/// A user namespace cannot make device nodes, but it can be shown those of the host.
fn bind(device: &Device, root: &Root) -> Result<(), Errno> {
    let target = root.make_file(&device.path)?;
    DetachedMount::copy(&device.path, Depth::Single)?.attach(target)
}

fn link(root: &Root) -> Result<(), Error> {
    let directory = root.make_directory("dev").step("open /dev")?;
    for (target, name) in LINKS {
        link_one(&directory, target, name)?;
    }
    if rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
        link_one(&directory, "/proc/kcore", "core")?;
    }
    // An image may bring one of its own, which would not lead to the container's devpts.
    match rustix::fs::unlinkat(&directory, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno).step("replace /dev/ptmx"),
    }
    link_one(&directory, "pts/ptmx", "ptmx")
}

fn link_one(directory: impl AsFd, target: &str, name: &str) -> Result<(), Error> {
    match rustix::fs::symlinkat(target, directory, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).step_with(|| format!("link /dev/{name} to {target}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(json: &str) -> Result<Vec<Device>, Error> {
        devices(&[serde_json::from_str(json).expect("a device")])
    }

    #[test]
    fn configured_device_replaces_the_default_one() {
        let devices =
            configured(r#"{"path":"/dev/null","type":"c","major":1,"minor":3,"fileMode":384,"uid":5}"#)
                .expect("devices");
        assert_eq!(devices.len(), DEFAULT.len());
        assert_eq!((devices[0].mode, devices[0].uid), (0o600, 5));
    }

    #[test]
    fn impossible_device_is_refused() {
        configured(r#"{"path":"/dev/x","type":"c","major":-1,"minor":3}"#).expect_err("no number");
        configured(r#"{"path":"/dev/x","type":"a","major":1,"minor":3}"#).expect_err("no type");
    }
}
