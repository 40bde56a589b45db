//! Making a container.

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use oci::runtime::{PosixRlimit, Spec};
use shim::{Rootfs, SeccompProfile, User};
use sys::mount::DetachedMount;
use sys::namespace::Namespaces;
use sys::process::{SingleThreaded, SpawnOptions};

use crate::birth;
use crate::cgroup::Cgroup;
use crate::error::{Error, Step};
use crate::filter;
use crate::gate::{Order, ParentSide, StartGate, sides};
use crate::hooks::{self, HookState};
use crate::plan::mounts::MountKind;
use crate::plan::namespaces::{Mappings, NamespacePlan};
use crate::plan::process::ProcessPlan;
use crate::plan::{mount_options, mounts, sysctl, validate};
use crate::setup::{self, INIT_PATH, Plan};

/// Everything a container is made from.
#[derive(Debug)]
pub struct CreateOptions<'a> {
    /// Its ID.
    pub id: &'a str,
    /// The OCI configuration. `root.path` is not looked at, nor `process.user` where `user` is set, nor
    /// `linux.resources`, which are the cgroup's.
    pub spec: &'a Spec,
    /// What becomes `/`.
    pub rootfs: &'a Rootfs,
    /// A user to look up inside the root.
    pub user: Option<&'a User>,
    /// The system call filter.
    pub seccomp: SeccompSource<'a>,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The network namespace for a network namespace without a path; without both it is a new one.
    pub netns: Option<OwnedFd>,
    /// Its control groups.
    pub cgroup: &'a Cgroup,
    /// A program to run as process 1, bound over `/sbin/docker-init`.
    pub init: Option<&'a Path>,
    /// How the process waits for its start.
    pub gate: GateKind,
    /// The bundle that hooks are told of.
    pub bundle: &'a Path,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Mounts that the caller has opened, by their targets.
    pub opened: Vec<(&'a Path, OwnedFd)>,
    /// Whether it gets a session keyring of its own.
    pub keyring: Keyring,
}

/// The session keyring of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// A new one, so that no key of whoever starts the container is found in it.
    Own,
    /// That of whoever starts the container.
    Inherited,
}

/// Where a system call filter comes from.
#[derive(Clone, Copy, Debug)]
pub enum SeccompSource<'a> {
    /// A profile in Docker's format, for the capabilities of the process.
    Profile {
        /// The profile.
        profile: &'a SeccompProfile,
        /// Directory of compiled filters.
        cache: &'a Path,
    },
    /// `linux.seccomp` of the configuration.
    Spec,
    /// Nowhere: there is none.
    None,
}

/// Standard input, output and error of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These three; the parent's copies are closed once the process has its own.
    Descriptors([OwnedFd; 3]),
    /// A new terminal of the container's own devpts, of this size where known.
    Terminal(Option<sys::pty::Size>),
}

/// How a created process waits.
#[derive(Debug)]
pub enum GateKind {
    /// On the process that made it: its end is the container's end.
    Parent,
    /// On whoever connects to this listening socket: its maker may end.
    Listener(OwnedFd),
}

/// A container whose program is not yet executed.
#[derive(Debug)]
pub struct Created {
    /// The process ID of its first process, as this process sees it.
    pub pid: i32,
    /// The descriptor of that process.
    pub pidfd: OwnedFd,
    /// The master of its terminal, where one was asked for.
    pub terminal: Option<OwnedFd>,
    /// What starts it; `None` for [`GateKind::Listener`].
    pub gate: Option<StartGate>,
}

/// Makes a container, up to but without its program.
///
/// The calling process must have one thread, be root of the host's namespaces, and have its descriptors above 2 set to
/// close on execution. It is not dumpable from here on, so that no process of a container can look into a copy of it. It
/// blocks until the process is set up or has failed; nothing is left of one that failed.
///
/// # Errors
/// What the configuration or the kernel does not allow, by name.
pub fn create(mut options: CreateOptions<'_>) -> Result<Created, Error> {
    let mut plan = plan(&mut options)?;
    let parentage = Parentage::new(&options, &mut plan);
    birth::hide()?;
    let (parent, child_side) = sides()?;
    let CreateOptions { stdio, gate, cgroup, .. } = options;
    let starts_here = matches!(gate, GateKind::Parent);
    let (thread, joined_pid) = (plan.thread, plan.namespaces.joined_pid.take());
    let spawn = SpawnOptions {
        namespaces: plan.namespaces.new - Namespaces::TIME - Namespaces::CGROUP,
        cgroup: cgroup.join_descriptor(),
    };
    let mut parent = Some(parent);
    let child = birth::in_pid_namespace(thread, joined_pid.as_ref(), || {
        sys::process::spawn(thread, spawn, || {
            // The copy of this process must not keep its parent's end open, or it would miss its parent's death.
            drop(parent.take());
            setup::run(plan, stdio, gate, child_side)
        })
    })?;
    let parent = parent.expect("it is taken in the copy only");
    match parentage.attend(&parent, child.pid) {
        Ok(terminal) => {
            let gate = starts_here.then(|| StartGate::new(parent));
            Ok(Created { pid: child.pid, pidfd: child.pidfd, terminal, gate })
        }
        Err(error) => Err(birth::abandon(&child, &parent, error)),
    }
}

