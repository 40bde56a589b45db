//! Queries that are asked outside.
//!
//! Each one has a socket of its own, so that whoever wants to forge an answer has to guess the port and the number. Servers
//! are asked one after the other; one that did not answer is asked last for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use dns::{MAX_MESSAGE, ResponseCode, Transport};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use shim::NameServer;

use super::frames::{Frames, Received};
use super::{Asker, random_id, token};
use crate::supervisor::netns::Networks;
use crate::supervisor::poll::{Poll, Source};

/// Queries that wait for an answer at a time, each with a descriptor; further ones are refused.
const MAX_PENDING: usize = 512;
/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a server that did not answer is asked last.
const MISTRUST: Duration = Duration::from_secs(10);
/// Packets taken from one socket at a time; all but the answer are forged or late.
const BATCH: usize = 8;
const PORT: u16 = 53;

/// A query is done with.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) asker: Asker,
    pub(super) reply: Vec<u8>,
}

/// The queries that wait, and whom they are asked.
#[derive(Debug)]
pub(super) struct Forwarder {
    networks: Rc<Networks>,
    servers: Vec<NameServer>,
    /// Servers that did not answer, and until when they are asked last.
    silent: Vec<(IpAddr, Instant)>,
    exchanges: BTreeMap<u32, Exchange>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// What packets are read into; empty while nothing is asked.
    space: Vec<u8>,
}

/// One query, asked of one server at a time.
#[derive(Debug)]
struct Exchange {
    asker: Asker,
    query: Vec<u8>,
    /// Servers that have not been asked, the next one last.
    left: Vec<NameServer>,
    attempt: Attempt,
}

#[derive(Debug)]
struct Attempt {
    server: IpAddr,
    id: u16,
    source: Source,
    /// Used where the query came over a connection.
    frames: Frames,
    until: Instant,
}

/// What came of a socket that is ready.
enum Progress {
    Waiting,
    Reply(Vec<u8>),
    Failed,
}

impl Forwarder {
    pub(super) fn new(networks: Rc<Networks>) -> Self {
        Self {
            networks,
            servers: Vec::new(),
            silent: Vec::new(),
            exchanges: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            space: Vec::new(),
        }
    }

    /// From now on asks these, in this order.
    pub(super) fn use_servers(&mut self, servers: Vec<NameServer>) {
        self.servers = servers;
        self.silent.clear();
    }

    /// Asks a query; what cannot be asked has its outcome at once.
    pub(super) fn ask(&mut self, poll: &Poll, number: u32, asker: Asker, query: &[u8]) -> Option<Outcome> {
        if self.exchanges.len() >= MAX_PENDING {
            return Some(Outcome { asker, reply: dns::failure(query, ResponseCode::Refused) });
        }
        let mut left = self.order();
        match self.next_attempt(poll, number, asker, query, &mut left) {
            Some(attempt) => {
                let exchange = Exchange { asker, query: query.to_vec(), left, attempt };
                self.exchanges.insert(number, exchange);
                None
            }
            None => Some(Outcome { asker, reply: dns::failure(query, ResponseCode::ServerFailure) }),
        }
    }

    /// Takes what came in on the socket of an exchange.
    pub(super) fn ready(&mut self, poll: &Poll, number: u32, flags: EventFlags) -> Option<Outcome> {
        let exchange = self.exchanges.get_mut(&number)?;
        let progress = match exchange.asker.transport() {
            Transport::Udp => exchange.take_packets(&mut self.space),
            Transport::Tcp => exchange.take_stream(poll, flags),
        };
        match progress {
            Progress::Waiting => None,
            Progress::Reply(reply) if dns::is_final(&reply) => {
                let exchange = self.remove(number)?;
                let id = exchange.query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                Some(Outcome { asker: exchange.asker, reply: dns::with_id(reply, id) })
            }
            // It is there, but has no answer to give.
            Progress::Reply(_) => self.ask_next(poll, number),
            Progress::Failed => self.give_up(poll, number),
        }
    }

    /// When the first server has had its time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Asks the next servers where one has had its time.
    pub(super) fn tick(&mut self, poll: &Poll, now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(&(until, number)) = self.deadlines.first()
            && until <= now
        {
            outcomes.extend(self.give_up(poll, number));
        }
        outcomes
    }

    /// Gives memory back.
    pub(super) fn release(&mut self) {
        self.space = Vec::new();
    }

