//! What a container's first process does before its program: from a copy of the runtime in fresh namespaces to a process
//! that stands at the gate.

mod cgroups;
mod copy_up;
mod devices;
mod foreign;
mod mounts;
mod namespaces;
mod paths;
mod rootfs;
mod terminal;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use shim::{Rootfs, User};
use sys::mount::{Depth, DetachedMount, Propagation};
use sys::process::SingleThreaded;
use sys::root::Root;

use crate::cgroup::{CgroupMounts, Entrance};
use crate::container::{GateKind, Stdio};
use crate::error::{Error, Step};
use crate::filter::Filter;
use crate::gate::{ChildSide, Order};
use crate::hooks::{self, HookState};
use crate::plan::mounts::MountPlan;
use crate::plan::namespaces::NamespacePlan;
use crate::plan::process::ProcessPlan;
use crate::plan::sysctl::Sysctl;
use crate::process::{self, Prepared, Surroundings};

pub(crate) use self::mounts::open_source;
pub(crate) use self::namespaces::become_root;
pub(crate) use self::rootfs::open as open_rootfs;
pub(crate) use self::terminal::set_up_further as set_up_terminal;

/// Where the init program is bound inside the container.
pub(crate) const INIT_PATH: &str = "/sbin/docker-init";
/// What `fstatfs` says of a procfs, see linux/magic.h.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// Everything that the process needs, decided before it was born.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) thread: SingleThreaded,
    pub(crate) spec: &'a Spec,
    pub(crate) rootfs: &'a Rootfs,
    /// The root file system where it must be mounted with the rights of the host.
    pub(crate) opened_rootfs: Option<DetachedMount>,
    pub(crate) propagation: Option<(Propagation, Depth)>,
    pub(crate) namespaces: NamespacePlan,
    pub(crate) mounts: Vec<MountPlan>,
    /// Sources of bind mounts where they must be opened with the rights of the host, in the order of `mounts`.
    pub(crate) opened_sources: Vec<Option<DetachedMount>>,
    /// The ways into the cgroups that it was not born into.
    pub(crate) entrances: Vec<Entrance>,
    pub(crate) cgroups: Option<CgroupMounts>,
    pub(crate) sysctls: Vec<Sysctl>,
    pub(crate) process: ProcessPlan,
    pub(crate) user: Option<&'a User>,
    pub(crate) init: Option<&'a Path>,
    pub(crate) filter: Option<Filter>,
    pub(crate) keyring: Option<std::ffi::CString>,
    pub(crate) hook_state: HookState,
    pub(crate) preserve_fds: u32,
}

/// The life of the process up to its program; returns its exit code where it does not get there.
pub(crate) fn run(mut plan: Plan<'_>, stdio: Stdio, gate: GateKind, side: ChildSide) -> i32 {
    let dies_with_parent = matches!(gate, GateKind::Parent);
    // Kept until a failure is told: the end of its terminal ends a process (SIGHUP).
    let mut terminal = None;
    let prepared = match set_up(&mut plan, stdio, &side, dies_with_parent, &mut terminal) {
        Ok(prepared) => prepared,
        Err(error) => return fail(&side, &error),
    };
    side.ready(terminal.as_ref().map(AsFd::as_fd));
    drop(terminal);
    let side = wait(gate, side);
    let error = start(&plan, prepared);
    fail(&side, &error)
}

fn fail(side: &ChildSide, error: &Error) -> i32 {
    side.fail(error);
    1
}

/// Waits for the start, and returns the side that asked for it.
fn wait(gate: GateKind, side: ChildSide) -> ChildSide {
    let GateKind::Listener(listener) = gate else {
        if side.wait_for_start() {
            return side;
        }
        sys::process::exit_now(1)
    };
    drop(side);
    loop {
        if let Ok(socket) = rustix::net::accept_with(&listener, rustix::net::SocketFlags::CLOEXEC) {
            let side = ChildSide(socket);
            if side.wait_for_start() {
                return side;
            }
        }
    }
}

fn start(plan: &Plan<'_>, prepared: Prepared) -> Error {
    let hooks = hooks::of(plan.spec, hooks::Kind::StartContainer);
    if let Err(error) = hooks::run(hooks::Kind::StartContainer, hooks, &plan.hook_state.created()) {
        return error;
    }
    process::execute(prepared, plan.preserve_fds)
}

fn set_up(
    plan: &mut Plan<'_>,
    stdio: Stdio,
    side: &ChildSide,
    dies_with_parent: bool,
    terminal: &mut Option<OwnedFd>,
) -> Result<Prepared, Error> {
    // In the cgroups first: nothing of what follows is to be charged to the host.
    plan.entrances.iter().try_for_each(Entrance::enter)?;
    namespaces::enter(plan, side)?;
    let host_proc = open_procfs()?;
    let root = rootfs::attach(plan)?;
    mounts::mount_all(plan, &root)?;
    devices::set_up(plan, &root)?;
    run_outer_hooks(plan, side)?;
    mounts::bind_init(plan, &root)?;
    sys::mount::pivot_root(&root).step("pivot_root")?;
    rootfs::propagate(plan)?;
    root.make_directory(&plan.process.directory)
        .step_with(|| format!("make the working directory {:?}", plan.process.directory))?;
    *terminal = terminal::set_up(stdio, &root)?;
    finish(plan, &root, host_proc.as_fd())?;
    let attributes = attributes(plan, host_proc.as_fd());
    let surroundings = Surroundings {
        root: &root,
        user: plan.user,
        filter: plan.filter.take(),
        dies_with_parent,
        attributes,
    };
    process::prepare(&plan.process, surroundings)
}

/// All that makes something read-only or out of sight comes last.
fn finish(plan: &Plan<'_>, root: &Root, host_proc: std::os::fd::BorrowedFd<'_>) -> Result<(), Error> {
    mounts::seal(plan, root)?;
    paths::make_root_read_only(plan.spec)?;
    namespaces::name(plan)?;
    namespaces::write_sysctls(&plan.sysctls, host_proc)?;
    paths::make_read_only(plan.spec, root)?;
    paths::mask(plan.spec, root)
}

/// The host's own procfs, which no image can have replaced.
fn open_procfs() -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).step("open /proc")?;
    match rustix::fs::fstatfs(&proc).step("look at /proc")?.f_type {
        PROC_SUPER_MAGIC => Ok(proc),
        _ => Err(sys::Errno::NODEV).step("find a procfs at /proc"),
    }
}

fn attributes(plan: &Plan<'_>, host_proc: std::os::fd::BorrowedFd<'_>) -> Option<OwnedFd> {
    plan.process.apparmor.as_ref()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(host_proc, "self/attr", flags, Mode::empty()).ok()
}

/// Hooks of the host run while the host's root is still there, those of the container in its namespaces.
fn run_outer_hooks(plan: &Plan<'_>, side: &ChildSide) -> Result<(), Error> {
    if hooks::has_outer(plan.spec) {
        side.ask_for_hooks();
        side.expect(Order::HooksDone);
    }
    let hooks = hooks::of(plan.spec, hooks::Kind::CreateContainer);
    hooks::run(hooks::Kind::CreateContainer, hooks, &plan.hook_state.creating())
}
