//! Further processes in running containers.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::exec::{ExecCreateRequest, ExecInspect, ProcessConfig};
use shim::client::RequestError;
use shim::{Attach, ExecConfig, Failure, FailureKind, Framing, Reply, RequestBody, StdinMode, Target, User};
use sys::random;
use tokio::sync::watch;

use crate::container::Container;
use crate::error::Error;
use crate::shared::Shared;
use crate::{detach_keys, spec, time};

/// How long an exec that has ended can still be inspected, in nanoseconds.
const KEPT: i64 = 300_000_000_000;

/// How long the news of an end that has happened may take.
const NEWS: Duration = Duration::from_secs(2);

/// What an exec is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecState {
    Created,
    Running { pid: i32 },
    Ended { pid: i32, exit_code: i32, finished_at: i64 },
}

/// One exec.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    pub(crate) container_id: String,
    pub(crate) request: ExecCreateRequest,
    detach_keys: Vec<u8>,
    state: watch::Sender<ExecState>,
}

/// The execs of an engine. They live in memory only: one that was not started is forgotten with the engine.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    all: Mutex<HashMap<String, Arc<Exec>>>,
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Exec>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Exec>, Error> {
        self.lock().get(id).cloned().ok_or_else(|| Error::ExecNotFound { id: id.to_owned() })
    }

    /// IDs of a container's execs that run.
    pub(crate) fn running_in(&self, container_id: &str) -> Vec<String> {
        let all = self.lock();
        let running = all.values().filter(|exec| {
            exec.container_id == container_id && matches!(*exec.state.borrow(), ExecState::Running { .. })
        });
        running.map(|exec| exec.id.clone()).collect()
    }

    /// Notes the end of an exec.
    pub(crate) fn finish(&self, id: &str, exit_code: i32, finished_at: i64) {
        if let Ok(exec) = self.find(id) {
            exec.end(exit_code, finished_at);
        }
    }

    /// With a container its processes end.
    pub(crate) fn container_ended(&self, container_id: &str) {
        for exec in self.lock().values().filter(|exec| exec.container_id == container_id) {
            if matches!(*exec.state.borrow(), ExecState::Running { .. }) {
                exec.end(137, time::now());
            }
        }
    }

    pub(crate) fn forget(&self, container_id: &str) {
        self.lock().retain(|_, exec| exec.container_id != container_id);
    }

    fn insert(&self, exec: Arc<Exec>) {
        let oldest = time::now() - KEPT;
        let mut all = self.lock();
        all.retain(|_, exec| match *exec.state.borrow() {
            ExecState::Ended { finished_at, .. } => finished_at > oldest,
            _ => true,
        });
        all.insert(exec.id.clone(), exec);
    }
}

impl Exec {
    fn end(&self, exit_code: i32, finished_at: i64) {
        self.state.send_modify(|state| {
            let pid = match *state {
                ExecState::Running { pid } | ExecState::Ended { pid, .. } => pid,
                ExecState::Created => 0,
            };
            *state = ExecState::Ended { pid, exit_code, finished_at };
        });
    }

    /// Waits for the end, and gives the exit code.
    pub(crate) async fn ended(&self) -> i32 {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| matches!(state, ExecState::Ended { .. })).await;
        match ended.as_deref() {
            Ok(ExecState::Ended { exit_code, .. }) => *exit_code,
            _ => 137,
        }
    }

    pub(crate) fn inspect(&self) -> ExecInspect {
        let request = &self.request;
        let mut words = request.cmd.clone().unwrap_or_default().into_iter();
        let (running, exit_code, pid) = match *self.state.borrow() {
            ExecState::Created => (false, None, 0),
            ExecState::Running { pid } => (true, None, i64::from(pid)),
            ExecState::Ended { pid, exit_code, .. } => (false, Some(i64::from(exit_code)), i64::from(pid)),
        };
        ExecInspect {
            id: self.id.clone(),
            running,
            exit_code,
            process_config: ProcessConfig {
                tty: request.tty,
                entrypoint: words.next().unwrap_or_default(),
                arguments: words.collect(),
                privileged: Some(request.privileged),
                user: request.user.clone(),
            },
            open_stdin: request.attach_stdin,
            open_stderr: request.attach_stderr,
            open_stdout: request.attach_stdout,
            can_remove: false,
            container_id: self.container_id.clone(),
            detach_keys: Some(self.detach_keys.clone()),
            pid,
        }
    }
}

/// Makes an exec, without running it.
pub(crate) fn create(
    shared: &Shared,
    container: &Container,
    request: ExecCreateRequest,
) -> Result<Arc<Exec>, Error> {
    check_running(container)?;
    if request.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::invalid("No exec command specified"));
    }
    if !request.working_dir.is_empty() && !request.working_dir.starts_with('/') {
        return Err(Error::invalid("the working directory is invalid, it needs to be an absolute path"));
    }
    let detach_keys = detach_keys::parse(&request.detach_keys)?;
    let exec = Arc::new(Exec {
        id: random::new_id(),
        container_id: container.id().to_owned(),
        request,
        detach_keys,
        state: watch::Sender::new(ExecState::Created),
    });
    shared.execs.insert(Arc::clone(&exec));
    event(shared, container, &exec, "exec_create");
    Ok(exec)
}

