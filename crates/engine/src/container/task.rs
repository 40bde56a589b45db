//! The task that owns a container.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::network::EndpointSettings;
use shim::client::{RequestError, Supervisor};
use shim::{Event, ExitRecord, ExitStatus, RequestBody, Target};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::command::{AttachSlot, Command, Reply, StopRequest};
use super::published::{Live, Published, Run};
use super::stop::{AfterExit, Stopping};
use super::supervision;
use crate::create::restart_policy;
use crate::discovery::Named;
use crate::error::Error;
use crate::health::{self, Health, Probe};
use crate::restart::{BackOff, Ended, RestartPolicy};
use crate::settings::{ContainerRecord, Settings};
use crate::shared::Shared;
use crate::state::{State, Status};
use crate::volumes::Anonymous;
use crate::{signal, time};

/// The exit code of a container whose supervisor is gone without a word.
const LOST_EXIT_CODE: i32 = 137;

/// Whether the task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// The owner of one container.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<Settings>,
    policy: RestartPolicy,
    commands: mpsc::Receiver<Command>,
    publisher: watch::Sender<Arc<Published>>,
    pub(super) current: Published,
    pub(super) run: Option<Run>,
    /// The supervisor of the run before, which may still be unmounting.
    before: Option<Supervisor>,
    checker: Option<health::Checker>,
    slots: Vec<AttachSlot>,
    stopping: Option<Stopping>,
    after_exit: Vec<AfterExit>,
    restart_at: Option<Instant>,
    back_off: BackOff,
}

impl Task {
    /// A task for a container that does not run.
    pub(crate) fn new(
        shared: Arc<Shared>,
        settings: Arc<Settings>,
        commands: mpsc::Receiver<Command>,
        publisher: watch::Sender<Arc<Published>>,
    ) -> Self {
        let current = Published::clone(&publisher.borrow());
        // A record that was written has been checked.
        let policy = restart_policy(&settings.host_config).unwrap_or(RestartPolicy::No);
        Self {
            shared,
            settings,
            policy,
            commands,
            publisher,
            current,
            run: None,
            before: None,
            checker: None,
            slots: Vec::new(),
            stopping: None,
            after_exit: Vec::new(),
            restart_at: None,
            back_off: BackOff::default(),
        }
    }

    /// Takes over a run that went on while no engine watched.
    pub(crate) fn adopt(&mut self, run: Run, status: Status) {
        self.current.state.status = status;
        self.began(run);
    }

    /// Takes over an end that came while no engine watched, and what the restart policy makes of it.
    pub(crate) fn adopt_end(&mut self, record: Option<&ExitRecord>) {
        self.record_end(record);
        self.current.state.status = Status::Exited;
        self.save();
    }

    /// The container's ID.
    pub(crate) fn id(&self) -> &str {
        &self.settings.id
    }

    /// The network endpoints of the present run.
    pub(crate) fn endpoints(&self) -> &[network::EndpointInfo] {
        &self.current.endpoints
    }

