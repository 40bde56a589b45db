//! The container's name server.
//!
//! [`dns`] knows the names and writes the answers; here are the sockets. What nobody here knows is asked outside
//! ([`forwarder`]), and the answer passes through. Clients come by packets or by connections ([`streams`]).

mod forwarder;
mod frames;
mod streams;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use dns::{Alias, Answer, Host, TableReader, Transport, Zone};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use shim::{Failure, NameService, ServiceKind};

use super::netns::Networks;
use super::poll::{Poll, Token};
use super::requests::{invalid, system};
use super::services::Service;
use forwarder::{Forwarder, Outcome};
use streams::Streams;

/// The numbers of the sockets that come from the engine. Others are counted from here.
const PACKETS: u32 = 0;
const LISTENER: u32 = 1;
/// Packets taken at a time, so that a flood of them does not hold the container's output up.
const BATCH: usize = 32;
/// The longest query that is taken.
const MAX_QUERY: usize = 4096;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Packet(SocketAddr),
    Stream(u32),
}

impl Asker {
    fn transport(self) -> Transport {
        match self {
            Self::Packet(_) => Transport::Udp,
            Self::Stream(_) => Transport::Tcp,
        }
    }
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Done,
    /// It waits for a server outside.
    Asked,
}

/// The name server of one container.
#[derive(Debug)]
pub(super) struct NameServer {
    packets: OwnedFd,
    listener: OwnedFd,
    tables: Vec<TableReader>,
    hosts: Vec<Host>,
    aliases: Vec<Alias>,
    ask_single_names: bool,
    turns: Turns,
    streams: Streams,
    forwarder: Forwarder,
    last_number: u32,
}

impl NameServer {
    /// Serves on sockets that listen already.
    pub(super) fn start(
        poll: &Poll,
        networks: Rc<Networks>,
        told: NameService,
        sockets: Vec<OwnedFd>,
    ) -> Result<Self, Failure> {
        let sockets: Result<[OwnedFd; 2], _> = sockets.try_into();
        let [packets, listener] = sockets.map_err(|_| invalid("a name server needs two sockets"))?;
        for (socket, number) in [(&packets, PACKETS), (&listener, LISTENER)] {
            poll.add(socket, token(number)).map_err(|error| system("wait for queries", error))?;
        }
        let mut server = Self {
            packets,
            listener,
            tables: Vec::new(),
            hosts: Vec::new(),
            aliases: Vec::new(),
            ask_single_names: true,
            turns: Turns::new(),
            streams: Streams::default(),
            forwarder: Forwarder::new(networks),
            last_number: LISTENER,
        };
        server.configure(told);
        Ok(server)
    }

    /// Takes over what the engine says. Tables that stay are not read again.
    pub(super) fn configure(&mut self, told: NameService) {
        let mut before = std::mem::take(&mut self.tables);
        let mut reader = |path| match before.iter().position(|table| *table.path() == path) {
            Some(at) => before.swap_remove(at),
            None => TableReader::new(path),
        };
        self.tables = told.tables.into_iter().map(&mut reader).collect();
        let host = |host: shim::HostName| Host {
            name: host.name.to_ascii_lowercase(),
            ipv4: host.ipv4,
            ipv6: host.ipv6,
        };
        self.hosts = told.hosts.into_iter().map(host).collect();
        let alias = |alias: shim::NameAlias| Alias {
            table: alias.table,
            name: alias.name.to_ascii_lowercase(),
            target: alias.target.to_ascii_lowercase(),
        };
        self.aliases = told.aliases.into_iter().map(alias).collect();
        self.ask_single_names = told.ask_single_names;
        self.forwarder.use_servers(told.servers);
    }

    fn number(&mut self) -> u32 {
        self.last_number = self.last_number.checked_add(1).unwrap_or(LISTENER + 1);
        self.last_number
    }

    /// Reads what has changed in the tables. Names that were read stay where that fails.
    fn refresh(&mut self) {
        for table in &mut self.tables {
            if let Err(error) = table.refresh() {
                super::complain(format_args!("cannot read names in {}: {error}", table.path().display()));
            }
        }
    }

