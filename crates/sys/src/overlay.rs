//! Overlays that are only read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::mount::{Attributes, Context, DetachedMount};
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
    let mount = match mounted(layers, append) {
        // Before Linux 6.8 layers come as one string only.
        Err(Errno::INVAL) => mounted(layers, join)?,
        result => result?,
    };
    Ok(Root::new(mount.into()))
}

fn mounted<L: AsRef<Path>>(layers: &[L], set: fn(&Context, &[L]) -> Result<()>) -> Result<DetachedMount> {
    let context = Context::open("overlay")?;
    context.set("source", "overlay")?;
    set(&context, layers)?;
    let attributes =
        Attributes::READ_ONLY | Attributes::NO_DEVICES | Attributes::NO_SUID | Attributes::NO_EXEC;
    context.mount(attributes)
}

fn append<L: AsRef<Path>>(context: &Context, layers: &[L]) -> Result<()> {
    layers.iter().try_for_each(|layer| context.set("lowerdir+", layer.as_ref()))
}

fn join<L: AsRef<Path>>(context: &Context, layers: &[L]) -> Result<()> {
    let joined: Vec<OsString> = layers.iter().map(|layer| escaped(layer.as_ref())).collect();
    context.set("lowerdir", joined.join(":".as_ref()))
}

/// A layer's path where a colon would separate it from the next.
fn escaped(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes().iter();
    let escaped = bytes.flat_map(|byte| match byte {
        b':' | b'\\' => vec![b'\\', *byte],
        _ => vec![*byte],
    });
    OsString::from_vec(escaped.collect())
}
