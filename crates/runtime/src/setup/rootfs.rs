//! The container's root file system.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use shim::{Durability, OverlayRootfs, Rootfs};
use sys::Errno;
use sys::mount::{Attributes, Change, Context, Depth, DetachedMount, Propagation, change_root};
use sys::root::Root;

use super::Plan;
use crate::error::{Error, Reason, Step};

/// Mounts the root file system, attached nowhere.
///
/// # Errors
/// Paths that are missing or of no use to an overlay.
pub(crate) fn open(rootfs: &Rootfs) -> Result<DetachedMount, Error> {
    match rootfs {
        Rootfs::Directory(path) => {
            DetachedMount::copy(path, Depth::Recursive).step_with(|| format!("open the root {path:?}"))
        }
        Rootfs::Overlay(overlay) => open_overlay(overlay),
    }
}

fn open_overlay(overlay: &OverlayRootfs) -> Result<DetachedMount, Error> {
    let context = Context::open("overlay").step("open an overlay")?;
    let mounted =
        configure(&context, overlay, append_layers).and_then(|()| context.mount(Attributes::empty()));
    match mounted {
        Ok(mount) => Ok(mount),
        // Before Linux 6.8 layers come as one string only.
        Err(Errno::INVAL) if !knows_single_layers(overlay) => {
            let context = Context::open("overlay").step("open an overlay")?;
            configure(&context, overlay, join_layers)
                .and_then(|()| context.mount(Attributes::empty()))
                .map_err(|errno| overlay_error(overlay, &context, errno))
        }
        Err(errno) => Err(overlay_error(overlay, &context, errno)),
    }
}

fn configure(
    context: &Context,
    overlay: &OverlayRootfs,
    layers: fn(&Context, &[PathBuf]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    context.set("source", "overlay")?;
    layers(context, &overlay.lower)?;
    context.set("upperdir", &overlay.upper)?;
    context.set("workdir", &overlay.work)?;
    if overlay.durability == Durability::Volatile {
        // Neither a sync inside nor the unmounting then waits for the file system below (Linux 5.10).
        forget_earlier_run(overlay);
        context.set_flag("volatile")?;
    }
    // Without an index a layer can be below several containers at a time whatever the kernel's default is.
    context.set("index", "off")
}

/// After a volatile mount the kernel refuses the layer, as a crash may have left it incomplete. Here it is a restart in the
/// same boot of the machine, after which everything is still there.
fn forget_earlier_run(overlay: &OverlayRootfs) {
    let mark = overlay.work.join("work/incompat/volatile");
    // Mostly there is none; what cannot be removed is the kernel's to complain about.
    if rustix::fs::unlink(mark.join("dirty")).is_ok() {
        let _ = rustix::fs::rmdir(&mark);
    }
}

fn append_layers(context: &Context, lower: &[PathBuf]) -> Result<(), Errno> {
    lower.iter().try_for_each(|layer| context.set("lowerdir+", layer))
}

fn join_layers(context: &Context, lower: &[PathBuf]) -> Result<(), Errno> {
    let joined: Vec<OsString> = lower.iter().map(|layer| escaped(layer)).collect();
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

fn knows_single_layers(overlay: &OverlayRootfs) -> bool {
    let (Ok(context), Some(first)) = (Context::open("overlay"), overlay.lower.first()) else { return true };
    context.set("lowerdir+", first).is_ok()
}

fn overlay_error(overlay: &OverlayRootfs, context: &Context, errno: Errno) -> Error {
    Error::Mount {
        mounted: overlay.upper.clone(),
        destination: PathBuf::from("/"),
        step: "overlay",
        source: Reason(errno),
        detail: context.message().map(|message| format!(": {message}")).unwrap_or_default(),
    }
}

/// Cuts the ties of this namespace to the host's and attaches the root file system, without making it `/` yet.
pub(super) fn attach(plan: &mut Plan<'_>) -> Result<Root, Error> {
    let (propagation, depth) = plan.propagation.unwrap_or((Propagation::Slave, Depth::Recursive));
    change_root(Change::propagation(propagation), depth).step("change the propagation of /")?;
    let target = target(plan.rootfs);
    if propagation == Propagation::Shared {
        make_parent_private(target)?;
    }
    let mount = match plan.opened_rootfs.take() {
        Some(mount) => mount,
        None => open(plan.rootfs)?,
    };
    let place = Root::at(target).step_with(|| format!("open {target:?}"))?;
    mount.attach(&place).step_with(|| format!("attach the root at {target:?}"))?;
    if matches!(plan.rootfs, Rootfs::Directory(_)) {
        let private = Change::propagation(Propagation::Private);
        mount.change(private, Depth::Single).step("make the root private")?;
    }
    Root::at(target).step_with(|| format!("open the root at {target:?}"))
}

/// Any directory of the host does, as nobody else sees this namespace; this one is sure to exist.
fn target(rootfs: &Rootfs) -> &Path {
    match rootfs {
        Rootfs::Directory(path) => path,
        Rootfs::Overlay(overlay) => &overlay.work,
    }
}

/// With a shared `/` the host would see what is attached here: the mount that holds `path` leaves its peers.
fn make_parent_private(path: &Path) -> Result<(), Error> {
    for directory in path.ancestors() {
        let place = Root::at(directory).step_with(|| format!("open {directory:?}"))?;
        match sys::mount::change(&place, Change::propagation(Propagation::Private), Depth::Single) {
            Err(Errno::INVAL) => {}
            result => return result.step_with(|| format!("make {directory:?} private")),
        }
    }
    Ok(())
}

/// Gives the new `/` the propagation that was asked for, where it differs from what it has.
pub(super) fn propagate(plan: &Plan<'_>) -> Result<(), Error> {
    match plan.propagation {
        Some((propagation @ (Propagation::Shared | Propagation::Unbindable), depth)) => {
            change_root(Change::propagation(propagation), depth)
                .step("change the propagation of the new root")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_a_layer_are_escaped() {
        assert_eq!(escaped(Path::new(r"/a:b\c")), OsString::from(r"/a\:b\\c"));
    }
}
