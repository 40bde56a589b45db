//! Overlays.

use std::path::Path;

use crate::mount::{Attributes, Context, Depth, DetachedMount};
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
/// As `openat2(2)`; `EINVAL` on a kernel before Linux 6.15, which copies attached mounts only.
pub fn part(mount: DetachedMount, path: &Path) -> Result<DetachedMount> {
    if path == Path::new("/") {
        return Ok(mount);
    }
    // The mount has to be there until its part is copied.
    let root = Root::new(mount.into());
    DetachedMount::copy_of(root.locate(path)?, Depth::Single)
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
