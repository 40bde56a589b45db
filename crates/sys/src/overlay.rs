//! Overlays.

use std::ffi::{CStr, OsStr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, XattrFlags};

use crate::attributes::path_of;
use crate::mount::{Attributes, Change, Context, Depth, DetachedMount, Propagation, change_root};
use crate::namespace;
use crate::root::Root;
use crate::{Errno, Result};

/// What layers show together, the topmost first; attached nowhere, and gone with the returned value.
///
/// # Errors
/// As `fsconfig(2)`: `EINVAL` for layers that the kernel does not stack, `ENOENT` for one that is missing.
pub fn read(layers: &[impl AsRef<Path>]) -> Result<Root> {
    // The kernel wants two; one alone is what it shows.
    if let [layer] = layers {
        return Root::at(layer.as_ref());
    }
    let context = Context::open("overlay")?;
    context.set("source", "overlay")?;
    append(&context, layers)?;
    let attributes =
        Attributes::READ_ONLY | Attributes::NO_DEVICES | Attributes::NO_SUID | Attributes::NO_EXEC;
    Ok(Root::new(context.mount(attributes)?.into()))
}

/// What layers show together, the topmost first, as a mount to be attached elsewhere; with folders for what is written, or else
/// read-only.
///
/// # Errors
/// As [`read`].
pub fn mount(layers: &[impl AsRef<Path>], writable: Option<(&Path, &Path)>) -> Result<DetachedMount> {
    let context = Context::open("overlay")?;
    context.set("source", "overlay")?;
    append(&context, layers)?;
    let mut attributes = Attributes::NO_DEVICES | Attributes::NO_SUID;
    match writable {
        Some((upper, work)) => {
            context.set("upperdir", upper)?;
            context.set("workdir", work)?;
            context.set_flag("volatile")?;
        }
        None => attributes |= Attributes::READ_ONLY,
    }
    context.mount(attributes)
}

/// A part of what a mount shows that is attached nowhere; links are followed inside it.
///
/// # Errors
/// As `openat2(2)` and `open_tree(2)`.
pub fn part(mount: DetachedMount, path: &Path) -> Result<DetachedMount> {
    if path == Path::new("/") {
        return Ok(mount);
    }
    let place = locate(&mount, path)?;
    match DetachedMount::copy_of(&place, Depth::Single) {
        // A kernel before Linux 6.15 copies only what is attached in the caller's own mount namespace.
        Err(Errno::INVAL) => attached_part(&mount, &place),
        // The mount has to be there until its part is copied.
        result => result,
    }
}

/// As [`part`], in the way that every kernel knows, which takes a thread.
///
/// # Errors
/// As there.
pub fn part_by_attaching(mount: DetachedMount, path: &Path) -> Result<DetachedMount> {
    attached_part(&mount, &locate(&mount, path)?)
}

fn locate(mount: &DetachedMount, path: &Path) -> Result<OwnedFd> {
    Root::new(rustix::io::fcntl_dupfd_cloexec(mount, 0)?).locate(path)
}

/// Attaches the mount and copies a part of it in a mount namespace that only one thread is in, and that ends with it.
fn attached_part(mount: &DetachedMount, place: &OwnedFd) -> Result<DetachedMount> {
    let copy = || {
        namespace::unshare_mounts()?;
        // Nobody else is to see it.
        change_root(Change::propagation(Propagation::Private), Depth::Recursive)?;
        let top = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        mount.attach(&top)?;
        DetachedMount::copy_of(place, Depth::Single)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, copy);
        let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        thread.join().expect("system calls do not panic")
    })
}

/// Puts layers below an overlay that is being configured, the topmost first.
///
/// # Errors
/// As `fsconfig(2)`; `EOPNOTSUPP` on a kernel before Linux 6.8, which takes all layers in one string of 255 bytes only.
pub fn append(context: &Context, layers: &[impl AsRef<Path>]) -> Result<()> {
    layers.iter().enumerate().try_for_each(|(index, layer)| {
        match context.set("lowerdir+", layer.as_ref()) {
            // With the first one it is the parameter that is not known: paths are looked at when all are there.
            Err(Errno::INVAL) if index == 0 => Err(Errno::OPNOTSUPP),
            result => result,
        }
    })
}
/// The attribute of a folder that shows nothing of the layers below.
const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// Whether a folder of a layer shows nothing of the layers below.
pub fn is_opaque(folder: BorrowedFd<'_>) -> Result<bool> {
    let mut value = [0; 2];
    is_yes(rustix::fs::fgetxattr(folder, OPAQUE, &mut value[..]), value[0])
}

/// As [`is_opaque`], of the folder `name` in `folder`.
pub fn is_opaque_at(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool> {
    let mut value = [0; 2];
    is_yes(rustix::fs::lgetxattr(path_of(folder, name), OPAQUE, &mut value[..]), value[0])
}

fn is_yes(length: Result<usize>, value: u8) -> Result<bool> {
    match length {
        Ok(length) => Ok(length == 1 && value == b'y'),
        // Longer than the value that means something, too.
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Makes a folder of a layer show nothing of the layers below.
pub fn set_opaque(folder: BorrowedFd<'_>) -> Result<()> {
    rustix::fs::fsetxattr(folder, OPAQUE, b"y", XattrFlags::empty())
}
