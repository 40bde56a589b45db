//! Executing a further process in a container.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::runtime::{Process, Spec};
use rustix::fs::{Mode, OFlags};
use shim::User;
use sys::Errno;
use sys::namespace::{Namespaces, join};
use sys::process::{SingleThreaded, SpawnOptions};
use sys::root::Root;

use crate::birth;
use crate::cgroup::{Cgroup, Entrance};
use crate::container::{SeccompSource, Stdio, limits_of_parent};
use crate::error::{Error, Step};
use crate::filter;
use crate::filter::Filter;
use crate::gate::{ChildSide, Order, sides};
use crate::plan::process::ProcessPlan;
use crate::plan::validate;
use crate::process::capabilities::CapabilityPlan;
use crate::process::{self, Prepared, Surroundings};
use crate::setup;

/// Everything a further process is made from.
#[derive(Debug)]
pub struct ExecOptions<'a> {
    /// The container's first process.
    pub pidfd: BorrowedFd<'a>,
    /// Its process ID.
    pub pid: i32,
    /// The container's configuration.
    pub spec: &'a Spec,
    /// The process; nothing is taken from the container's own.
    pub process: &'a Process,
    /// A user to look up inside the root; else `process.user`.
    pub user: Option<&'a User>,
    /// Whether it runs within the limits of the container.
    pub privilege: Privilege,
    /// The system call filter of the container.
    pub seccomp: SeccompSource<'a>,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The container's control groups.
    pub cgroup: &'a Cgroup,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Whether it ends with the process that made it.
    pub lifetime: Lifetime,
}

/// What a further process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// What its configuration says.
    AsConfigured,
    /// Everything: all capabilities, no filter (`--privileged`).
    All,
}

/// How long a further process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// At most as long as its parent.
    OfParent,
    /// As long as it wants.
    Own,
}

/// A further process that runs.
#[derive(Debug)]
pub struct Executed {
    /// Its process ID, as this process sees it.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// The master of its terminal, where one was asked for.
    pub terminal: Option<OwnedFd>,
}

/// What the copy of this process does.
struct Plan<'a> {
    thread: SingleThreaded,
    container: BorrowedFd<'a>,
    namespaces: Namespaces,
    entrances: Vec<Entrance>,
    process: ProcessPlan,
    user: Option<&'a User>,
    filter: Option<Filter>,
    preserve_fds: u32,
    lifetime: Lifetime,
}

/// Executes a process in a container, and returns once its program runs.
///
/// The calling process must have one thread; the new process is its child.
///
/// # Errors
/// What the process reports, by kind, and [`Error::NotRunning`] where the container has ended.
pub fn exec(options: ExecOptions<'_>) -> Result<Executed, Error> {
    let mut plan = plan(&options)?;
    birth::hide()?;
    let limits = limits_of_parent(plan.namespaces, &mut plan.process);
    let oom_score_adjust = plan.process.oom_score_adjust;
    let pid_namespace = open_pid_namespace(options.pid)?;
    let ExecOptions { stdio, cgroup, .. } = options;
    let (parent, child_side) = sides()?;
    let thread = plan.thread;
    let spawn = SpawnOptions { namespaces: Namespaces::empty(), cgroup: cgroup.join_descriptor() };
    let mut parent = Some(parent);
    let child = birth::in_pid_namespace(thread, Some(&pid_namespace), || {
        sys::process::spawn(thread, spawn, || {
            drop(parent.take());
            run(plan, stdio, child_side)
        })
    })?;
    let parent = parent.expect("it is taken in the copy only");
    let attended = birth::set_oom_score(child.pid, oom_score_adjust)
        .and_then(|()| birth::await_ready(&parent, || Ok(())))
        .and_then(|terminal| birth::set_limits(Some(child.pid), &limits).map(|()| terminal));
    let terminal = match attended {
        Ok(terminal) => terminal,
        Err(error) => return Err(birth::abandon(&child, &parent, error)),
    };
    match parent.start() {
        Ok(()) => Ok(Executed { pid: child.pid, pidfd: child.pidfd, terminal }),
        Err(error) => {
            let _ = sys::process::wait(&child.pidfd);
            Err(error)
        }
    }
}

