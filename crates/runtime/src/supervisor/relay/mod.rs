//! Ports of the host that the kernel's translation of addresses cannot lead to the container: IPv6 connections to a container
//! without such an address, and those to `::1`.
//!
//! The engine opens the sockets and hands them over, so that they are served while no engine runs. Connections are passed on
//! byte by byte ([`pair`]), packets by a socket for each client ([`packets`]). Everything is bounded: what goes over a bound
//! waits in the kernel or, in the case of packets, is dropped.

mod packets;
mod pair;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, connect, socket_with};
use shim::{Failure, RelayService, RelayedPort, ServiceKind, Transport};

use super::poll::{Poll, Source, Token};
use super::requests::{invalid, system};
use super::services::Service;
use packets::Packets;
use pair::{Pair, Progress};

/// Connections at a time; further ones wait in the kernel.
const MAX_PAIRS: u32 = 1024;
/// Connections taken at a time, so that many of them do not hold the container's output up.
const BATCH: usize = 16;
/// How long new connections are left alone when no further descriptor is to be had.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read at a time; the largest packet fits.
const BUFFER: usize = 64 << 10;

/// Which part of the numbers of sockets is whose: pairs have two each from 0 on.
const LISTENERS: u32 = 1 << 30;
const SESSIONS: u32 = 2 << 30;

/// The relay of one container.
#[derive(Debug, Default)]
pub(super) struct Relay {
    listeners: BTreeMap<u32, Listener>,
    pairs: BTreeMap<u32, Pair>,
    next_listener: u32,
    next_pair: u32,
    /// Until when no connection is taken.
    paused: Option<Instant>,
    buffer: Vec<u8>,
}

/// A port of the host.
#[derive(Debug)]
enum Listener {
    Stream { source: Source, target: SocketAddr },
    Packets(Packets),
}

impl Relay {
    /// Serves these ports, and those that were served before only where it is told to keep them. Connections go on.
    pub(super) fn configure(
        &mut self,
        poll: &Poll,
        told: RelayService,
        sockets: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        if told.ports.len() != sockets.len() {
            return Err(invalid("a relay needs one socket for each port"));
        }
        if !told.keep {
            self.listeners.clear();
        }
        for (port, socket) in told.ports.into_iter().zip(sockets) {
            self.add(poll, port, socket)?;
        }
        Ok(())
    }

    fn add(&mut self, poll: &Poll, port: RelayedPort, socket: OwnedFd) -> Result<(), Failure> {
        rustix::io::ioctl_fionbio(&socket, true)
            .map_err(|error| system("make a socket non-blocking", error))?;
        if port.transport == Transport::Packets {
            sys::datagram::want_arrivals(&socket)
                .map_err(|error| system("ask where packets come in", error))?;
        }
        // Thousands of millions of ports are not told in a container's life.
        let number = self.next_listener % LISTENERS;
        self.next_listener += 1;
        let mut source = Source::new(socket, token(LISTENERS + number));
        source.arm(poll, EventFlags::IN);
        let listener = match port.transport {
            Transport::Stream => Listener::Stream { source, target: port.target },
            Transport::Packets => Listener::Packets(Packets::new(source, port.target, number)),
        };
        self.listeners.insert(number, listener);
        Ok(())
    }

    fn accept(&mut self, poll: &Poll, number: u32) {
        for _ in 0..BATCH {
            if self.is_full() {
                self.rearm(poll);
                return;
            }
            let Some(Listener::Stream { source, target }) = self.listeners.get(&number) else { return };
            let target = *target;
            match accept_with(source.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => self.connect(poll, client, target),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.paused = Some(Instant::now() + PAUSE);
                    self.rearm(poll);
                    return;
                }
                Err(Errno::AGAIN) => return,
                // The client has gone away meanwhile.
                Err(_) => {}
            }
        }
    }

    fn connect(&mut self, poll: &Poll, client: OwnedFd, target: SocketAddr) {
        // Without a socket towards the container the client is told by the end of its connection.
        let Ok(server) = open(SocketType::STREAM, target) else { return };
        let number = self.free_pair();
        let mut pair = Pair::new([(client, token(2 * number)), (server, token(2 * number + 1))]);
        pair.arm(poll);
        self.pairs.insert(number, pair);
    }

    fn free_pair(&mut self) -> u32 {
        loop {
            self.next_pair = (self.next_pair + 1) % (LISTENERS / 2);
            if !self.pairs.contains_key(&self.next_pair) {
                return self.next_pair;
            }
        }
    }

    fn pass_on(&mut self, poll: &Poll, number: u32, flags: EventFlags) {
        let Some(pair) = self.pairs.get_mut(&(number / 2)) else { return };
        self.buffer.resize(BUFFER, 0);
        match pair.ready(number as usize % 2, flags, &mut self.buffer) {
            Progress::Open => pair.arm(poll),
            Progress::Ended => {
                pair.disarm(poll);
                self.pairs.remove(&(number / 2));
                self.rearm(poll);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.pairs.len() >= MAX_PAIRS as usize || self.paused.is_some()
    }

    /// Takes connections, or leaves them in the kernel.
    fn rearm(&mut self, poll: &Poll) {
        let full = self.is_full();
        for listener in self.listeners.values_mut() {
            match listener {
                Listener::Stream { source, .. } if full => source.disarm(poll),
                Listener::Stream { source, .. } => source.arm(poll, EventFlags::IN),
                Listener::Packets(_) => {}
            }
        }
    }

    fn packets(&mut self) -> impl Iterator<Item = &mut Packets> {
        self.listeners.values_mut().filter_map(|listener| match listener {
            Listener::Packets(packets) => Some(packets),
            Listener::Stream { .. } => None,
        })
    }
}

impl Service for Relay {
    fn ready(&mut self, poll: &Poll, number: u32, flags: EventFlags) {
        if number < LISTENERS {
            return self.pass_on(poll, number, flags);
        }
        if number >= SESSIONS {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER, 0);
            self.packets().for_each(|packets| packets.answer(number, &mut buffer));
            self.buffer = buffer;
            return;
        }
        let listener = number - LISTENERS;
        match self.listeners.get_mut(&listener) {
            Some(Listener::Packets(packets)) => {
                self.buffer.resize(BUFFER, 0);
                packets.take(poll, &mut self.buffer);
            }
            Some(Listener::Stream { .. }) => self.accept(poll, listener),
            None => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let listeners = self.listeners.values();
        let sessions = listeners.filter_map(|listener| match listener {
            Listener::Packets(packets) => packets.deadline(),
            Listener::Stream { .. } => None,
        });
        let connecting = self.pairs.values().filter_map(Pair::deadline);
        sessions.chain(connecting).chain(self.paused).min()
    }

    fn tick(&mut self, poll: &Poll, now: Instant) {
        self.packets().for_each(|packets| packets.end_idle(now));
        self.pairs.retain(|_, pair| pair.deadline().is_none_or(|deadline| deadline > now));
        if self.paused.is_some_and(|until| until <= now) {
            self.paused = None;
        }
        self.rearm(poll);
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
    }
}

fn token(number: u32) -> Token {
    Token::Service(ServiceKind::Relay, number)
}

/// A socket that is being connected.
fn open(kind: SocketType, target: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
