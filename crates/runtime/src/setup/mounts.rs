//! The mounts of the configuration.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;
use sys::Errno;
use sys::mount::{Attributes, Change, Context, Depth, DetachedMount, change};
use sys::process::SingleThreaded;
use sys::root::{Root, kind_of};

use super::{INIT_PATH, PROC_SUPER_MAGIC, Plan, cgroups, copy_up, foreign};
use crate::error::{Error, Reason, Step};
use crate::plan::mounts::{MountKind, MountPlan, clean};

/// Files of a procfs that other file systems (lxcfs and the like) may hide.
const REPLACEABLE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Mounts all in their order.
pub(super) fn mount_all(plan: &mut Plan<'_>, root: &Root) -> Result<(), Error> {
    let mut opened = std::mem::take(&mut plan.opened_sources).into_iter();
    for mount in &plan.mounts {
        let opened = opened.next().flatten();
        match &mount.kind {
            MountKind::Bind { .. } | MountKind::Foreign { .. } => bind(plan.thread, mount, opened, root)?,
            MountKind::FileSystem { typ, source } => file_system(mount, typ, source, root)?,
            MountKind::Cgroup => cgroups::mount(plan, mount, root)?,
        }
    }
    Ok(())
}

/// Names the mount in a failure.
pub(super) fn failure(mount: &MountPlan, step: &'static str, errno: Errno) -> Error {
    failure_with(mount, step, errno, None)
}

fn failure_with(mount: &MountPlan, step: &'static str, errno: Errno, detail: Option<String>) -> Error {
    Error::Mount {
        mounted: mount.name(),
        destination: mount.destination.clone(),
        step,
        source: Reason(errno),
        detail: detail.map(|detail| format!(": {detail}")).unwrap_or_default(),
    }
}

/// Opens the source of a bind mount with the rights of the caller.
///
/// # Errors
/// A source that is not there.
pub(crate) fn open_source(thread: SingleThreaded, mount: &MountPlan) -> Result<Option<DetachedMount>, Error> {
    let copy = match &mount.kind {
        MountKind::Bind { source, depth } => DetachedMount::copy(source, *depth),
        MountKind::Foreign { process, path, depth } => foreign::copy(thread, process, path, *depth),
        MountKind::FileSystem { .. } | MountKind::Cgroup => return Ok(None),
    };
    copy.map(Some).map_err(|errno| failure(mount, "open the source", errno))
}

fn bind(
    thread: SingleThreaded,
    mount: &MountPlan,
    opened: Option<DetachedMount>,
    root: &Root,
) -> Result<(), Error> {
    let fail = |step| move |errno| failure(mount, step, errno);
    let copy = match opened {
        Some(copy) => copy,
        None => open_source(thread, mount)?.expect("a bind mount has a source"),
    };
    let target = match kind_of(&copy).map_err(fail("look at the source"))? {
        FileType::Directory => root.make_directory(&mount.destination),
        _ => root.make_file(&mount.destination),
    };
    let target = target.map_err(fail("make the mount point"))?;
    check_target(mount, &target)?;
    let attributes = Change { propagation: None, ..mount.options.change };
    if !attributes.is_empty() {
        copy.change(attributes, Depth::Single).map_err(fail("set attributes"))?;
    }
    if !mount.options.recursive.is_empty() {
        copy.change(mount.options.recursive, Depth::Recursive).map_err(fail("set recursive attributes"))?;
    }
    copy.attach(&target).map_err(fail("attach"))?;
    propagate(mount, &copy)
}

fn propagate(mount: &MountPlan, copy: &DetachedMount) -> Result<(), Error> {
    for (propagation, depth) in &mount.options.propagations {
        copy.change(Change::propagation(*propagation), *depth)
            .map_err(|errno| failure(mount, "change the propagation", errno))?;
    }
    Ok(())
}

