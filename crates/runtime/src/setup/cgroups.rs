//! The container's own control groups at `/sys/fs/cgroup`.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sys::Errno;
use sys::mount::{Attributes, Change, Context, Depth, DetachedMount};
use sys::namespace::Namespaces;
use sys::root::Root;

use super::Plan;
use super::mounts::failure;
use crate::cgroup::{CgroupMounts, Layout};
use crate::error::Error;
use crate::plan::mounts::MountPlan;

/// Mounts them, as the host has them: the one hierarchy of version 2, or a directory for each of version 1.
pub(super) fn mount(plan: &Plan<'_>, mount: &MountPlan, root: &Root) -> Result<(), Error> {
    let Some(cgroups) = &plan.cgroups else { return Ok(()) };
    let target = root
        .make_directory(&mount.destination)
        .map_err(|errno| failure(mount, "make the mount point", errno))?;
    let private = plan.namespaces.private.contains(Namespaces::CGROUP);
    match (cgroups.layout, &cgroups.unified) {
        (Layout::V2, Some(group)) if private => bind(group, mount.options.change, target.as_fd()),
        (Layout::V2, _) => whole(mount, target.as_fd()),
        _ => version1(cgroups, mount, root),
    }
    .map_err(|errno| failure(mount, "mount control groups", errno))
}

fn bind(group: &Path, attributes: Change, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let copy = DetachedMount::copy(group, Depth::Single)?;
    if !attributes.is_empty() {
        copy.change(attributes, Depth::Single)?;
    }
    copy.attach(target)
}

/// In the host's cgroup namespace a container sees all groups, as `--cgroupns host` means it.
fn whole(mount: &MountPlan, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let context = Context::open("cgroup2")?;
    context.set("source", "cgroup")?;
    context.mount(mount.options.change.set)?.attach(target)
}

fn version1(cgroups: &CgroupMounts, mount: &MountPlan, root: &Root) -> Result<(), Errno> {
    let writable = mount.options.change.set.difference(Attributes::READ_ONLY);
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("mode", "755")?;
    let tmpfs = context.mount(writable)?;
    tmpfs.attach(root.make_directory(&mount.destination)?)?;
    for hierarchy in &cgroups.v1 {
        bind_into(tmpfs.as_fd(), &hierarchy.directory, &hierarchy.source, mount)?;
        for link in &hierarchy.links {
            rustix::fs::symlinkat(&hierarchy.directory, &tmpfs, link)?;
        }
    }
    if let Some(group) = &cgroups.unified {
        bind_into(tmpfs.as_fd(), "unified", group, mount)?;
    }
    if mount.options.read_only {
        tmpfs.change(Change::set(Attributes::READ_ONLY), Depth::Single)?;
    }
    Ok(())
}

fn bind_into(directory: BorrowedFd<'_>, name: &str, group: &Path, mount: &MountPlan) -> Result<(), Errno> {
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    bind(group, mount.options.change, target.as_fd())
}
