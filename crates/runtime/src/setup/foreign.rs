//! Mounts of other mount namespaces.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{chroot, fchdir};
use sys::mount::{Depth, DetachedMount};
use sys::namespace::{Namespaces, join};
use sys::process::SingleThreaded;
use sys::root::Root;

/// A copy of the mount at a path of another process.
///
/// The path is resolved inside that process's root: no link of its making leads out of it.
///
/// # Errors
/// `ENOENT` where the process has ended or has no such path; else as `setns(2)` and `open_tree(2)`.
pub(super) fn copy(
    thread: SingleThreaded,
    process: &Path,
    path: &Path,
    depth: Depth,
) -> sys::Result<DetachedMount> {
    let open = |path: &Path, flags| rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty());
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let theirs = open(&process.join("ns/mnt"), OFlags::RDONLY)?;
    let root = Root::new(open(&process.join("root"), directory)?);
    let own = open(Path::new("/proc/self/ns/mnt"), OFlags::RDONLY)?;
    let (own_root, own_directory) = (open(Path::new("/"), directory)?, open(Path::new("."), directory)?);
    join(thread, theirs, Namespaces::MOUNT)?;
    let copy = root.locate(path).and_then(|place| DetachedMount::copy_of(place, depth));
    join(thread, own, Namespaces::MOUNT)?;
    // Joining has made the namespace's own root this process's root and working directory.
    fchdir(own_root)?;
    chroot(".")?;
    fchdir(own_directory)?;
    copy
}
