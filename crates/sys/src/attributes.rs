//! Extended attributes of files, as archives and layers keep them.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::XattrFlags;

use crate::{Errno, Result};

/// Name and value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// The longest list of names, and the longest value, that the system has (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX: usize = 64 << 10;

/// The attributes of an open file or folder that are part of it on any machine, by name.
pub fn read(file: BorrowedFd<'_>) -> Result<Vec<Attribute>> {
    let list = |buffer: &mut [u8]| rustix::fs::flistxattr(file, buffer);
    read_with(list, |name, value| rustix::fs::fgetxattr(file, name, value))
}

/// The same of what is called `name` in a folder, and not of what it leads to.
pub fn read_at(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<Attribute>> {
    let path = path_of(folder, name);
    let list = |buffer: &mut [u8]| rustix::fs::llistxattr(&path[..], buffer);
    read_with(list, |name, value| rustix::fs::lgetxattr(&path[..], name, value))
}

/// Gives a file attributes; a file system that has none for them goes without.
pub fn set(file: BorrowedFd<'_>, attributes: &[Attribute]) -> Result<()> {
    attributes.iter().try_for_each(|(name, value)| {
        match rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            Err(Errno::NOTSUP) => Ok(()),
            result => result,
        }
    })
}

/// A path to what is called `name` in a folder. There is no call for it before Linux 6.13; our own descriptor stands for the
/// folder.
pub fn path_of(folder: BorrowedFd<'_>, name: &OsStr) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    path
}

fn read_with(
    mut list: impl FnMut(&mut [u8]) -> Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<Vec<Attribute>> {
    let mut names = [0; 512];
    let names = match list(&mut names) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => names[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut names = vec![0; MAX];
            let length = list(&mut names)?;
            names.truncate(length);
            names
        }
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_wanted(name)) {
        let mut value = vec![0; MAX];
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
    match name {
        b"" => false,
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => !["trusted.overlay.", "user.overlay.", "security.", "system."]
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

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

    #[test]
    fn attributes_are_read_by_name_as_they_were_set() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = std::fs::File::create(folder.path().join("file")).expect("a file");
        // More names than fit into the first buffer.
        let long: Vec<Attribute> = (0..9)
            .map(|number| (format!("user.{number}{}", "x".repeat(100)).into_bytes(), vec![7; 300]))
            .collect();
        set(file.as_fd(), &long).expect("attributes");
        assert_eq!(read(file.as_fd()).expect("attributes"), long);
        let open = std::fs::File::open(folder.path()).expect("the folder");
        assert_eq!(read_at(open.as_fd(), OsStr::new("file")).expect("attributes"), long);
    }
}