    fn take_packets(&mut self, poll: &Poll) {
        self.refresh();
        let mut space = [0; MAX_QUERY + 1];
        for _ in 0..BATCH {
            match rustix::net::recvfrom(&self.packets, space.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _, Some(from))) if length <= MAX_QUERY => {
                    let Ok(from) = SocketAddr::try_from(from) else { continue };
                    self.take(poll, Asker::Packet(from), &space[..length]);
                }
                Err(Errno::AGAIN) => return,
                // Too long, or an error that came back for an earlier answer.
                _ => {}
            }
        }
    }

    /// Answers a query, or has it answered outside.
    fn take(&mut self, poll: &Poll, asker: Asker, query: &[u8]) -> Taken {
        let turn = self.turns.next();
        let zone = Zone {
            tables: self.tables.iter().map(TableReader::table).collect(),
            hosts: &self.hosts,
            aliases: &self.aliases,
            ask_single_names: self.ask_single_names,
        };
        match dns::answer(query, asker.transport(), &zone, turn) {
            Answer::Reply(reply) => self.reply(poll, asker, &reply),
            Answer::Forward => {
                let number = self.number();
                match self.forwarder.ask(poll, number, asker, query) {
                    None => return Taken::Asked,
                    Some(outcome) => self.reply(poll, asker, &outcome.reply),
                }
            }
            Answer::Ignore => {}
        }
        Taken::Done
    }

    /// A query that was asked outside has its answer.
    fn settle(&mut self, poll: &Poll, outcome: Outcome) {
        if let Asker::Stream(number) = outcome.asker {
            self.streams.answered(number);
        }
        self.reply(poll, outcome.asker, &outcome.reply);
    }

    /// Sends an answer. A client that has gone, or does not read, asks again if it still wants to know.
    fn reply(&mut self, poll: &Poll, asker: Asker, reply: &[u8]) {
        match asker {
            Asker::Packet(to) => {
                let _ = rustix::net::sendto(&self.packets, reply, SendFlags::DONTWAIT, &to);
            }
            Asker::Stream(number) => self.streams.send(poll, number, reply),
        }
    }

    fn accept(&mut self, poll: &Poll) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..BATCH {
            match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => {
                    let number = self.number();
                    self.streams.add(poll, number, socket);
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return,
            }
        }
    }

    fn serve_stream(&mut self, poll: &Poll, number: u32, flags: EventFlags) {
        let queries = self.streams.receive(poll, number, flags);
        if !queries.is_empty() {
            self.refresh();
            // All of them first: a connection with nothing to wait for is closed.
            self.streams.asked(number, queries.len());
        }
        for query in queries {
            if self.take(poll, Asker::Stream(number), &query) == Taken::Done {
                self.streams.answered(number);
            }
        }
        self.streams.rearm(poll, number);
    }
}

impl Service for NameServer {
    fn ready(&mut self, poll: &Poll, number: u32, flags: EventFlags) {
        match number {
            PACKETS => self.take_packets(poll),
            LISTENER => self.accept(poll),
            number if self.streams.contains(number) => self.serve_stream(poll, number, flags),
            number => {
                if let Some(outcome) = self.forwarder.ready(poll, number, flags) {
                    self.settle(poll, outcome);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.forwarder.deadline(), self.streams.deadline()].into_iter().flatten().min()
    }

    fn tick(&mut self, poll: &Poll, now: Instant) {
        self.streams.end_idle(now);
        for outcome in self.forwarder.tick(poll, now) {
            self.settle(poll, outcome);
        }
    }

    fn release(&mut self) {
        self.tables.iter_mut().for_each(TableReader::release);
        self.forwarder.release();
    }
}

fn token(number: u32) -> Token {
    Token::Service(ServiceKind::Names, number)
}

/// Numbers by which equal names take turns. Counting would not do: clients ask for two families in one breath, so that each
/// would see every other number only.
#[derive(Debug)]
struct Turns(u64);

impl Turns {
    fn new() -> Self {
        Self(u64::from(random_id()) << 16 | 1)
    }

    /// Marsaglia's xorshift.
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
}

/// A number that nobody can guess.
fn random_id() -> u16 {
    let mut bytes = [0; 2];
    // Two bytes are always given at once; without any the port of the socket is still to be guessed.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}