    /// What its names are made of.
    pub(crate) fn named(&self) -> Named<'_> {
        let Published { name, networks, .. } = &self.current;
        Named { settings: &self.settings, name, networks }
    }

    /// Starts what the restart policy wants to run now that the engine has started.
    pub(crate) fn schedule_start_with_engine(&mut self) {
        let state = &self.current.state;
        let ended = matches!(state.status, Status::Exited | Status::Restarting);
        if ended && self.policy.restarts_with_engine(self.ended()) {
            self.current.state.status = Status::Restarting;
            let waits = !self.shared.links.of(&self.settings.id).is_empty();
            self.restart_at = (!waits).then(Instant::now);
            self.publish();
        }
    }

    /// What a container is linked to is started before it. Somebody may have started or stopped it meanwhile.
    fn start_with_engine(&mut self) {
        if self.current.state.status == Status::Restarting {
            self.restart_at.get_or_insert_with(Instant::now);
        }
    }

    /// Serves commands and watches the supervisor until the container is removed or the engine ends.
    pub(crate) async fn serve(mut self) {
        loop {
            let deadline = self.next_deadline();
            let flow = tokio::select! {
                biased;
                event = next_event(&mut self.run) => self.on_event(event).await,
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => Flow::End,
                },
                () = sleep_until(deadline) => self.on_deadline().await,
            };
            if flow == Flow::End {
                return;
            }
        }
    }

    async fn on_command(&mut self, command: Command) -> Flow {
        match command {
            Command::Start(reply) => answer(reply, self.start_by_request().await),
            Command::Stop(request, reply) => self.stop(&request, AfterExit::Tell(reply)).await,
            Command::Restart(request, reply) => self.restart(&request, reply).await,
            Command::Kill(number, reply) => self.kill(number, reply).await,
            Command::Pause(reply) => answer(reply, self.pause().await),
            Command::Unpause(reply) => answer(reply, self.unpause().await),
            Command::Rename(name, reply) => answer(reply, self.rename(name)),
            Command::Remove { force, volumes, reply } => {
                return self.remove_by_request(force, volumes, reply).await;
            }
            Command::Attach(slot) => self.attach(slot),
            Command::Health(probe) => self.on_health(probe),
            Command::Connect { network, settings, reply } => {
                answer(reply, self.connect(&network, *settings).await);
            }
            Command::Disconnect { network, force, reply } => {
                answer(reply, self.disconnect(&network, force).await);
            }
            Command::Unlink { alias, reply } => answer(reply, self.unlink(&alias).await),
            Command::FollowLinks => self.follow_links_or_warn().await,
            Command::StartWithEngine => self.start_with_engine(),
        }
        if self.current.removed { Flow::End } else { Flow::On }
    }

    // Starting.

    async fn start_by_request(&mut self) -> Result<(), Error> {
        match self.current.state.status {
            Status::Running => return Err(self.not_modified("started")),
            Status::Paused => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            Status::Created | Status::Exited | Status::Restarting => {}
        }
        self.restart_at = None;
        self.current.state.restart_count = 0;
        self.current.state.stopped_on_request = false;
        self.launch().await
    }

    async fn launch(&mut self) -> Result<(), Error> {
        if let Some(before) = self.before.take() {
            // An overlay is not to be mounted twice.
            let _ = before.ended().await;
        }
        let slots = std::mem::take(&mut self.slots);
        match supervision::start(&self.shared, &self.settings, &self.current, slots, Vec::new()).await {
            Ok(run) => {
                self.current.state.status = Status::Running;
                self.current.state.error.clear();
                self.current.state.exit_code = 0;
                self.current.state.oom_killed = false;
                self.began(run);
                self.network_events("connect", &self.current.endpoints);
                self.event("start", []);
                self.tell_linked();
                Ok(())
            }
            Err(error) => {
                self.failed_to_start(&error).await;
                Err(error)
            }
        }
    }

    fn began(&mut self, run: Run) {
        self.current.state.pid = run.pid;
        self.current.state.started_at = Some(run.started_at);
        self.current.state.finished_at =
            self.current.state.finished_at.filter(|_| self.current.state.exits > 0);
        self.current.endpoints = Arc::new(run.endpoints.clone());
        self.current.live = Some(Live { client: Arc::clone(&run.client), pid: run.pid });
        self.checker = health::Checker::start(&self.shared, &self.settings);
        self.current.health = self.checker.as_ref().map(|_| Arc::new(Health::starting()));
        self.run = Some(run);
        self.save();
    }

    async fn failed_to_start(&mut self, error: &Error) {
        let state = &mut self.current.state;
        state.error = error.to_string();
        state.exit_code = error.exit_code();
        if state.status == Status::Restarting {
            state.status = Status::Exited;
            state.exits += 1;
        }
        self.save();
        if self.settings.host_config.auto_remove {
            let _ = self.remove(true).await;
        }
    }

    // Ending.

    async fn stop(&mut self, request: &StopRequest, then: AfterExit) {
        if self.cancel_restart() {
            return self.after_exit(then).await;
        }
        if self.run.is_none() {
            return match then {
                AfterExit::Tell(reply) => answer(reply, Err(self.not_modified("stopped"))),
                then => self.after_exit(then).await,
            };
        }
        let stopping = Stopping::new(request);
        self.stopping = Some(self.stopping.map_or(stopping, |earlier| earlier.join(stopping)));
        self.current.state.stopped_on_request = true;
        self.after_exit.push(then);
        let number = request.signal.unwrap_or_else(|| self.stop_signal());
        if let Err(error) = self.send_signal(number).await {
            tracing::warn!(container = %self.settings.id, %error, "cannot send the stop signal");
        }
        self.save();
    }

    async fn restart(&mut self, request: &StopRequest, reply: Reply<()>) {
        self.stop(request, AfterExit::Start(reply)).await;
    }

    async fn kill(&mut self, number: i32, reply: Reply<()>) {
        if self.cancel_restart() {
            return answer(reply, Ok(()));
        }
        if self.run.is_none() {
            return answer(reply, Err(Error::NotRunning { id: self.settings.id.clone() }));
        }
        // As Docker has it, a signal that is meant to end the container also ends its restarts.
        if number == signal::KILL
            || number == self.stop_signal()
            || self.settings.config.stop_signal.is_empty()
        {
            self.current.state.stopped_on_request = true;
            self.save();
        }
        let sent = self.send_signal(number).await;
        match sent {
            Err(error) => answer(reply, Err(error)),
            Ok(()) if number == signal::KILL => self.after_exit.push(AfterExit::Tell(reply)),
            Ok(()) => answer(reply, Ok(())),
        }
    }

    /// Frozen processes get no signal, so a paused container is thawed with it.
    async fn send_signal(&mut self, number: i32) -> Result<(), Error> {
        let result = self.ask("signal", RequestBody::Signal { target: Target::Init, signal: number }).await;
        if result.is_ok() {
            self.event("kill", [("signal", number.to_string())]);
        }
        if self.current.state.status == Status::Paused {
            self.ask("unpause", RequestBody::Resume).await?;
            self.current.state.status = Status::Running;
            self.save();
        }
        result
    }

    fn stop_signal(&self) -> i32 {
        signal::parse(&self.settings.config.stop_signal).unwrap_or(signal::TERM)
    }

    /// Whether a restart that was about to happen was called off.
    fn cancel_restart(&mut self) -> bool {
        if self.current.state.status != Status::Restarting {
            return false;
        }
        self.restart_at = None;
        self.current.state.status = Status::Exited;
        self.current.state.stopped_on_request = true;
        self.save();
        true
    }

    async fn on_deadline(&mut self) -> Flow {
        let now = Instant::now();
        if self.stopping.is_some_and(|stopping| stopping.deadline.is_some_and(|deadline| deadline <= now)) {
            self.stopping = Some(Stopping { deadline: None });
            if let Err(error) = self.send_signal(signal::KILL).await {
                tracing::warn!(container = %self.settings.id, %error, "cannot kill");
            }
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            self.current.state.restart_count += 1;
            if let Err(error) = self.launch().await {
                tracing::warn!(container = %self.settings.id, %error, "cannot restart");
            }
        }
        if self.current.removed { Flow::End } else { Flow::On }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stop = self.stopping.and_then(|stopping| stopping.deadline);
        [stop, self.restart_at].into_iter().flatten().min()
    }

    // What the supervisor tells.

    async fn on_event(&mut self, event: Option<Event>) -> Flow {
        match event {
            Some(Event::Exited(record)) => self.exited(Some(record)).await,
            Some(Event::ExecExited { exec_id, status, finished_at }) => {
                self.exec_exited(&exec_id, status, finished_at)
            }
            Some(Event::OutOfMemory) => self.event("oom", []),
            Some(Event::Detached(target)) => self.detached(&target),
            None => self.supervisor_gone().await,
        }
        if self.current.removed { Flow::End } else { Flow::On }
    }

    fn exec_exited(&mut self, exec_id: &str, status: ExitStatus, finished_at: i64) {
        self.shared.execs.finish(exec_id, status.code(), finished_at);
        self.event("exec_die", [("execID", exec_id.to_owned()), ("exitCode", status.code().to_string())]);
    }

    fn detached(&mut self, target: &Target) {
        match target {
            Target::Init => self.event("detach", []),
            Target::Exec(exec_id) => self.event("exec_detach", [("execID", exec_id.clone())]),
        }
    }

    /// The connection is lost: either the end was missed, or the supervisor was killed and the container with it.
    async fn supervisor_gone(&mut self) {
        let record = supervision::read_exit_record(&self.shared.files(&self.settings.id).exit_record());
        if record.is_none() {
            tracing::warn!(container = %self.settings.id, "supervisor is gone");
            self.shared.clean_up_after_supervisor(&self.settings).await;
            self.current.state.error = "the container's supervisor was killed".to_owned();
        }
        self.exited(record).await;
    }

    async fn exited(&mut self, record: Option<ExitRecord>) {
        let left = Arc::clone(&self.current.endpoints);
        let ran = self.record_end(record.as_ref());
        let restarts = self.policy.restarts_after(self.ended());
        let state = &mut self.current.state;
        let attributes =
            [("exitCode", state.exit_code.to_string()), ("execDuration", ran.as_secs().to_string())];
        if restarts && self.after_exit.is_empty() {
            state.status = Status::Restarting;
            self.restart_at = Some(Instant::now() + self.back_off.next(ran));
        } else {
            state.status = Status::Exited;
        }
        self.save();
        self.event("die", attributes);
        self.network_events("disconnect", &left);
        self.finish_run().await;
    }

    /// Notes the end of a run in the state, and says how long it was.
    fn record_end(&mut self, record: Option<&ExitRecord>) -> Duration {
        let run = self.run.take();
        self.before = run.as_ref().map(|run| run.client.supervisor());
        drop(self.checker.take());
        self.stopping = None;
        self.shared.release_endpoints(&std::mem::take(&mut self.current.endpoints));
        supervision::remove_run_dir(&self.shared.config.shim_dir(&self.settings.id));
        self.shared.execs.container_ended(&self.settings.id);
        let state = &mut self.current.state;
        let finished_at = record.map_or_else(time::now, |record| record.finished_at);
        let started_at = record.map_or(state.started_at, |record| Some(record.started_at));
        state.exit_code = record.map_or(LOST_EXIT_CODE, |record| record.status.code());
        state.oom_killed = record.is_some_and(|record| record.oom_killed);
        state.started_at = started_at;
        state.finished_at = Some(finished_at);
        state.pid = 0;
        state.exits += 1;
        self.current.live = None;
        let ran = finished_at.saturating_sub(started_at.unwrap_or(finished_at));
        Duration::from_nanos(u64::try_from(ran).unwrap_or_default())
    }

    fn ended(&self) -> Ended {
        let state = &self.current.state;
        Ended {
            exit_code: state.exit_code,
            asked_for: state.stopped_on_request,
            restarts: state.restart_count,
        }
    }

    async fn finish_run(&mut self) {
        let waiting = std::mem::take(&mut self.after_exit);
        if self.current.state.stopped_on_request && !waiting.is_empty() {
            self.event("stop", []);
        }
        let removed_after = self.settings.host_config.auto_remove
            && self.current.state.status == Status::Exited
            && !waiting.iter().any(|then| matches!(then, AfterExit::Start(_)));
        for then in waiting {
            self.after_exit(then).await;
        }
        if removed_after
            && !self.current.removed
            && let Err(error) = self.remove(true).await
        {
            tracing::warn!(container = %self.settings.id, %error, "cannot remove");
        }
    }

    async fn after_exit(&mut self, then: AfterExit) {
        match then {
            AfterExit::Tell(reply) => answer(reply, Ok(())),
            AfterExit::Start(reply) => {
                let result = self.start_by_request().await;
                if result.is_ok() {
                    self.event("restart", []);
                }
                answer(reply, result);
            }
            AfterExit::Remove { volumes, reply } => {
                let result = self.remove(volumes).await;
                answer(reply, result);
            }
        }
    }

    // Freezing.

    async fn pause(&mut self) -> Result<(), Error> {
        match self.current.state.status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::conflict(format!("container {} is already paused", self.settings.id)));
            }
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    self.settings.id
                )));
            }
            _ => return Err(Error::NotRunning { id: self.settings.id.clone() }),
        }
        self.ask("pause", RequestBody::Pause).await?;
        self.current.state.status = Status::Paused;
        self.save();
        self.event("pause", []);
        Ok(())
    }

    async fn unpause(&mut self) -> Result<(), Error> {
        if self.current.state.status != Status::Paused {
            return Err(Error::conflict(format!("Container {} is not paused", self.settings.id)));
        }
        self.ask("unpause", RequestBody::Resume).await?;
        self.current.state.status = Status::Running;
        self.save();
        self.event("unpause", []);
        Ok(())
    }

    // Clients and checks.

    fn attach(&mut self, slot: AttachSlot) {
        let Some(run) = &self.run else { return self.slots.push(slot) };
        let client = Arc::clone(&run.client);
        // Ends with the client's connection or the supervisor's.
        tokio::spawn(async move {
            if let Ok(socket) = slot.socket.await {
                let _ = client.request(RequestBody::Attach(slot.attach), vec![socket]).await;
            }
        });
    }

    fn on_health(&mut self, probe: Probe) {
        let (Some(health), Some(check)) = (&self.current.health, &self.settings.config.healthcheck) else {
            return;
        };
        let (health, change) = health.after(probe, check, self.current.state.started_at);
        self.current.health = Some(Arc::new(health));
        self.publish();
        if let Some(status) = change {
            self.event(&format!("health_status: {}", status.as_str()), []);
        }
    }

    // Name and removal.

    /// The engine has reserved the new name and frees the old one.
    fn rename(&mut self, name: String) -> Result<(), Error> {
        self.write_record(&name, &self.current.networks)?;
        let old = std::mem::replace(&mut self.current.name, name);
        self.rename_endpoints()?;
        if let Err(error) = self.shared.names.set(self.named(), &self.current.endpoints) {
            // The name is changed, whoever finds it.
            tracing::warn!(container = %self.settings.id, %error, "the new name does not resolve until the next change");
        }
        self.publish();
        self.event("rename", [("oldName", format!("/{old}"))]);
        Ok(())
    }

    async fn remove_by_request(&mut self, force: bool, volumes: bool, reply: Reply<()>) -> Flow {
        if self.cancel_restart_for_removal(force) || self.run.is_none() {
            let result = self.remove(volumes).await;
            let flow = if result.is_ok() { Flow::End } else { Flow::On };
            answer(reply, result);
            return flow;
        }
        if !force {
            answer(reply, Err(self.in_use()));
            return Flow::On;
        }
        self.current.state.stopped_on_request = true;
        self.after_exit.push(AfterExit::Remove { volumes, reply });
        if let Err(error) = self.send_signal(signal::KILL).await {
            tracing::warn!(container = %self.settings.id, %error, "cannot kill");
        }
        Flow::On
    }

    fn cancel_restart_for_removal(&mut self, force: bool) -> bool {
        force && self.cancel_restart()
    }

    fn in_use(&self) -> Error {
        let name = &self.current.name;
        Error::conflict(match self.current.state.status {
            Status::Paused => {
                format!("cannot remove container \"/{name}\": container is paused and must be unpaused first")
            }
            status => format!(
                "cannot remove container \"/{name}\": container is {}: stop the container before removing or force remove",
                status.as_str()
            ),
        })
    }

    /// Removes all that is left of the container. The record goes last: what is cut short is done again at the next start.
    async fn remove(&mut self, volumes: bool) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.current.state.status, Status::Removing);
        self.save();
        let (shared, settings) = (Arc::clone(&self.shared), Arc::clone(&self.settings));
        let anonymous = if volumes { Anonymous::Removed } else { Anonymous::Kept };
        let removed = spawn_blocking(move || shared.remove_files(&settings, anonymous));
        if let Err(error) = removed.await.expect("removing files does not panic") {
            self.current.state.status = if before == Status::Created { before } else { Status::Dead };
            self.save();
            return Err(error);
        }
        self.shared.forget(&self.settings.id);
        self.event("destroy", []);
        self.current.removed = true;
        self.publish();
        Ok(())
    }

    // Telling.

    /// Writes the state and publishes it. A state that cannot be written (a full disk) must not stop a container's life:
    /// it is written again at the next change, and found again from the supervisor at the next start.
    fn save(&mut self) {
        if let Err(error) = self.shared.store.put(&self.settings.id, &self.current.state) {
            tracing::error!(container = %self.settings.id, %error, "cannot write state");
        }
        self.publish();
    }

    /// Writes the container's record, with a name and networks that may be new.
    pub(super) fn write_record(
        &self,
        name: &str,
        networks: &BTreeMap<String, EndpointSettings>,
    ) -> Result<(), Error> {
        let settings = Settings {
            networks: networks.clone(),
            links: self.shared.links.of(&self.settings.id),
            ..Settings::clone(&self.settings)
        };
        let record = ContainerRecord { name: name.to_owned(), settings };
        Ok(self.shared.store.put(&self.settings.id, &record)?)
    }

    pub(super) fn publish(&self) {
        self.publisher.send_replace(Arc::new(self.current.clone()));
    }

    fn event<const N: usize>(&self, action: &str, more: [(&str, String); N]) {
        self.shared.tell(&self.settings, &self.current.name, action, more);
    }

    fn not_modified(&self, state: &'static str) -> Error {
        Error::NotModified { id: self.settings.id.clone(), state }
    }

    async fn ask(&self, action: &'static str, body: RequestBody) -> Result<(), Error> {
        let id = self.settings.id.clone();
        let Some(run) = &self.run else { return Err(Error::NotRunning { id }) };
        match run.client.request(body, Vec::new()).await {
            Ok(_) => Ok(()),
            Err(RequestError::Failed(failure)) => Err(Error::Supervisor { action, id, failure }),
            Err(error) => Err(Error::SupervisorLost { action, id, reason: supervision::chain(&error) }),
        }
    }
}

/// Whoever asked may have gone.
fn answer(reply: Reply<()>, result: Result<(), Error>) {
    let _ = reply.send(result);
}

async fn next_event(run: &mut Option<Run>) -> Option<Event> {
    match run {
        Some(run) => run.events.recv().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl State {
    /// Whether a container in this state is given a start at the engine's start without having run before.
    pub(crate) fn was_removed_half_way(&self) -> bool {
        matches!(self.status, Status::Removing | Status::Dead)
    }
}
