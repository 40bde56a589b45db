//! Packets to a port, passed on by a socket for each client, by which the answers come back.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use sys::datagram::{self, Arrival};

use super::{SESSIONS, open, token};
use crate::supervisor::poll::{Poll, Source};

/// Clients at a time; a further one takes the place of the one that has been silent longest.
const MAX_SESSIONS: usize = 512;
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(90);
/// Packets taken at a time.
const BATCH: usize = 32;

/// One port.
#[derive(Debug)]
pub(super) struct Packets {
    source: Source,
    target: SocketAddr,
    /// Its sessions have numbers of their own among those of all ports.
    base: u32,
    next: u32,
    sessions: BTreeMap<u32, Session>,
    clients: BTreeMap<Client, u32>,
}

/// A client, and which of the host's addresses it asks: answers come from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Client {
    address: SocketAddrV6,
    asks: Option<Arrival>,
}

#[derive(Debug)]
struct Session {
    source: Source,
    client: Client,
    until: Instant,
}

impl Packets {
    pub(super) fn new(source: Source, target: SocketAddr, number: u32) -> Self {
        // 2^16 numbers for each of 2^14 ports.
        let base = SESSIONS + ((number % (1 << 14)) << 16);
        Self { source, target, base, next: 0, sessions: BTreeMap::new(), clients: BTreeMap::new() }
    }

    /// Passes on what clients have sent. Like any network, it may lose packets.
    pub(super) fn take(&mut self, poll: &Poll, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Ok(packet) = datagram::receive(self.source.as_fd(), buffer) else { return };
            let client = Client { address: packet.from, asks: packet.arrival };
            if let Some(session) = self.session(poll, client) {
                session.until = Instant::now() + IDLE;
                let _ = send(session.source.as_fd(), &buffer[..packet.length], SendFlags::DONTWAIT);
            }
        }
    }

    /// Passes answers of the container back, if the session of this number is one of this port.
    pub(super) fn answer(&mut self, number: u32, buffer: &mut [u8]) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        for _ in 0..BATCH {
            match recv(session.source.as_fd(), &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    session.until = Instant::now() + IDLE;
                    let (socket, packet) = (self.source.as_fd(), &buffer[..length]);
                    let Client { address, asks } = session.client;
                    let _ = datagram::send(socket, packet, address, asks);
                }
                // Nothing more, or nobody listens there; reading has cleared that error.
                Err(_) => return,
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sessions.values().map(|session| session.until).min()
    }

    pub(super) fn end_idle(&mut self, now: Instant) {
        self.sessions.retain(|_, session| session.until > now);
        let sessions = &self.sessions;
        self.clients.retain(|_, number| sessions.contains_key(number));
    }

    fn session(&mut self, poll: &Poll, client: Client) -> Option<&mut Session> {
        if let Some(number) = self.clients.get(&client).copied() {
            return self.sessions.get_mut(&number);
        }
        if self.sessions.len() >= MAX_SESSIONS {
            self.forget_the_most_silent();
        }
        let number = self.free_number();
        let mut source = Source::new(open(SocketType::DGRAM, self.target).ok()?, token(number));
        source.arm(poll, EventFlags::IN);
        self.clients.insert(client, number);
        let session = Session { source, client, until: Instant::now() + IDLE };
        Some(self.sessions.entry(number).or_insert(session))
    }

    fn free_number(&mut self) -> u32 {
        loop {
            self.next = (self.next + 1) % (1 << 16);
            let number = self.base + self.next;
            if !self.sessions.contains_key(&number) {
                return number;
            }
        }
    }

    fn forget_the_most_silent(&mut self) {
        let silent = self.sessions.iter().min_by_key(|(_, session)| session.until);
        if let Some(number) = silent.map(|(number, _)| *number)
            && let Some(session) = self.sessions.remove(&number)
        {
            self.clients.remove(&session.client);
        }
    }
}
