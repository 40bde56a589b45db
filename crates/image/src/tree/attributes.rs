//! Extended attributes of files in a tree.

use std::ffi::{CStr, OsStr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

/// The attribute of a folder that shows nothing of the layers below.
const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// Name and value of an attribute.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// Whether this folder of a layer shows nothing of the layers below.
pub(super) fn is_opaque(folder: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut value = [0; 2];
    is_yes(rustix::fs::fgetxattr(folder, OPAQUE, &mut value[..]), value[0])
}

/// As [`is_opaque`], of the folder `name` in `folder`.
pub(super) fn is_opaque_at(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    let mut value = [0; 2];
    is_yes(rustix::fs::lgetxattr(path_of(folder, name), OPAQUE, &mut value[..]), value[0])
}

fn is_yes(length: Result<usize, Errno>, value: u8) -> Result<bool, Errno> {
    match length {
        Ok(length) => Ok(length == 1 && value == b'y'),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        // Longer than the value that means something.
        Err(Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The attributes of `name` in `folder` that belong in an archive, by name.
pub(super) fn read(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<Attribute>, Errno> {
    let path = path_of(folder, name);
    let list = |buffer: &mut [u8]| rustix::fs::llistxattr(&path[..], buffer);
    read_with(list, |name, value| rustix::fs::lgetxattr(&path[..], name, value))
}

/// The same of what is open for reading.
pub(super) fn read_open(file: BorrowedFd<'_>) -> Result<Vec<Attribute>, Errno> {
    let list = |buffer: &mut [u8]| rustix::fs::flistxattr(file, buffer);
    read_with(list, |name, value| rustix::fs::fgetxattr(file, name, value))
}

fn read_with(
    mut list: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<Attribute>, Errno> {
    let mut names = [0; 1024];
    let names = match list(&mut names) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => names[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
            let length = list(&mut names)?;
            names.truncate(length);
            names
        }
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_wanted(name)) {
        let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
        match get(name, &mut value) {
            Ok(length) => value.truncate(length),
            // Gone meanwhile.
            Err(Errno::NODATA) => continue,
            Err(errno) => return Err(errno),
        }
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}

/// Overlayfs's own attributes say nothing outside of it, and labels of a security module nothing on another machine.
fn is_wanted(name: &[u8]) -> bool {
    let has = |prefix: &[u8]| name.starts_with(prefix);
    match name {
        b"" => false,
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => {
            !["trusted.overlay.", "user.overlay.", "security.", "system."].iter().any(|it| has(it.as_bytes()))
        }
    }
}

/// There is no call for a name in a folder before Linux 6.13; our own descriptor stands for the folder.
fn path_of(folder: BorrowedFd<'_>, name: &OsStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_overlay_and_of_the_host_stay_behind() {
        for name in ["security.capability", "user.mine", "trusted.mine", "system.posix_acl_access"] {
            assert!(is_wanted(name.as_bytes()), "{name}");
        }
        for name in ["", "trusted.overlay.opaque", "user.overlay.x", "security.selinux", "security.ima"] {
            assert!(!is_wanted(name.as_bytes()), "{name}");
        }
    }
}