/// Runs an exec. Output goes to `socket`, where there is one.
///
/// # Errors
///
/// [`Error::Exec`] where the program cannot be run; the exec then has an exit code too.
pub(crate) async fn start(
    shared: &Shared,
    container: &Container,
    exec: &Exec,
    console: Option<[u32; 2]>,
    socket: Option<OwnedFd>,
) -> Result<(), Error> {
    check_startable(exec)?;
    check_running(container)?;
    let live = container.live()?;
    let config = exec_config(shared, container, exec, (console, socket.is_some()))?;
    exec.state.send_replace(ExecState::Running { pid: 0 });
    let request = live.client.request(RequestBody::Exec(Box::new(config)), socket.into_iter().collect());
    match request.await {
        Ok(Reply::Started { pid, .. }) => {
            // Its end may have been told already.
            exec.state.send_if_modified(|state| {
                let starting = *state == ExecState::Running { pid: 0 };
                if starting {
                    *state = ExecState::Running { pid };
                }
                starting
            });
            event(shared, container, exec, "exec_start");
            Ok(())
        }
        outcome => {
            let error = failure(container, outcome);
            exec.end(error.exit_code(), time::now());
            Err(error)
        }
    }
}

/// A client's stream ends with the process, maybe before this engine has heard of the end: where the supervisor does not
/// run the exec any more, waits for the news.
pub(crate) async fn settle(container: &Container, exec: &Exec) {
    if !matches!(*exec.state.borrow(), ExecState::Running { .. }) {
        return;
    }
    let runs = match container.live() {
        Ok(live) => match live.client.request(RequestBody::State, Vec::new()).await {
            Ok(Reply::State(state)) => state.execs.iter().any(|(id, _)| *id == exec.id),
            _ => false,
        },
        Err(_) => false,
    };
    if !runs {
        // Where nothing comes, the exec is told about as it is known.
        let _ = tokio::time::timeout(NEWS, exec.ended()).await;
    }
}

/// Whether an exec can be started.
pub(crate) fn check_startable(exec: &Exec) -> Result<(), Error> {
    match *exec.state.borrow() {
        ExecState::Created => Ok(()),
        ExecState::Running { .. } => {
            Err(Error::conflict(format!("exec command {} is already running", exec.id)))
        }
        ExecState::Ended { .. } => Err(Error::conflict(format!("exec command {} has already run", exec.id))),
    }
}

fn failure(container: &Container, outcome: Result<Reply, RequestError>) -> Error {
    match outcome {
        Err(RequestError::Failed(failure)) => Error::Exec { failure },
        Err(error) => Error::SupervisorLost {
            action: "exec in",
            id: container.id().to_owned(),
            reason: error.to_string(),
        },
        Ok(_) => Error::Exec {
            failure: Failure {
                kind: FailureKind::System,
                message: "unexpected answer of the supervisor".to_owned(),
            },
        },
    }
}

pub(crate) fn check_running(container: &Container) -> Result<(), Error> {
    use crate::state::Status;
    let id = || container.id().to_owned();
    match container.published().state.status {
        Status::Running => Ok(()),
        Status::Paused => Err(Error::Paused { id: id(), action: "exec" }),
        Status::Restarting => Err(Error::conflict(format!(
            "Container {} is restarting, wait until the container is running",
            id()
        ))),
        _ => Err(Error::NotRunning { id: id() }),
    }
}

fn exec_config(
    shared: &Shared,
    container: &Container,
    exec: &Exec,
    (console, attached): (Option<[u32; 2]>, bool),
) -> Result<ExecConfig, Error> {
    let mut request = exec.request.clone();
    request.console_size = console.or(request.console_size);
    let settings = &container.settings;
    let user = if request.user.is_empty() { settings.config.user.clone() } else { request.user.clone() };
    let groups = settings.host_config.group_add.clone().unwrap_or_default();
    let linked = shared.running_linked(container.id(), &container.published().name);
    let attach = attached.then(|| Attach {
        target: Target::Exec(exec.id.clone()),
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        framing: if request.tty { Framing::Raw } else { Framing::Multiplexed },
        detach_keys: exec.detach_keys.clone(),
    });
    Ok(ExecConfig {
        exec_id: exec.id.clone(),
        process: spec::exec_process(settings, &request, &linked)?,
        user: Some(User { user, additional_groups: groups }),
        stdin: if attached && request.attach_stdin { StdinMode::OpenOnce } else { StdinMode::Closed },
        privileged: request.privileged,
        attach,
    })
}

fn event(shared: &Shared, container: &Container, exec: &Exec, action: &str) {
    let command = exec.request.cmd.clone().unwrap_or_default().join(" ");
    let action = format!("{action}: {command}");
    let id = [("execID", exec.id.clone())];
    shared.tell(&container.settings, &container.published().name, &action, id);
}
