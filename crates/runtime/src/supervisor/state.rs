//! What a supervisor knows, and its loop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use shim::{Config, Event, ExitRecord, ExitStatus, Message, Status};
use sys::process::Ended;
use sys::signalfd::SignalFd;

use super::attached::Client;
use super::control::{self, Connection};
use super::logging::ContainerLog;
use super::poll::{Poll, Ready, Token};
use super::process::{Exit, INIT, Process};
use super::services::Services;
use crate::cgroup::{Cgroup, OomWatch};
use crate::gate::StartGate;

/// Signals that must not end a supervisor: only its clients decide about the container.
const SIGNALS: [i32; 8] = [
    libc_signal::CHILD,
    libc_signal::TERM,
    libc_signal::INTERRUPT,
    libc_signal::HANGUP,
    libc_signal::QUIT,
    libc_signal::USER1,
    libc_signal::USER2,
    libc_signal::ALARM,
];

/// Numbers of signals on Linux, all architectures that Corten runs on.
mod libc_signal {
    use rustix::process::Signal;

    pub(super) const CHILD: i32 = Signal::CHILD.as_raw();
    pub(super) const TERM: i32 = Signal::TERM.as_raw();
    pub(super) const INTERRUPT: i32 = Signal::INT.as_raw();
    pub(super) const HANGUP: i32 = Signal::HUP.as_raw();
    pub(super) const QUIT: i32 = Signal::QUIT.as_raw();
    pub(super) const USER1: i32 = Signal::USR1.as_raw();
    pub(super) const USER2: i32 = Signal::USR2.as_raw();
    pub(super) const ALARM: i32 = Signal::ALARM.as_raw();
}

/// How long buffers are kept after the last output.
const QUIET: Duration = Duration::from_secs(1);

/// Everything of one supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) poll: Poll,
    signals: SignalFd,
    listener: Option<OwnedFd>,
    pub(super) connections: BTreeMap<u32, Connection>,
    pub(super) clients: BTreeMap<u32, Client>,
    /// By number; the container's first process is [`INIT`].
    pub(super) processes: BTreeMap<u32, Process>,
    pub(super) container: Option<Container>,
    pub(super) services: Services,
    pub(super) phase: Phase,
    /// What outputs are read into; empty while the container is quiet.
    pub(super) buffer: Vec<u8>,
    /// When memory is to be given back.
    pub(super) quiet_at: Option<Instant>,
    /// When outputs that are still open after the end of the first process are given up.
    pub(super) drain_until: Option<Instant>,
    next_number: u32,
}

/// The container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    /// Its [`Config`] as JSON, parsed again when it is needed: that is seldom, and it is large.
    pub(super) config: Vec<u8>,
    pub(super) exit_path: PathBuf,
    pub(super) run_dir: PathBuf,
    pub(super) has_poststop: bool,
    pub(super) terminal: bool,
    pub(super) private_pids: bool,
    pub(super) cgroup: Cgroup,
    /// Its mount namespace, held so that its end is not kept waiting by the unmounting, which writes back the whole file
    /// system below an overlay. That is left to the end of this process.
    pub(super) _mounts: Option<File>,
    pub(super) gate: Option<StartGate>,
    pub(super) log: ContainerLog,
    pub(super) memory: Option<OomWatch>,
    pub(super) out_of_memory: bool,
    pub(super) started_at: Option<i64>,
    pub(super) status: Status,
    pub(super) exit: Option<ExitRecord>,
}

/// Where the supervisor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No container yet.
    Waiting,
    /// There is a container.
    Serving,
    /// The container is gone; what has not been sent yet is being sent.
    Ending,
}

impl Container {
    /// The configuration.
    pub(super) fn config(&self) -> Config {
        serde_json::from_slice(&self.config).expect("written by this process")
    }
}

impl Supervisor {
    pub(super) fn new(control: OwnedFd) -> io::Result<Self> {
        let poll = Poll::new()?;
        let signals = SignalFd::new(&SIGNALS)?;
        poll.add(&signals, Token::Signals)?;
        let mut supervisor = Self {
            poll,
            signals,
            listener: None,
            connections: BTreeMap::new(),
            clients: BTreeMap::new(),
            processes: BTreeMap::new(),
            container: None,
            services: Services::default(),
            phase: Phase::Waiting,
            buffer: Vec::new(),
            quiet_at: None,
            drain_until: None,
            next_number: INIT + 1,
        };
        supervisor.connect(control);
        Ok(supervisor)
    }

    /// Serves until the container and everyone who waits for its output are done.
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.is_done() {
            for ready in self.poll.wait(self.patience())? {
                self.handle(ready);
            }
            self.tick();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        match self.phase {
            Phase::Waiting => self.connections.is_empty(),
            Phase::Serving => false,
            Phase::Ending => self.clients.is_empty() && self.connections.values().all(Connection::is_flushed),
        }
    }

