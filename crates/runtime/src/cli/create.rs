//! `create`, `start` and `run`.

use std::borrow::Cow;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::runtime::Spec;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use shim::Rootfs;
use sys::file::{Durability, write_atomic};

use super::arguments::{Create, Global, Run};
use super::state::{Directory, State, Status, ticks};
use super::{Failure, console, control};
use crate::cgroup::Cgroup;
use crate::container::{CreateOptions, Created, GateKind, Keyring, SeccompSource, Stdio, create as make};
use crate::gate::StartGate;
use crate::hooks;

/// More than any real configuration has.
const MAX_CONFIGURATION: u64 = 16 * 1024 * 1024;

/// Makes a container that waits for `start`.
pub(super) fn create(global: &Global, asked: &Create) -> Result<(), Failure> {
    let bundle = Bundle::load(&asked.bundle)?;
    bundle.check_console(asked.console_socket.as_deref(), Foreground::No)?;
    let created = make_container(global, asked, &bundle).map_err(|error| create_failure(&*error))?;
    if let (Some(socket), Some(master)) = (&asked.console_socket, &created.terminal) {
        console::send(socket, master)?;
    }
    Ok(())
}

fn create_failure(error: &dyn std::fmt::Display) -> Failure {
    format!("runtime create failed: unable to start container process: {error}").into()
}

/// Lets a created container run.
pub(super) fn start(global: &Global, id: &str) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, id)?;
    let state = directory.load()?;
    match state.status(&directory) {
        Status::Known(oci::runtime::ContainerState::Created) => {}
        Status::Known(oci::runtime::ContainerState::Stopped) => {
            return Err("cannot start a container that has stopped".into());
        }
        status => return Err(format!("cannot start a container in the {status} state").into()),
    }
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    directory.with_gate(|address| rustix::net::connect(&socket, address))?;
    directory.remove_gate();
    StartGate::connected(socket).start().map_err(|error| start_failure(&error))?;
    run_poststart(&state);
    Ok(())
}

fn start_failure(error: &dyn std::fmt::Display) -> Failure {
    format!("runtime start failed: unable to start container process: {error}").into()
}

/// Its program runs already: what these hooks report is a warning (runtime.md of the specification, lifecycle).
fn run_poststart(state: &State) {
    let hooks = hooks::of(&state.spec, hooks::Kind::Poststart);
    let state = state.hook_state().with("running", Some(state.pid));
    for failure in hooks::run_each(hooks::Kind::Poststart, hooks, &state) {
        eprintln!("warning: {failure}");
    }
}

