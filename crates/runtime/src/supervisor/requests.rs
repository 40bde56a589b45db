//! What clients ask for.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use oci::runtime::{LinuxNamespaceType, LinuxResources, Spec};
use shim::{
    Attach, Config, ExecConfig, Failure, FailureKind, Message, Reply, Request, RequestBody, Service, State,
    Status, Target,
};
use sys::Errno;

use super::control;
use super::logging::ContainerLog;
use super::process::{Ends, INIT, Process};
use super::state::{Container, Phase, Supervisor};
use super::stdio;
use crate::cgroup::{Cgroup, CgroupError};
use crate::container::{CreateOptions, Created, GateKind, Keyring, SeccompSource, Stdio};
use crate::exec::{ExecOptions, Lifetime, Privilege};
use crate::hooks::{self, HookState, Kind};
use crate::{Error, container, exec};

/// The name of the file with the supervisor's process ID in the run directory.
pub(super) const PID_FILE: &str = "pid";

type Answer = Result<Reply, Failure>;

impl Supervisor {
    /// Carries a request out and answers it.
    pub(super) fn answer(&mut self, connection: u32, request: Request, descriptors: Vec<OwnedFd>) {
        let Request { sequence, body, .. } = request;
        let is_start = matches!(body, RequestBody::Start);
        let result = self.perform(body, descriptors);
        let started = is_start && result.is_ok();
        self.send(connection, &Message::Reply { sequence, result });
        if started {
            self.settle();
        }
    }

    fn perform(&mut self, body: RequestBody, descriptors: Vec<OwnedFd>) -> Answer {
        if let RequestBody::Create(config) = body {
            return self.create(config, descriptors);
        }
        if self.phase != Phase::Serving {
            return Err(conflict("there is no container"));
        }
        match body {
            RequestBody::Create(_) => unreachable!("handled above"),
            RequestBody::Start => self.start(),
            RequestBody::Attach(attach) => self.attach_request(attach, descriptors),
            RequestBody::Exec(config) => self.exec(*config, descriptors),
            RequestBody::Signal { target, signal } => self.signal(&target, signal),
            RequestBody::KillAll => self.on_cgroup("kill", Cgroup::kill_all),
            RequestBody::Resize { target, width, height } => self.resize(&target, width, height),
            RequestBody::Pause => self.pause(),
            RequestBody::Resume => self.resume(),
            RequestBody::Update(resources) => self.update(&resources),
            RequestBody::Processes => self.list(),
            RequestBody::Serve(service) => self.serve_beside(service, descriptors),
            RequestBody::State => Ok(Reply::State(self.describe())),
            RequestBody::Delete => self.delete(),
        }
    }

    fn create(&mut self, mut config: Box<Config>, mut descriptors: Vec<OwnedFd>) -> Answer {
        if self.phase != Phase::Waiting {
            return Err(conflict("the container exists"));
        }
        reset_oom_score(&mut config.spec);
        super::belong_to(&config);
        let Some(named) = descriptors.len().checked_sub(config.opened.len()) else {
            return Err(invalid("mounts without descriptors"));
        };
        let opened = descriptors.split_off(named);
        let created = make(&config, descriptors.pop(), opened);
        let (container, process) = match created {
            Ok(created) => created,
            Err(failure) => {
                self.phase = Phase::Ending;
                return Err(failure);
            }
        };
        let pid = process.pid;
        self.processes.insert(INIT, process);
        self.container = Some(container);
        self.phase = Phase::Serving;
        if let Err(failure) = self.publish(&config) {
            self.abandon();
            return Err(failure);
        }
        Ok(Reply::Created { pid })
    }

    /// Lets others find this supervisor.
    fn publish(&mut self, config: &Config) -> Result<(), Failure> {
        let failed = |error| system("listen in the run directory", error);
        let listener = control::listen(&config.run_dir).map_err(failed)?;
        self.listen(listener).map_err(failed)?;
        write_pid(&config.run_dir).map_err(|error| system("write the pid file", sys::process::errno(error)))
    }

    fn start(&mut self) -> Answer {
        let container = self.serving();
        let Some(gate) = container.gate.take() else {
            return Err(conflict("the container has been started"));
        };
        let started_at = shim::log::now();
        if let Err(error) = gate.start() {
            self.abandon();
            return Err(error.to_failure());
        }
        container.started_at = Some(started_at);
        container.status = Status::Running;
        let config = container.config();
        self.rearm(INIT);
        let pid = self.processes.get(&INIT).map_or(0, |process| process.pid);
        run_poststart(&config, pid);
        Ok(Reply::Started { pid, started_at })
    }