    fn handle(&mut self, ready: Ready) {
        match ready.token {
            Token::Signals => self.take_signals(),
            Token::Listener => self.accept(),
            Token::Memory => self.take_memory_event(),
            Token::Connection(number) => self.serve(number, ready.flags),
            Token::Stdout(number) => self.take_output(number, shim::log::Stream::Stdout),
            Token::Stderr(number) => self.take_output(number, shim::log::Stream::Stderr),
            Token::Stdin(number) => self.flush_stdin(number),
            Token::Client(number) => self.serve_client(number, ready.flags),
            Token::Service(kind, number) => {
                self.services.ready(&self.poll, kind, number, ready.flags);
                self.stay_ready();
            }
        }
    }

    /// How long to wait at most.
    fn patience(&self) -> Option<Duration> {
        let deadlines = [self.quiet_at, self.drain_until, self.services.deadline(), self.memory_deadline()];
        let first = deadlines.into_iter().flatten().min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    /// Does what is due by time.
    fn tick(&mut self) {
        let (served, memory) = (self.services.deadline(), self.memory_deadline());
        if [self.quiet_at, self.drain_until, served, memory] == [None; 4] {
            return;
        }
        let now = Instant::now();
        if memory.is_some_and(|at| at <= now) {
            self.take_memory_event();
        }
        if served.is_some_and(|at| at <= now) {
            self.services.tick(&self.poll, now);
        }
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.quiet_at = None;
            self.release();
        }
        if self.drain_until.is_some_and(|until| until <= now) {
            self.give_up_outputs();
        }
    }

    /// Keeps buffers for as long as there is output.
    pub(super) fn stay_ready(&mut self) {
        self.quiet_at = Some(Instant::now() + QUIET);
    }

    /// Gives memory back.
    pub(super) fn release(&mut self) {
        self.buffer = Vec::new();
        self.clients.values_mut().for_each(Client::release);
        self.services.release();
        if let Some(container) = &mut self.container {
            container.log.release();
        }
        sys::allocator::release_unused();
    }

    /// A number for something new.
    pub(super) fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    fn connect(&mut self, socket: OwnedFd) {
        let number = self.number();
        self.connections.insert(number, Connection::new(socket, number, &self.poll));
    }

    /// Lets later engines connect.
    pub(super) fn listen(&mut self, listener: OwnedFd) -> Result<(), rustix::io::Errno> {
        self.poll.add(&listener, Token::Listener)?;
        self.listener = Some(listener);
        Ok(())
    }

    fn accept(&mut self) {
        while let Some(socket) = self.listener.as_ref().and_then(control::accept) {
            self.connect(socket);
        }
    }

    /// Takes no more connections.
    pub(super) fn stop_listening(&mut self) {
        // Closing it also ends the wait for it.
        self.listener = None;
    }

    fn serve(&mut self, number: u32, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let mut requests = Vec::new();
        let flushed = if flags.contains(EventFlags::OUT) { connection.flush(&self.poll) } else { Ok(()) };
        let received = connection.receive(&mut requests);
        for (request, descriptors) in requests {
            self.answer(number, request, descriptors);
        }
        if flushed.and(received).is_err() {
            self.disconnect(number);
        }
    }

    pub(super) fn disconnect(&mut self, number: u32) {
        if let Some(connection) = self.connections.remove(&number) {
            connection.close(&self.poll);
        }
    }

    pub(super) fn send(&mut self, number: u32, message: &Message) {
        if let Some(connection) = self.connections.get_mut(&number)
            && connection.send(&self.poll, message).is_err()
        {
            self.disconnect(number);
        }
    }

    /// Tells every connection.
    pub(super) fn tell(&mut self, event: Event) {
        let message = Message::Event(event);
        let numbers: Vec<u32> = self.connections.keys().copied().collect();
        for number in numbers {
            self.send(number, &message);
        }
    }

    fn take_signals(&mut self) {
        let mut child = false;
        loop {
            match self.signals.take() {
                Ok(Some(signal)) => child |= signal == libc_signal::CHILD,
                Ok(None) => break,
                Err(error) => {
                    super::complain(format_args!("cannot read signals: {error}"));
                    break;
                }
            }
        }
        if child {
            self.reap();
        }
    }

    /// Reaps whatever has ended: processes of the container, what they left behind, compressors.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, ended))) = sys::process::reap_any() {
            let process =
                self.processes.values_mut().find(|process| process.pid == pid && process.is_running());
            if let Some(process) = process {
                process.exit = Some(Exit { status: status_of(ended), at: shim::log::now() });
                let number = process.number;
                self.process_ended(number);
            }
        }
    }

    fn memory_deadline(&self) -> Option<Instant> {
        self.container.as_ref()?.memory.as_ref()?.deadline()
    }

    pub(super) fn take_memory_event(&mut self) {
        let Some(container) = &mut self.container else { return };
        let Some(watch) = &mut container.memory else { return };
        match watch.drain() {
            Ok(true) => {
                container.out_of_memory = true;
                self.tell(Event::OutOfMemory);
            }
            Ok(false) => {}
            Err(error) => {
                super::complain(format_args!("memory events: {error}"));
                container.memory = None;
            }
        }
    }
}

fn status_of(ended: Ended) -> ExitStatus {
    match ended {
        Ended::Exited(code) => ExitStatus::Code(code),
        Ended::Killed(signal) => ExitStatus::Signal(signal),
    }
}
