//! The container's root file system.

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
    configure(&context, overlay)
        .and_then(|()| context.mount(Attributes::empty()))
        .map_err(|errno| overlay_error(overlay, &context, errno))
}

fn configure(context: &Context, overlay: &OverlayRootfs) -> Result<(), Errno> {
    context.set("source", "overlay")?;
    sys::overlay::append(context, &overlay.lower)?;
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

fn overlay_error(overlay: &OverlayRootfs, context: &Context, errno: Errno) -> Error {
    Error::Mount {
        mounted: overlay.upper.clone(),
        destination: PathBuf::from("/"),
        step: "overlay",
        source: Reason(errno),
        detail: detail(context, errno),
    }
}

fn detail(context: &Context, errno: Errno) -> String {
    let said = context.message().map(|message| format!(": {message}")).unwrap_or_default();
    let hint = if errno == Errno::OPNOTSUPP { " (this needs Linux 6.8 or later)" } else { "" };
    said + hint
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