    /// What can wait until the client has its answer.
    fn settle(&mut self) {
        let Some(container) = &mut self.container else { return };
        // Without a memory controller the count of kills at the end has to do.
        container.memory = container.cgroup.oom_events().ok();
        if let Some(watch) = &container.memory
            && let Err(error) = self.poll.add(watch, super::poll::Token::Memory)
        {
            super::complain(format_args!("cannot watch memory: {error}"));
        }
        self.stay_ready();
    }

    /// Runs a server beside the container, or tells the one that runs something else.
    fn serve_beside(&mut self, service: Service, descriptors: Vec<OwnedFd>) -> Answer {
        let pid = self.processes.get(&INIT).map_or(0, |process| process.pid);
        self.services.configure(&self.poll, service, descriptors, pid)?;
        Ok(Reply::Done)
    }

    fn attach_request(&mut self, attach: Attach, mut descriptors: Vec<OwnedFd>) -> Answer {
        let socket = descriptors.pop().ok_or_else(|| invalid("attach without a socket"))?;
        let number = self.find(&attach.target)?.number;
        self.attach(number, attach, socket);
        Ok(Reply::Done)
    }

    fn exec(&mut self, exec_config: ExecConfig, mut descriptors: Vec<OwnedFd>) -> Answer {
        let ExecConfig { exec_id, mut process, user, stdin, privileged, attach } = exec_config;
        let target = Target::Exec(exec_id);
        if self.find(&target).is_ok() {
            return Err(conflict("the exec ID is taken"));
        }
        let init = self.processes.get(&INIT).filter(|init| init.is_running());
        let (Some(init), Some(container)) = (init, &self.container) else {
            return Err(conflict("the container is not running"));
        };
        let config = container.config();
        if process.oom_score_adj().is_none() {
            process.set_oom_score_adj(
                config.spec.process().as_ref().and_then(|process| process.oom_score_adj()),
            );
        }
        let (pipes, stdio) = standard_streams(&process, stdin)?;
        let executed = exec::exec(ExecOptions {
            pidfd: std::os::fd::AsFd::as_fd(&init.pidfd),
            pid: init.pid,
            spec: &config.spec,
            process: &process,
            user: user.as_ref(),
            privilege: if privileged { Privilege::All } else { Privilege::AsConfigured },
            seccomp: SeccompSource::Profile { profile: &config.seccomp, cache: &config.seccomp_cache },
            stdio,
            cgroup: &container.cgroup,
            preserve_fds: 0,
            lifetime: Lifetime::Own,
        });
        let executed = executed.map_err(|error| error.to_failure())?;
        let started_at = shim::log::now();
        let ends = ends(pipes, executed.terminal)?;
        let number = self.number();
        let identity = (executed.pid, executed.pidfd);
        let process = Process::new(target, number, identity, stdin, ends).map_err(streams_failed)?;
        let pid = process.pid;
        self.processes.insert(number, process);
        if let (Some(attach), Some(socket)) = (attach, descriptors.pop()) {
            self.attach(number, attach, socket);
        }
        self.rearm(number);
        Ok(Reply::Started { pid, started_at })
    }

    fn signal(&mut self, target: &Target, signal: i32) -> Answer {
        let process = self.find(target)?;
        match process.signal(signal) {
            Ok(()) => Ok(Reply::Done),
            Err(Errno::SRCH) => Err(not_found("the process has ended")),
            Err(Errno::INVAL) => Err(invalid(&format!("invalid signal {signal}"))),
            Err(error) => Err(system("send the signal", error)),
        }
    }

    fn resize(&mut self, target: &Target, width: u16, height: u16) -> Answer {
        let process = self.find(target)?;
        let Some(terminal) = &process.terminal else {
            return Err(invalid("the process has no terminal"));
        };
        let resized = sys::pty::resize(terminal, sys::pty::Size { width, height });
        resized.map(|()| Reply::Done).map_err(|error| system("resize the terminal", error))
    }

