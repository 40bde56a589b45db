//! Contexts on disk.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, setxattr, utimensat};

use super::case::{Item, ItemKind};

/// `cap_net_bind_service` in the permitted and effective sets, in the second version of the format (`capabilities(7)`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Writes items below a folder, over what is there.
pub(super) fn write(folder: &Path, items: &[Item]) {
    items.iter().for_each(|item| make(folder, item));
    // Last, because what is made in a folder changes its time.
    items.iter().for_each(|item| set_time(&folder.join(&item.path), item));
}

fn make(folder: &Path, item: &Item) {
    let path = folder.join(&item.path);
    make_parents(folder, path.parent().expect("it is below the folder"));
    match &item.kind {
        ItemKind::Directory => fs::create_dir(&path),
        ItemKind::File(content) => fs::write(&path, content),
        ItemKind::Link(target) => symlink(target, &path),
        ItemKind::HardLink(target) => fs::hard_link(folder.join(target), &path),
    }
    .unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
    if let Some((user, group)) = item.owner {
        lchown(&path, Some(user), Some(group)).expect("change the owner of a file");
    }
    let mode = match item.kind {
        ItemKind::Directory => 0o755,
        ItemKind::File(_) => 0o644,
        ItemKind::Link(_) | ItemKind::HardLink(_) => return,
    };
    let mode = Permissions::from_mode(item.mode.unwrap_or(mode));
    fs::set_permissions(&path, mode).expect("change the mode of a file");
    if item.has_capability {
        let flags = XattrFlags::empty();
        setxattr(&path, "security.capability", &CAPABILITY, flags).expect("set a capability");
    }
}

/// With permissions that do not depend on the tests' own.
fn make_parents(folder: &Path, path: &Path) {
    if path.exists() || path == folder {
        return;
    }
    make_parents(folder, path.parent().expect("it is below the folder"));
    fs::create_dir(path).expect("create a folder");
    fs::set_permissions(path, Permissions::from_mode(0o755)).expect("change the mode of a folder");
}

fn set_time(path: &Path, item: &Item) {
    let Some(seconds) = item.mtime else { return };
    if matches!(item.kind, ItemKind::Link(_)) {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set the time of a link");
        return;
    }
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).expect("after 1970"));
    let times = FileTimes::new().set_modified(time).set_accessed(time);
    File::open(path).and_then(|file| file.set_times(times)).expect("set the time of a file");
}