    fn remove(&mut self, number: u32) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&number)?;
        self.deadlines.remove(&(exchange.attempt.until, number));
        Some(exchange)
    }

    /// The server of this attempt does not answer.
    fn give_up(&mut self, poll: &Poll, number: u32) -> Option<Outcome> {
        if let Some(exchange) = self.exchanges.get(&number) {
            let server = exchange.attempt.server;
            self.mistrust(server);
        }
        self.ask_next(poll, number)
    }

    fn ask_next(&mut self, poll: &Poll, number: u32) -> Option<Outcome> {
        let Exchange { asker, query, mut left, attempt } = self.remove(number)?;
        // Its descriptor goes before the next one is taken.
        drop(attempt);
        match self.next_attempt(poll, number, asker, &query, &mut left) {
            Some(attempt) => {
                self.exchanges.insert(number, Exchange { asker, query, left, attempt });
                None
            }
            None => Some(Outcome { asker, reply: dns::failure(&query, ResponseCode::ServerFailure) }),
        }
    }

    /// Asks the first of these servers that can be asked at all.
    fn next_attempt(
        &mut self,
        poll: &Poll,
        number: u32,
        asker: Asker,
        query: &[u8],
        left: &mut Vec<NameServer>,
    ) -> Option<Attempt> {
        while let Some(server) = left.pop() {
            let transport = asker.transport();
            let opened = self.networks.within(server.origin, || open(server.address, transport));
            let begun = opened.flatten().and_then(|socket| {
                Attempt::begin(poll, number, server.address, socket, transport, query.to_vec())
            });
            match begun {
                Ok(attempt) => {
                    self.deadlines.insert((attempt.until, number));
                    return Some(attempt);
                }
                Err(_) => self.mistrust(server.address),
            }
        }
        None
    }

    /// The servers, the first one to ask last.
    fn order(&mut self) -> Vec<NameServer> {
        if self.silent.is_empty() {
            return self.servers.iter().rev().copied().collect();
        }
        let now = Instant::now();
        self.silent.retain(|(_, until)| *until > now);
        let is_silent =
            |server: &NameServer| self.silent.iter().any(|(address, _)| *address == server.address);
        let (silent, good): (Vec<NameServer>, Vec<NameServer>) =
            self.servers.iter().copied().partition(is_silent);
        good.into_iter().chain(silent).rev().collect()
    }

    fn mistrust(&mut self, server: IpAddr) {
        self.silent.retain(|(address, _)| *address != server);
        self.silent.push((server, Instant::now() + MISTRUST));
    }
}

impl Attempt {
    fn begin(
        poll: &Poll,
        number: u32,
        server: IpAddr,
        socket: OwnedFd,
        transport: Transport,
        query: Vec<u8>,
    ) -> Result<Self, Errno> {
        let id = random_id();
        let query = dns::with_id(query, id);
        let mut frames = Frames::default();
        let wanted = match transport {
            Transport::Udp => {
                rustix::net::send(&socket, &query, SendFlags::DONTWAIT)?;
                EventFlags::IN
            }
            Transport::Tcp => {
                frames.push(&query);
                EventFlags::OUT
            }
        };
        let mut source = Source::new(socket, token(number));
        source.arm(poll, wanted);
        Ok(Self { server, id, source, frames, until: Instant::now() + PATIENCE })
    }
}

impl Exchange {
    fn take_packets(&mut self, space: &mut Vec<u8>) -> Progress {
        space.resize(MAX_MESSAGE, 0);
        for _ in 0..BATCH {
            match rustix::net::recv(&self.attempt.source, space.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) if self.is_answer(&space[..length]) => {
                    return Progress::Reply(space[..length].to_vec());
                }
                // Somebody else's words.
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Progress::Waiting,
                // Nobody listens there, or there is no way.
                Err(_) => return Progress::Failed,
            }
        }
        Progress::Waiting
    }

    fn take_stream(&mut self, poll: &Poll, flags: EventFlags) -> Progress {
        let Attempt { source, frames, .. } = &mut self.attempt;
        if flags.contains(EventFlags::OUT) {
            if frames.flush(source.as_fd()).is_err() {
                return Progress::Failed;
            }
            if frames.unsent() == 0 {
                source.arm(poll, EventFlags::IN);
            }
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Progress::Waiting;
        }
        let received = frames.receive(source.as_fd());
        match frames.next(MAX_MESSAGE) {
            Ok(Some(reply)) if self.is_answer(&reply) => Progress::Reply(reply),
            Ok(None) if matches!(received, Ok(Received::Some | Received::Nothing)) => Progress::Waiting,
            _ => Progress::Failed,
        }
    }

    fn is_answer(&self, reply: &[u8]) -> bool {
        dns::belongs_to(reply, &self.query, self.attempt.id)
    }
}

/// A socket of the calling thread's network namespace, connected to a server: what others send does not get in.
fn open(server: IpAddr, transport: Transport) -> Result<OwnedFd, Errno> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match transport {
        Transport::Udp => SocketType::DGRAM,
        Transport::Tcp => SocketType::STREAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddr::new(server, PORT)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