    fn pause(&mut self) -> Answer {
        match self.serving().status {
            Status::Running => {}
            Status::Paused => return Err(conflict("the container is paused")),
            Status::Created | Status::Exited => return Err(conflict("the container is not running")),
        }
        self.on_cgroup("pause", Cgroup::freeze)?;
        self.serving().status = Status::Paused;
        Ok(Reply::Done)
    }

    fn resume(&mut self) -> Answer {
        if self.serving().status != Status::Paused {
            return Err(conflict("the container is not paused"));
        }
        self.on_cgroup("resume", Cgroup::thaw)?;
        self.serving().status = Status::Running;
        Ok(Reply::Done)
    }

    fn update(&mut self, resources: &LinuxResources) -> Answer {
        self.on_cgroup("update", |cgroup| cgroup.update(resources))
    }

    fn on_cgroup(&mut self, action: &str, act: impl FnOnce(&Cgroup) -> Result<(), CgroupError>) -> Answer {
        match act(&self.serving().cgroup) {
            Ok(()) => Ok(Reply::Done),
            Err(error) => {
                let failure = Error::from(error).to_failure();
                let message = format!("cannot {action} container: {}", failure.message);
                Err(Failure { message, ..failure })
            }
        }
    }

    fn list(&mut self) -> Answer {
        let pids = self.serving().cgroup.pids();
        pids.map(Reply::Processes).map_err(|error| Error::from(error).to_failure())
    }

    fn describe(&self) -> State {
        let container = self.container.as_ref().expect("there is one while it is served");
        let init = self.processes.get(&INIT);
        let running = self.processes.values().filter(|process| process.is_running());
        let execs = running.filter_map(|process| match &process.target {
            Target::Exec(exec_id) => Some((exec_id.clone(), process.pid)),
            Target::Init => None,
        });
        State {
            status: container.status,
            pid: init.map_or(0, |process| process.pid),
            started_at: container.started_at,
            exit: container.exit.clone(),
            execs: execs.collect(),
            services: self.services.kinds(),
        }
    }

    fn delete(&mut self) -> Answer {
        if self.serving().status != Status::Created {
            return Err(conflict("the container has been started"));
        }
        self.abandon();
        Ok(Reply::Done)
    }

    /// Ends a container whose program does not run; nothing is left of it.
    fn abandon(&mut self) {
        let Some(mut container) = self.container.take() else { return };
        container.gate = None;
        if let Some(init) = self.processes.remove(&INIT) {
            // It may have ended, and been reaped, already.
            let _ = init.signal(rustix::process::Signal::KILL.as_raw());
            let _ = sys::process::wait(&init.pidfd);
        }
        if let Err(error) = container.cgroup.remove() {
            super::complain(format_args!("cannot remove the control groups: {error}"));
        }
        self.leave(&container.run_dir);
        self.finish_all_clients();
    }

    fn find(&self, target: &Target) -> Result<&Process, Failure> {
        let mut processes = self.processes.values();
        let found = processes.find(|process| process.target == *target && !process.reported);
        found.ok_or_else(|| not_found("there is no such process"))
    }

    /// The container, in the phase that has one.
    fn serving(&mut self) -> &mut Container {
        self.container.as_mut().expect("there is one while it is served")
    }
}

/// Makes the container of a configuration. Nothing is left where that fails.
/// The container's program runs already: a hook that fails is a complaint.
fn run_poststart(config: &shim::Config, pid: i32) {
    let hooks = hooks::of(&config.spec, Kind::Poststart);
    if hooks.is_empty() {
        return;
    }
    let state = HookState::new(&config.id, &config.spec, &config.run_dir).with("running", Some(pid));
    for failure in hooks::run_each(Kind::Poststart, hooks, &state) {
        super::complain(format_args!("{failure}"));
    }
}

