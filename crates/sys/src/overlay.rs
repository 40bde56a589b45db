//! Overlays.

use std::path::Path;

use crate::mount::{Attributes, Context};
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