fn plan<'a>(options: &ExecOptions<'a>) -> Result<Plan<'a>, Error> {
    validate::process(options.process)?;
    let mut process = ProcessPlan::new(options.process)?;
    let mut source = options.seccomp;
    if options.privilege == Privilege::All {
        process.capabilities = CapabilityPlan::all();
        process.no_new_privileges = false;
        process.apparmor = None;
        source = SeccompSource::None;
    }
    Ok(Plan {
        thread: SingleThreaded::check().step("execute from a process of one thread")?,
        container: options.pidfd,
        namespaces: namespaces_to_join(options.pid)?,
        entrances: options.cgroup.entrances()?,
        filter: filter::compile(source, options.spec.linux().as_ref(), &process.capabilities)?,
        process,
        user: options.user,
        preserve_fds: options.preserve_fds,
        lifetime: options.lifetime,
    })
}

fn open_pid_namespace(pid: i32) -> Result<OwnedFd, Error> {
    match fs::File::open(format!("/proc/{pid}/ns/pid")) {
        Ok(file) => Ok(OwnedFd::from(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NotRunning(pid.to_string())),
        Err(error) => Err(error).step("open the PID namespace of the container"),
    }
}

/// All kinds that the container does not share with this process; one's own user namespace cannot be joined again.
fn namespaces_to_join(pid: i32) -> Result<Namespaces, Error> {
    let mut kinds = Namespaces::empty();
    for (kind, name) in [
        (Namespaces::MOUNT, "mnt"),
        (Namespaces::CGROUP, "cgroup"),
        (Namespaces::UTS, "uts"),
        (Namespaces::IPC, "ipc"),
        (Namespaces::USER, "user"),
        (Namespaces::NETWORK, "net"),
        (Namespaces::TIME, "time"),
    ] {
        let theirs = match rustix::fs::readlink(format!("/proc/{pid}/ns/{name}"), Vec::new()) {
            // A kernel without this kind; or the process ended, which the next step finds out.
            Err(Errno::NOENT) => continue,
            result => result.step_with(|| format!("look at the {name} namespace of process {pid}"))?,
        };
        let ours = rustix::fs::readlink(format!("/proc/self/ns/{name}"), Vec::new())
            .step_with(|| format!("look at the {name} namespace"))?;
        if theirs != ours {
            kinds |= kind;
        }
    }
    Ok(kinds)
}

fn run(mut plan: Plan<'_>, stdio: Stdio, side: ChildSide) -> i32 {
    // Kept until a failure is told: the end of its terminal ends a process (SIGHUP).
    let mut terminal = None;
    let error = match set_up(&mut plan, stdio, &mut terminal) {
        Err(error) => error,
        Ok(prepared) => {
            side.ready(terminal.as_ref().map(AsFd::as_fd));
            drop(terminal.take());
            side.expect(Order::Start);
            process::execute(prepared, plan.preserve_fds)
        }
    };
    side.fail(&error);
    1
}

fn set_up(plan: &mut Plan<'_>, stdio: Stdio, terminal: &mut Option<OwnedFd>) -> Result<Prepared, Error> {
    let attributes = attributes(plan);
    // In the cgroups first: nothing of what follows is to be charged to the host, and a new member of a cgroup
    // namespace must be below its root. That of version 2 it was born into.
    plan.entrances.iter().try_for_each(Entrance::enter)?;
    match join(plan.thread, plan.container, plan.namespaces) {
        Err(Errno::SRCH) => return Err(Error::NotRunning("to be entered".to_owned())),
        result => result.step("join the namespaces of the container")?,
    }
    if plan.namespaces.contains(Namespaces::USER) {
        setup::become_root()?;
    }
    let root = Root::at(Path::new("/")).step("open the root of the container")?;
    root.make_directory(&plan.process.directory)
        .step_with(|| format!("make the working directory {:?}", plan.process.directory))?;
    *terminal = setup::set_up_terminal(stdio, &root)?;
    let surroundings = Surroundings {
        root: &root,
        user: plan.user,
        filter: plan.filter.take(),
        dies_with_parent: plan.lifetime == Lifetime::OfParent,
        attributes,
    };
    process::prepare(&plan.process, surroundings)
}

fn attributes(plan: &Plan<'_>) -> Option<OwnedFd> {
    plan.process.apparmor.as_ref()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/attr", flags, Mode::empty()).ok()
}