fn make(
    config: &Config,
    netns: Option<OwnedFd>,
    opened: Vec<OwnedFd>,
) -> Result<(Container, Process), Failure> {
    let spec = &config.spec;
    let process = spec.process().as_ref().ok_or_else(|| invalid("process is missing"))?;
    let terminal = process.terminal() == Some(true);
    let log = ContainerLog::open(&config.log).map_err(|error| Failure {
        kind: FailureKind::System,
        message: format!("failed to initialize logging driver: {error}"),
    })?;
    let (pipes, stdio) = standard_streams(process, config.stdin)?;
    let cgroup = make_cgroup(config)?;
    let made = container::create(CreateOptions {
        id: &config.id,
        spec,
        rootfs: &config.rootfs,
        user: config.user.as_ref(),
        seccomp: SeccompSource::Profile { profile: &config.seccomp, cache: &config.seccomp_cache },
        stdio,
        netns,
        cgroup: &cgroup,
        init: config.init.as_deref(),
        gate: GateKind::Parent,
        bundle: &config.run_dir,
        preserve_fds: 0,
        opened: config.opened.iter().map(|target| target.as_path()).zip(opened).collect(),
        keyring: Keyring::Own,
    });
    let created = match made {
        Ok(created) => created,
        Err(error) => {
            if let Err(error) = cgroup.remove() {
                super::complain(format_args!("cannot remove the control groups: {error}"));
            }
            return Err(error.to_failure());
        }
    };
    let Created { pid, pidfd, terminal: master, gate } = created;
    let container = Container {
        id: config.id.clone(),
        exit_path: config.exit_path.clone(),
        run_dir: config.run_dir.clone(),
        has_poststop: !hooks::of(spec, Kind::Poststop).is_empty(),
        config: serde_json::to_vec(config).map_err(|error| invalid(&error.to_string()))?,
        terminal,
        private_pids: has_private_pids(spec),
        cgroup,
        // Without it everything works, and takes longer.
        _mounts: fs::File::open(format!("/proc/{pid}/ns/mnt")).ok(),
        gate,
        log,
        memory: None,
        out_of_memory: false,
        started_at: None,
        status: Status::Created,
        exit: None,
    };
    let ends = ends(pipes, master)?;
    let process =
        Process::new(Target::Init, INIT, (pid, pidfd), config.stdin, ends).map_err(streams_failed)?;
    Ok((container, process))
}

fn make_cgroup(config: &Config) -> Result<Cgroup, Failure> {
    let linux = config.spec.linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_ref()).map(|path| path.to_string_lossy());
    let path = path.map_or_else(|| format!("/corten/{}", config.id), |path| path.into_owned());
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    Cgroup::create(&path, resources).map_err(|error| Error::from(error).to_failure())
}

/// The streams of a process: pipes, or a terminal that is made with it.
fn standard_streams(
    process: &oci::runtime::Process,
    stdin: shim::StdinMode,
) -> Result<(Option<stdio::Pipes>, Stdio), Failure> {
    if process.terminal() != Some(true) {
        let (pipes, stdio) = stdio::pipes(stdin).map_err(streams_failed)?;
        return Ok((Some(pipes), stdio));
    }
    let size = process.console_size().map(|size| sys::pty::Size {
        width: u16::try_from(size.width()).unwrap_or(u16::MAX),
        height: u16::try_from(size.height()).unwrap_or(u16::MAX),
    });
    Ok((None, Stdio::Terminal(size)))
}

fn ends(pipes: Option<stdio::Pipes>, master: Option<OwnedFd>) -> Result<Ends, Failure> {
    match (pipes, master) {
        (Some(pipes), _) => Ok(Ends::Pipes(pipes)),
        (None, Some(master)) => Ok(Ends::Terminal(master)),
        (None, None) => Err(system("open the terminal", Errno::NOTTY)),
    }
}

/// Children inherit the supervisor's own score, which is meant for it alone.
fn reset_oom_score(spec: &mut Spec) {
    if let Some(process) = spec.process_mut()
        && process.oom_score_adj().is_none()
    {
        process.set_oom_score_adj(Some(0));
    }
}

/// Whether the kernel kills every process of the container with its first one.
fn has_private_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let is_private = |namespace: &oci::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()
    };
    namespaces.is_some_and(|namespaces| namespaces.iter().any(is_private))
}

fn write_pid(run_dir: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(run_dir.join(PID_FILE))?;
    write!(file, "{}", rustix::process::getpid().as_raw_nonzero())
}

fn conflict(message: &str) -> Failure {
    Failure { kind: FailureKind::Conflict, message: message.to_owned() }
}

fn not_found(message: &str) -> Failure {
    Failure { kind: FailureKind::NotFound, message: message.to_owned() }
}

pub(super) fn invalid(message: &str) -> Failure {
    Failure { kind: FailureKind::Invalid, message: message.to_owned() }
}

pub(super) fn system(action: &str, error: Errno) -> Failure {
    Failure { kind: FailureKind::System, message: format!("cannot {action}: {error}") }
}

fn streams_failed(error: Errno) -> Failure {
    system("make the standard streams", error)
}
