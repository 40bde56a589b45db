//! The ways of output and input between processes, log and clients.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use shim::log::Stream;
use shim::{Attach, Event, StdinMode};

use super::attached::{Client, Gone, Received};
use super::process::{INIT, Process, Taken};
use super::state::Supervisor;

/// Bytes read at a time from a stream that says little.
const SMALL: usize = 16 << 10;

/// Bytes read at a time from a busy stream. More would not stay in the processor's cache until it is written.
const LARGE: usize = 256 << 10;

/// Bytes read at a time from a client.
const INPUT: usize = 32 << 10;

impl Supervisor {
    /// Connects a client's socket to a process.
    pub(super) fn attach(&mut self, process: u32, attach: Attach, socket: OwnedFd) {
        let Some(target) = self.processes.get(&process) else { return };
        let terminal = target.terminal.is_some() || (process == INIT && self.has_terminal());
        let number = self.number();
        let mut client = Client::new(socket, number, process, attach, terminal);
        client.arm(&self.poll);
        self.clients.insert(number, client);
    }

    fn has_terminal(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.terminal)
    }

    /// Reads a stream once, and passes on what it brings.
    pub(super) fn take_output(&mut self, number: u32, stream: Stream) {
        if self.is_held(number, stream) {
            return;
        }
        match self.read_output(number, stream) {
            Taken::Bytes(count) => {
                self.deliver(number, stream, count);
                self.stay_ready();
            }
            Taken::Nothing => {}
            Taken::End => self.end_output(number, stream),
        }
    }

    fn read_output(&mut self, number: u32, stream: Stream) -> Taken {
        let Some(process) = self.processes.get_mut(&number) else { return Taken::Nothing };
        if self.buffer.is_empty() {
            self.buffer = vec![0; SMALL];
        }
        let taken = process.read(stream, &mut self.buffer);
        if taken == Taken::Bytes(self.buffer.len()) && self.buffer.len() < LARGE {
            process.widen(stream);
            self.buffer.resize(LARGE, 0);
        }
        taken
    }

    /// Passes the first `count` bytes of the buffer on.
    fn deliver(&mut self, number: u32, stream: Stream, count: usize) {
        let data = &self.buffer[..count];
        if number == INIT
            && let Some(container) = &mut self.container
        {
            container.log.write(stream, data);
        }
        let mut gone = Vec::new();
        let mut behind = false;
        for (key, client) in &mut self.clients {
            if client.process == number && client.takes(stream) {
                match client.send(stream, data) {
                    Ok(()) => client.arm(&self.poll),
                    Err(Gone) => gone.push(*key),
                }
                behind |= client.is_behind();
            }
        }
        for client in gone {
            self.drop_client(client);
        }
        if behind {
            self.rearm(number);
        }
    }

    /// Whether a stream waits for a client. After the end of the process nobody holds it back: what is left is little.
    fn is_held(&self, number: u32, stream: Stream) -> bool {
        let running = self.processes.get(&number).is_some_and(Process::is_running);
        let mut clients = self.clients.values();
        running
            && clients.any(|client| client.process == number && client.takes(stream) && client.is_behind())
    }

    /// Waits for the outputs of a process that nobody holds back.
    pub(super) fn rearm(&mut self, number: u32) {
        let held = [Stream::Stdout, Stream::Stderr].map(|stream| self.is_held(number, stream));
        if let Some(process) = self.processes.get_mut(&number) {
            process.arm(&self.poll, |stream| held[usize::from(stream == Stream::Stderr)]);
        }
    }

    /// A stream has ended.
    pub(super) fn end_output(&mut self, number: u32, stream: Stream) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.close_output(&self.poll, stream);
        }
        if number == INIT
            && let Some(container) = &mut self.container
        {
            container.log.finish(stream);
        }
        self.check_end(number);
    }

    /// Reads what a stream holds at present.
    pub(super) fn drain_output(&mut self, number: u32, stream: Stream) {
        loop {
            match self.read_output(number, stream) {
                Taken::Bytes(count) => self.deliver(number, stream, count),
                Taken::Nothing => return,
                Taken::End => {
                    if let Some(process) = self.processes.get_mut(&number) {
                        process.close_output(&self.poll, stream);
                    }
                    return;
                }
            }
        }
    }

    /// Something happened to a client's socket.
    pub(super) fn serve_client(&mut self, number: u32, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush_client(number);
        }
        if flags.contains(EventFlags::IN) {
            self.take_input(number);
        }
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            self.take_last_input(number);
        }
    }

    fn flush_client(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let process = client.process;
        if client.flush().is_err() || client.is_done() {
            self.drop_client(number);
            return;
        }
        client.arm(&self.poll);
        if !client.is_behind() {
            self.rearm(process);
        }
    }

    /// Reads a client's input once.
    fn take_input(&mut self, number: u32) -> Option<Received> {
        let client = self.clients.get_mut(&number).filter(|client| client.is_heard())?;
        let mut buffer = vec![0; INPUT];
        let mut input = Vec::new();
        let received = client.receive(&mut buffer, &mut input);
        let process = client.process;
        if !input.is_empty() {
            self.pass_input(process, &input);
        }
        match received {
            Ok(Received::End) => self.input_ended(number),
            Ok(Received::Detach) => self.detach(number),
            Ok(Received::Input | Received::Nothing) => {}
            Err(Gone) => self.client_left(number),
        }
        received.ok()
    }

    /// Takes what a client sent before it left altogether. Where the process does not take it now, it stays in the socket.
    fn take_last_input(&mut self, number: u32) {
        while self.clients.get(&number).is_some_and(Client::is_heard) {
            if !matches!(self.take_input(number), Some(Received::Input)) {
                break;
            }
        }
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.may_write() && !client.is_heard() {
            client.disarm(&self.poll);
        } else {
            self.client_left(number);
        }
    }

    fn pass_input(&mut self, number: u32, input: &[u8]) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.write_stdin(&self.poll, input);
        }
        self.balance_input(number);
    }

    /// Standard input of a process takes more again.
    pub(super) fn flush_stdin(&mut self, number: u32) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.flush_stdin(&self.poll);
        }
        self.balance_input(number);
    }

    /// Hears clients only while their process takes what they say.
    fn balance_input(&mut self, number: u32) {
        let takes = self.processes.get(&number).is_none_or(Process::takes_input);
        for client in
            self.clients.values_mut().filter(|client| client.process == number && client.may_write())
        {
            if takes {
                client.resume()
            } else {
                client.hold()
            }
            client.arm(&self.poll);
        }
    }

    /// A client has ended its side. As Docker does it, that ends the input where it is open for one client only, and
    /// else the whole session.
    fn input_ended(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let once = self
            .processes
            .get_mut(&client.process)
            .filter(|process| process.stdin_mode == StdinMode::OpenOnce && process.terminal.is_none());
        match once {
            Some(process) => {
                process.end_stdin(&self.poll);
                client.arm(&self.poll);
            }
            None => {
                client.close();
                self.finish_client(number);
            }
        }
    }

    fn detach(&mut self, number: u32) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.close();
        let process = client.process;
        if let Some(process) = self.processes.get(&process) {
            let target = process.target.clone();
            self.tell(Event::Detached(target));
        }
        self.finish_client(number);
    }

    /// A client has vanished.
    fn client_left(&mut self, number: u32) {
        if let Some(client) = self.clients.get(&number)
            && client.has_stdin()
            && let Some(process) = self.processes.get_mut(&client.process)
            && process.stdin_mode == StdinMode::OpenOnce
        {
            process.end_stdin(&self.poll);
        }
        self.drop_client(number);
    }

    /// Lets a client go once it has everything.
    pub(super) fn finish_client(&mut self, number: u32) {
        match self.clients.get_mut(&number) {
            Some(client) if client.is_done() => self.drop_client(number),
            Some(client) => client.arm(&self.poll),
            None => {}
        }
    }

    pub(super) fn drop_client(&mut self, number: u32) {
        if let Some(mut client) = self.clients.remove(&number) {
            client.disarm(&self.poll);
            self.rearm(client.process);
        }
    }
}