/// Decides everything before anything is done.
fn plan<'a>(options: &mut CreateOptions<'a>) -> Result<Plan<'a>, Error> {
    let spec = options.spec;
    validate::spec(spec)?;
    let linux = spec.linux().as_ref();
    let process = spec.process().as_ref().ok_or_else(|| Error::invalid("process", "there is none"))?;
    let namespaces = NamespacePlan::new(linux, options.netns.take())?;
    validate::names(spec, namespaces.private)?;
    let mounts = mounts::plan(spec, options.bundle)?;
    let mut process = ProcessPlan::new(process)?;
    if options.init.is_some() {
        process.arguments.splice(0..0, [INIT_PATH.to_owned(), "--".to_owned()]);
    }
    let is_cgroup = |mount: &mounts::MountPlan| mount.kind == MountKind::Cgroup;
    let propagation = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    Ok(Plan {
        thread: SingleThreaded::check().step("make a container from a process of one thread")?,
        spec,
        rootfs: options.rootfs,
        opened_rootfs: None,
        propagation: mount_options::root_propagation(propagation)?,
        entrances: options.cgroup.entrances()?,
        sysctls: sysctl::plan(linux, namespaces.private)?,
        cgroups: mounts.iter().any(is_cgroup).then(|| options.cgroup.mounts()),
        opened_sources: opened(&mounts, std::mem::take(&mut options.opened)),
        user: options.user,
        init: options.init,
        filter: filter::compile(options.seccomp, linux, &process.capabilities)?,
        keyring: keyring(options),
        hook_state: HookState::new(options.id, spec, options.bundle),
        preserve_fds: options.preserve_fds,
        namespaces,
        mounts,
        process,
    })
    .and_then(open_for_user_namespace)
}

/// The sources that the caller has opened, in the order of the mounts.
fn opened(mounts: &[mounts::MountPlan], opened: Vec<(&Path, OwnedFd)>) -> Vec<Option<DetachedMount>> {
    let mut opened: Vec<(&Path, Option<OwnedFd>)> =
        opened.into_iter().map(|(target, mount)| (target, Some(mount))).collect();
    let of = |mount: &mounts::MountPlan| {
        let found = opened.iter_mut().find(|(target, _)| *target == mount.destination)?;
        found.1.take().map(DetachedMount::from)
    };
    mounts.iter().map(of).collect()
}

fn keyring(options: &CreateOptions<'_>) -> Option<CString> {
    match options.keyring {
        Keyring::Own => CString::new(format!("_ses.{}", options.id)).ok(),
        Keyring::Inherited => None,
    }
}

/// What a new user namespace has no right to open is opened before it is made.
fn open_for_user_namespace(mut plan: Plan<'_>) -> Result<Plan<'_>, Error> {
    if plan.namespaces.new.contains(Namespaces::USER) {
        plan.opened_rootfs = Some(setup::open_rootfs(plan.rootfs)?);
        for (mount, opened) in plan.mounts.iter().zip(&mut plan.opened_sources) {
            if opened.is_none() {
                *opened = setup::open_source(plan.thread, mount)?;
            }
        }
    }
    Ok(plan)
}

/// A process in a user namespace cannot raise its own limits.
pub(crate) fn limits_of_parent(namespaces: Namespaces, process: &mut ProcessPlan) -> Vec<PosixRlimit> {
    match namespaces.contains(Namespaces::USER) {
        true => std::mem::take(&mut process.limits),
        false => Vec::new(),
    }
}

/// What the parent does while the process sets itself up.
struct Parentage<'a> {
    spec: &'a Spec,
    mappings: Option<Mappings>,
    oom_score_adjust: Option<i32>,
    limits: Vec<PosixRlimit>,
    hook_state: HookState,
}

impl<'a> Parentage<'a> {
    fn new(options: &CreateOptions<'a>, plan: &mut Plan<'_>) -> Self {
        Self {
            spec: options.spec,
            mappings: plan.namespaces.mappings.take(),
            oom_score_adjust: plan.process.oom_score_adjust,
            limits: limits_of_parent(plan.namespaces.new, &mut plan.process),
            hook_state: plan.hook_state.clone(),
        }
    }

    fn attend(&self, side: &ParentSide, pid: i32) -> Result<Option<OwnedFd>, Error> {
        if let Some(mappings) = &self.mappings {
            write_mappings(pid, mappings)?;
            side.tell(Order::Mapped);
        }
        birth::set_oom_score(pid, self.oom_score_adjust)?;
        let terminal = birth::await_ready(side, || {
            self.run_hooks(pid)?;
            side.tell(Order::HooksDone);
            Ok(())
        })?;
        birth::set_limits(Some(pid), &self.limits)?;
        Ok(terminal)
    }

    fn run_hooks(&self, pid: i32) -> Result<(), Error> {
        let state = self.hook_state.with("creating", Some(pid));
        for kind in [hooks::Kind::Prestart, hooks::Kind::CreateRuntime] {
            hooks::run(kind, hooks::of(self.spec, kind), &state)?;
        }
        Ok(())
    }
}

fn write_mappings(pid: i32, mappings: &Mappings) -> Result<(), Error> {
    fs::write(format!("/proc/{pid}/uid_map"), &mappings.users).step("write uid_map")?;
    fs::write(format!("/proc/{pid}/gid_map"), &mappings.groups).step("write gid_map")
}
