//! Copies of directory trees, with all that belongs to their files.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};

use crate::{Errno, Result};

/// Files with several names of which one more can be given to the copy; the names of further ones become files of their own.
const MAX_LINKED: usize = 256;
/// What an overlay keeps for itself.
const OVERLAY_ATTRIBUTES: &[u8] = b"trusted.overlay.";
const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Copies what is in a directory into another: files, directories, links and nodes with their owners, modes, times and
/// extended attributes, and files with several names as such.
///
/// Never goes through a link, also where somebody else changes either tree meanwhile; nothing of other file systems below the
/// source is copied. What was copied before a failure stays.
///
/// # Errors
/// As the system calls; `EEXIST` where the target has an entry of the same name.
pub fn content(source: impl AsFd, target: impl AsFd) -> Result<()> {
    let device = rustix::fs::fstat(&source)?.st_dev;
    Copier { device, linked: HashMap::new() }.directory(source.as_fd(), target.as_fd())
}

/// Gives an open file or directory the owner, mode, extended attributes and times of another.
///
/// # Errors
/// As the system calls.
pub fn metadata(source: impl AsFd, target: impl AsFd) -> Result<()> {
    let stat = rustix::fs::fstat(&source)?;
    let (uid, gid) = owner(&stat);
    rustix::fs::fchown(&target, Some(uid), Some(gid))?;
    // After the owner, whose change takes set-user-ID bits and capabilities away.
    rustix::fs::fchmod(&target, mode(&stat))?;
    attributes(source.as_fd(), target.as_fd())?;
    rustix::fs::futimens(&target, &times(&stat))
}

struct Copier {
    device: u64,
    /// Copies of files that have further names, by device and inode of the original.
    linked: HashMap<(u64, u64), OwnedFd>,
}

impl Copier {
    fn directory(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
        for entry in Dir::read_from(source)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                self.entry(source, target, name)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.subdirectory(source, target, name, &stat),
            FileType::RegularFile => self.file(source, target, name, &stat),
            FileType::Symlink => symlink(source, target, name, &stat),
            // An overlay's mark that something of a lower layer is deleted.
            FileType::CharacterDevice if stat.st_rdev == 0 => Ok(()),
            kind => node(target, name, kind, &stat),
        }
    }

    fn subdirectory(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<()> {
        let below = rustix::fs::openat(source, name, READ | OFlags::DIRECTORY, Mode::empty())?;
        rustix::fs::mkdirat(target, name, Mode::RWXU)?;
        let copy = rustix::fs::openat(target, name, READ | OFlags::DIRECTORY, Mode::empty())?;
        if stat.st_dev == self.device {
            self.directory(below.as_fd(), copy.as_fd())?;
        }
        metadata(below, copy)
    }

    fn file(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<()> {
        let original = (stat.st_dev, stat.st_ino);
        if let Some(copy) = self.linked.get(&original)
            && rustix::fs::linkat(copy, c"", target, name, AtFlags::EMPTY_PATH).is_ok()
        {
            return Ok(());
        }
        let file = rustix::fs::openat(source, name, READ, Mode::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let copy = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
        let (mut file, mut copy) = (File::from(file), File::from(copy));
        std::io::copy(&mut file, &mut copy).map_err(crate::process::errno)?;
        metadata(&file, &copy)?;
        if stat.st_nlink > 1 && self.linked.len() < MAX_LINKED {
            self.linked.insert(original, copy.into());
        }
        Ok(())
    }
}

fn symlink(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<()> {
    let to = rustix::fs::readlinkat(source, name, Vec::new())?;
    rustix::fs::symlinkat(&to, target, name)?;
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    rustix::fs::utimensat(target, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn node(target: BorrowedFd<'_>, name: &CStr, kind: FileType, stat: &Stat) -> Result<()> {
    rustix::fs::mknodat(target, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(target, name, flags, Mode::empty())?;
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(&place, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    // A place as such cannot be changed; its entry in /proc leads to it and nowhere else.
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    rustix::fs::chmodat(CWD, &path, mode(stat), AtFlags::empty())?;
    rustix::fs::utimensat(CWD, &path, &times(stat), AtFlags::empty())
}

/// Copies extended attributes; a file system that has none for them goes without.
fn attributes(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let mut names = match rustix::fs::flistxattr_query(source) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        size => vec![0; size?],
    };
    let length = rustix::fs::flistxattr(source, names.as_mut_slice())?;
    names.truncate(length);
    for name in names.split_inclusive(|byte| *byte == 0) {
        if !name.starts_with(OVERLAY_ATTRIBUTES)
            && let Ok(name) = CStr::from_bytes_with_nul(name)
        {
            attribute(source, target, name)?;
        }
    }
    Ok(())
}

fn attribute(source: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut value = vec![0; rustix::fs::fgetxattr_query(source, name)?];
    let length = rustix::fs::fgetxattr(source, name, value.as_mut_slice())?;
    match rustix::fs::fsetxattr(target, name, &value[..length], XattrFlags::empty()) {
        Err(Errno::NOTSUP) => Ok(()),
        result => result,
    }
}

fn owner(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn copy_has_modes_times_links_and_nodes_of_the_original() {
        let directory = tempfile::tempdir().expect("a directory");
        let (source, target) = (directory.path().join("a"), directory.path().join("b"));
        fs::create_dir_all(source.join("inner/deep")).expect("directories");
        fs::create_dir(&target).expect("a directory");
        fs::write(source.join("inner/file"), "text").expect("a file");
        fs::set_permissions(source.join("inner/file"), fs::Permissions::from_mode(0o4751)).expect("a mode");
        fs::hard_link(source.join("inner/file"), source.join("second")).expect("a second name");
        symlink("/etc/passwd", source.join("link")).expect("a link");
        rustix::fs::mknodat(CWD, source.join("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        let attribute = c"user.mark";
        let marked = File::open(source.join("inner")).expect("it opens");
        rustix::fs::fsetxattr(&marked, attribute, b"value", XattrFlags::empty()).expect("an attribute");
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7);
        File::open(source.join("inner")).expect("it opens").set_modified(old).expect("a time");
        let open = |path: &std::path::Path| File::open(path).expect("it opens");
        content(open(&source), open(&target)).expect("copied");
        let stat = |name: &str| fs::symlink_metadata(target.join(name)).expect("it is there");
        assert_eq!(fs::read(target.join("second")).expect("read"), b"text");
        assert_eq!(stat("second").mode() & 0o7777, 0o4751);
        assert_eq!(stat("second").ino(), stat("inner/file").ino());
        assert_eq!(fs::read_link(target.join("link")).expect("a link"), std::path::Path::new("/etc/passwd"));
        assert!(stat("pipe").file_type().is_fifo() && stat("pipe").mode() & 0o777 == 0o400);
        let mut value = [0; 16];
        let length =
            rustix::fs::getxattr(target.join("inner"), attribute, &mut value[..]).expect("an attribute");
        assert_eq!(&value[..length], b"value");
        assert_eq!(stat("inner").modified().expect("a time"), old);
        assert!(stat("inner/deep").is_dir());
    }

    #[test]
    fn link_in_the_target_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["source/inner", "target", "outside"] {
            fs::create_dir_all(path(name)).expect("directories");
        }
        fs::write(path("source/inner/file"), "text").expect("a file");
        symlink(path("outside"), path("target/inner")).expect("a link");
        let open = |name: &str| File::open(path(name)).expect("it opens");
        assert_eq!(content(open("source"), open("target")), Err(Errno::EXIST));
        assert_eq!(fs::read_dir(path("outside")).expect("a directory").count(), 0);
    }
}
