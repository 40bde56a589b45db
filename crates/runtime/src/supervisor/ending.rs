//! The ends of processes, of the container and of its supervisor.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use shim::log::Stream;
use shim::{Event, ExitRecord, Status, Target};

use super::process::{Exit, INIT, Process};
use super::services::Services;
use super::state::{Container, Phase, Supervisor};
use crate::hooks::{self, HookState, Kind};

/// How long outputs are waited for that somebody outside the container holds open.
const DRAIN: Duration = Duration::from_secs(2);

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Supervisor {
    /// A process of the container has been reaped.
    pub(super) fn process_ended(&mut self, number: u32) {
        if number == INIT {
            self.first_process_ended();
        } else {
            self.further_process_ended(number);
        }
    }

    fn first_process_ended(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        if let Some(container) = &self.container
            && !container.private_pids
            && let Err(error) = container.cgroup.kill_all()
        {
            // In a namespace of their own the kernel has killed them with the first one.
            super::complain(format_args!("cannot kill what the container left: {error}"));
        }
        self.drain_until = Some(Instant::now() + DRAIN);
        let numbers: Vec<u32> = self.processes.keys().copied().collect();
        for number in numbers {
            self.rearm(number);
        }
        self.check_container_end();
    }

    /// Everything that the process itself has written is in its pipes now; what its children write later goes nowhere.
    fn further_process_ended(&mut self, number: u32) {
        for stream in STREAMS {
            self.drain_output(number, stream);
        }
        let Some(process) = self.processes.get_mut(&number) else { return };
        process.reported = true;
        process.stdin = None;
        if let (Target::Exec(exec_id), Some(exit)) = (process.target.clone(), process.exit) {
            self.tell(Event::ExecExited { exec_id, status: exit.status, finished_at: exit.at });
        }
        self.close_clients(number);
        self.rearm(number);
        self.check_end(number);
    }

    /// Lets the clients of a process go once they have everything.
    fn close_clients(&mut self, process: u32) {
        let clients = self.clients.iter_mut().filter(|(_, client)| client.process == process);
        let numbers: Vec<u32> = clients
            .map(|(number, client)| {
                client.close();
                *number
            })
            .collect();
        for number in numbers {
            self.finish_client(number);
        }
    }

    /// An output has been closed.
    pub(super) fn check_end(&mut self, number: u32) {
        let process = self.processes.get(&number);
        if number != INIT && process.is_some_and(|process| process.reported && !process.has_output()) {
            self.processes.remove(&number);
        }
        self.check_container_end();
    }

    /// Whether the first process has ended, and everything with it.
    fn check_container_end(&mut self) {
        let Some(init) = self.processes.get(&INIT) else { return };
        let over = |process: &Process| !process.is_running() && !process.has_output();
        if self.phase == Phase::Serving && !init.is_running() && self.processes.values().all(over) {
            self.end_container();
        }
    }

    /// Does not wait any longer for outputs that somebody still holds open, or for processes that do not die.
    pub(super) fn give_up_outputs(&mut self) {
        let numbers: Vec<u32> = self.processes.keys().copied().collect();
        for number in numbers {
            for stream in STREAMS {
                self.drain_output(number, stream);
                if let Some(process) = self.processes.get_mut(&number) {
                    process.close_output(&self.poll, stream);
                }
            }
        }
        if self.phase == Phase::Serving {
            self.end_container();
        }
    }

    /// All output has been read: makes the end known.
    fn end_container(&mut self) {
        self.drain_until = None;
        // What is known of its end comes before it.
        self.take_memory_event();
        let init = self.processes.get(&INIT);
        let Some((pid, exit)) = init.and_then(|init| init.exit.map(|exit| (init.pid, exit))) else { return };
        let Some(mut container) = self.container.take() else { return };
        for stream in STREAMS {
            container.log.finish(stream);
        }
        let record = container.record(pid, exit);
        if container.has_poststop {
            run_poststop(&container.config());
        }
        if let Err(error) = record.write(&container.exit_path) {
            super::complain(format_args!("{error}: {:?}", std::error::Error::source(&error)));
        }
        container.status = Status::Exited;
        container.exit = Some(record.clone());
        self.leave(&container.run_dir);
        self.tell(Event::Exited(record));
        self.finish_all_clients();
        // Nobody waits for this.
        if let Err(error) = container.cgroup.remove() {
            super::complain(format_args!("cannot remove the control groups: {error}"));
        }
        self.container = Some(container);
    }

    /// Gives up the container: nobody can connect or start anything any more.
    pub(super) fn leave(&mut self, run_dir: &Path) {
        self.stop_listening();
        self.services = Services::default();
        for name in [shim::client::SOCKET_FILE, super::requests::PID_FILE] {
            let path = run_dir.join(name);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                super::complain(format_args!("cannot remove {}: {error}", path.display()));
            }
        }
        self.phase = Phase::Ending;
    }

    /// Attached clients get what they have not read yet, and then the end.
    pub(super) fn finish_all_clients(&mut self) {
        let numbers: Vec<u32> = self.processes.keys().copied().collect();
        for number in numbers {
            self.close_clients(number);
        }
        // Their processes may be gone from the list already.
        let rest: Vec<u32> = self.clients.keys().copied().collect();
        for number in rest {
            if let Some(client) = self.clients.get_mut(&number) {
                client.close();
            }
            self.finish_client(number);
        }
        self.processes.clear();
    }
}

impl Container {
    fn record(&self, pid: i32, exit: Exit) -> ExitRecord {
        let killed = self.cgroup.oom_kill_count().unwrap_or(0) > 0;
        ExitRecord {
            id: self.id.clone(),
            pid,
            status: exit.status,
            oom_killed: killed || self.out_of_memory,
            started_at: self.started_at.unwrap_or(exit.at),
            finished_at: exit.at,
        }
    }
}

fn run_poststop(config: &shim::Config) {
    let hooks = hooks::of(&config.spec, Kind::Poststop);
    let state = HookState::new(&config.id, &config.spec, &config.run_dir).with("stopped", None);
    if let Err(error) = hooks::run(Kind::Poststop, hooks, &state) {
        super::complain(format_args!("{error}"));
    }
}