fn file_system(mount: &MountPlan, typ: &str, source: &str, root: &Root) -> Result<(), Error> {
    let fail = |step| move |errno| failure(mount, step, errno);
    let target = root.make_directory(&mount.destination).map_err(fail("make the mount point"))?;
    if matches!(typ, "proc" | "sysfs") {
        check_ordinary(mount, typ, root)?;
    }
    if typ != "proc" {
        check_target(mount, &target)?;
    }
    let made = make(mount, typ, source)?;
    if mount.options.copy_up {
        copy_up::fill(&target, made.as_fd(), mount)?;
    }
    made.attach(&target).map_err(fail("attach"))?;
    propagate(mount, &made)
}

fn make(mount: &MountPlan, typ: &str, source: &str) -> Result<DetachedMount, Error> {
    let context = Context::open(typ).map_err(|errno| failure(mount, "open the file system", errno))?;
    configure(&context, mount, typ, source)
        .and_then(|()| context.mount(mount.attributes()))
        .map_err(|errno| failure_with(mount, "make the file system", errno, context.message()))
}

fn configure(context: &Context, mount: &MountPlan, typ: &str, source: &str) -> Result<(), Errno> {
    context.set("source", source)?;
    // These are one file system for many mounts: only the mount is read-only.
    let shared = matches!(typ, "proc" | "mqueue" | "tmpfs");
    if mount.options.read_only && !shared {
        context.set_flag("ro")?;
    }
    mount.options.data.iter().try_for_each(|(key, value)| match value {
        Some(value) => context.set(key, value.as_str()),
        None => context.set_flag(key),
    })
}

/// A link in the place of `/proc` would have the file system, and all that is hidden in it, somewhere else.
fn check_ordinary(mount: &MountPlan, typ: &str, root: &Root) -> Result<(), Error> {
    let path = clean(&mount.destination);
    let name = path.strip_prefix("/").unwrap_or(&path);
    let place = rustix::fs::openat2(
        root,
        name,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
        rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS,
    );
    place.map(drop).map_err(|_| {
        Error::invalid("mounts", format!("filesystem {typ:?} must be mounted on ordinary directory {path:?}"))
    })
}

/// Nothing may hide what the kernel says of processes: later checks would believe it.
fn check_target(mount: &MountPlan, target: &OwnedFd) -> Result<(), Error> {
    let in_proc =
        rustix::fs::fstatfs(target).map_err(|errno| failure(mount, "look at the mount point", errno))?.f_type
            == PROC_SUPER_MAGIC;
    let path = clean(&mount.destination);
    let is_proc_of_host = path == Path::new("/proc") && mount.kind.is_bind();
    if !in_proc || is_proc_of_host || REPLACEABLE.iter().any(|allowed| path == Path::new(allowed)) {
        return Ok(());
    }
    Err(Error::invalid("mounts", format!("{path:?} cannot be mounted because it is inside /proc")))
}

/// Binds the init program into the container.
pub(super) fn bind_init(plan: &Plan<'_>, root: &Root) -> Result<(), Error> {
    let Some(init) = plan.init else { return Ok(()) };
    let step = || format!("bind {init:?} to {INIT_PATH}");
    let copy = DetachedMount::copy(init, Depth::Single).step_with(step)?;
    copy.change(Change::set(Attributes::READ_ONLY), Depth::Single).step_with(step)?;
    let target = root.make_file(INIT_PATH).step_with(step)?;
    copy.attach(&target).step_with(step)
}

/// Makes those mounts read-only that had to be filled first.
pub(super) fn seal(plan: &Plan<'_>, root: &Root) -> Result<(), Error> {
    for mount in plan.mounts.iter().filter(|mount| mount.is_read_only_later()) {
        root.locate(&mount.destination)
            .and_then(|place| change(place, Change::set(Attributes::READ_ONLY), Depth::Single))
            .map_err(|errno| failure(mount, "make it read-only", errno))?;
    }
    Ok(())
}