/// Makes a container, lets it run, and unless detached stays until it ends.
pub(super) fn run(global: &Global, asked: &Run) -> Result<u8, Failure> {
    let bundle = Bundle::load(&asked.create.bundle)?;
    let foreground = if asked.detach { Foreground::No } else { Foreground::Yes };
    bundle.check_console(asked.create.console_socket.as_deref(), foreground)?;
    let created = make_container(global, &asked.create, &bundle).map_err(|error| create_failure(&*error))?;
    let terminal = match (&asked.create.console_socket, created.terminal) {
        (Some(socket), Some(master)) => console::send(socket, &master).map(|()| None)?,
        (_, terminal) => terminal,
    };
    let id = &asked.create.id;
    if let Err(error) = start(global, id) {
        let _ = control::delete_by_id(global, id, control::Force::Yes);
        return Err(error);
    }
    if asked.detach {
        return Ok(0);
    }
    let code = console::attend(&created.pidfd, terminal)?;
    if !asked.keep {
        control::delete_by_id(global, id, control::Force::Yes)?;
    }
    Ok(code)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreground {
    Yes,
    No,
}

/// A bundle as found on disk.
struct Bundle {
    path: PathBuf,
    spec: Spec,
    rootfs: PathBuf,
}

impl Bundle {
    fn load(path: &Path) -> Result<Self, Failure> {
        let path = path.canonicalize().map_err(|error| format!("bundle {path:?}: {error}"))?;
        let file = fs::File::open(path.join("config.json"))
            .map_err(|error| format!("JSON specification file {:?}: {error}", path.join("config.json")))?;
        let json = sys::file::read_bounded(OwnedFd::from(file), MAX_CONFIGURATION)?;
        let spec: Spec = serde_json::from_slice(&json).map_err(|error| format!("config.json: {error}"))?;
        let root = spec.root().as_ref().ok_or("config.json: root is missing")?;
        let rootfs = path.join(root.path());
        let rootfs = rootfs.canonicalize().map_err(|error| format!("root {rootfs:?}: {error}"))?;
        Ok(Self { path, spec, rootfs })
    }

    fn has_terminal(&self) -> bool {
        self.spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
    }

    fn check_console(&self, socket: Option<&Path>, foreground: Foreground) -> Result<(), Failure> {
        match (self.has_terminal(), socket, foreground) {
            (true, None, Foreground::No) => {
                Err("cannot allocate tty if runtime will detach without setting console socket".into())
            }
            (false, Some(_), _) => Err("cannot use console socket if no tty is asked for".into()),
            _ => Ok(()),
        }
    }

    fn stdio(&self) -> Result<Stdio, Failure> {
        if !self.has_terminal() {
            return Ok(Stdio::Descriptors(own_stdio()?));
        }
        let size = self.spec.process().as_ref().and_then(|process| process.console_size());
        let side = |side: u64| u16::try_from(side).unwrap_or(u16::MAX);
        Ok(Stdio::Terminal(
            size.map(|size| sys::pty::Size { width: side(size.width()), height: side(size.height()) }),
        ))
    }
}

/// Copies of this process's own standard streams.
pub(super) fn own_stdio() -> Result<[OwnedFd; 3], Failure> {
    let copy = |fd: std::os::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    Ok([copy(rustix::stdio::stdin())?, copy(rustix::stdio::stdout())?, copy(rustix::stdio::stderr())?])
}

fn make_container(global: &Global, asked: &Create, bundle: &Bundle) -> Result<Created, Failure> {
    if asked.no_pivot {
        return Err("--no-pivot is not supported".into());
    }
    let directory = Directory::new(&global.root, &asked.id)?;
    directory.make()?;
    let made = make_in(&directory, asked, bundle);
    if made.is_err() {
        let _ = directory.remove();
    }
    made
}

fn make_in(directory: &Directory, asked: &Create, bundle: &Bundle) -> Result<Created, Failure> {
    let linux = bundle.spec.linux().as_ref();
    let configured = linux.and_then(|linux| linux.cgroups_path().as_ref());
    let path = match configured.map(|path| path.to_string_lossy().into_owned()) {
        Some(path) if !path.is_empty() => path,
        _ => format!("/{}", asked.id),
    };
    let cgroup = Cgroup::create(&path, linux.and_then(|linux| linux.resources().as_ref()))?;
    let made = make_with(directory, asked, bundle, &cgroup, path);
    if made.is_err() {
        let _ = cgroup.remove();
    }
    made
}

fn make_with(
    directory: &Directory,
    asked: &Create,
    bundle: &Bundle,
    cgroup: &Cgroup,
    cgroup_path: String,
) -> Result<Created, Failure> {
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    directory.with_gate(|address: &SocketAddrUnix| rustix::net::bind(&listener, address))?;
    rustix::net::listen(&listener, 1)?;
    let sockets = activation_sockets();
    let created = make(CreateOptions {
        id: &asked.id,
        spec: &with_activation_sockets(&bundle.spec, sockets),
        rootfs: &Rootfs::Directory(bundle.rootfs.clone()),
        user: None,
        seccomp: SeccompSource::Spec,
        stdio: bundle.stdio()?,
        netns: None,
        cgroup,
        init: None,
        gate: GateKind::Listener(listener),
        bundle: &bundle.path,
        preserve_fds: asked.preserve_fds + sockets,
        opened: Vec::new(),
        keyring: if asked.no_new_keyring { Keyring::Inherited } else { Keyring::Own },
    })?;
    let recorded = record(directory, asked, bundle, &created, cgroup_path);
    if recorded.is_err() {
        let _ = sys::process::signal(&created.pidfd, 9);
        let _ = sys::process::wait(&created.pidfd);
    }
    recorded.map(|()| created)
}

/// How many descriptors a service manager has passed on, beginning at 3 as well (sd_listen_fds(3)).
fn activation_sockets() -> u32 {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => number("LISTEN_FDS").unwrap_or(0),
        // They were for a process above this one.
        _ => 0,
    }
}

/// Tells the container's program of the descriptors, as runc does: they are for process 1.
fn with_activation_sockets(spec: &Spec, count: u32) -> Cow<'_, Spec> {
    let process = spec.process().as_ref().filter(|_| count > 0);
    let Some(mut process) = process.cloned() else { return Cow::Borrowed(spec) };
    let mut environment = process.env().clone().unwrap_or_default();
    environment.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    process.set_env(Some(environment));
    let mut spec = spec.clone();
    spec.set_process(Some(process));
    Cow::Owned(spec)
}

fn record(
    directory: &Directory,
    asked: &Create,
    bundle: &Bundle,
    created: &Created,
    cgroup: String,
) -> Result<(), Failure> {
    let (started_at_tick, _) = ticks(created.pid).ok_or("the container's process has ended")?;
    directory.save(&State {
        id: asked.id.clone(),
        pid: created.pid,
        started_at_tick,
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: jiff::Timestamp::now(),
        cgroup,
        spec: bundle.spec.clone(),
    })?;
    write_pid(asked.pid_file.as_deref(), created.pid)
}

/// Writes a process ID to the file that the caller waits for.
pub(super) fn write_pid(path: Option<&Path>, pid: i32) -> Result<(), Failure> {
    match path {
        Some(path) => Ok(write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Atomic)?),
        None => Ok(()),
    }
}
