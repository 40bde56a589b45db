//! Clients that ask over connections.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::frames::{Frames, Received};
use super::{MAX_QUERY, token};
use crate::supervisor::poll::{Poll, Source};

/// Connections at a time; further ones are closed.
const MAX_STREAMS: usize = 64;
/// Queries of one connection that may wait for a server outside.
const MAX_WAITING: usize = 16;
/// Bytes of answers that may wait for a client to read them before its next queries are read.
const MAX_UNSENT: usize = 64 << 10;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(10);

/// The connections, by number.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeMap<u32, Stream>);

#[derive(Debug)]
struct Stream {
    source: Source,
    frames: Frames,
    /// Queries that are not answered yet.
    waiting: usize,
    /// The client sends nothing any more.
    ended: bool,
    until: Instant,
}

impl Streams {
    pub(super) fn add(&mut self, poll: &Poll, number: u32, socket: OwnedFd) {
        if self.0.len() >= MAX_STREAMS {
            return;
        }
        let mut source = Source::new(socket, token(number));
        source.arm(poll, EventFlags::IN);
        let until = Instant::now() + IDLE;
        self.0.insert(number, Stream { source, frames: Frames::default(), waiting: 0, ended: false, until });
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.contains_key(&number)
    }

    /// Sends what waits and reads what has come; returns whole queries.
    pub(super) fn receive(&mut self, poll: &Poll, number: u32, flags: EventFlags) -> Vec<Vec<u8>> {
        let Some(stream) = self.0.get_mut(&number) else { return Vec::new() };
        let received = stream.receive(flags);
        received.unwrap_or_else(|_| {
            self.close(poll, number);
            Vec::new()
        })
    }

    /// Queries are being worked on.
    pub(super) fn asked(&mut self, number: u32, count: usize) {
        if let Some(stream) = self.0.get_mut(&number) {
            stream.waiting += count;
            stream.until = Instant::now() + IDLE;
        }
    }

    /// One of them has its answer.
    pub(super) fn answered(&mut self, number: u32) {
        if let Some(stream) = self.0.get_mut(&number) {
            stream.waiting = stream.waiting.saturating_sub(1);
        }
    }

    pub(super) fn send(&mut self, poll: &Poll, number: u32, reply: &[u8]) {
        let Some(stream) = self.0.get_mut(&number) else { return };
        stream.frames.push(reply);
        match stream.frames.flush(stream.source.as_fd()) {
            Ok(()) => self.rearm(poll, number),
            Err(_) => self.close(poll, number),
        }
    }

    /// Waits for what can go on with a connection, and closes it where nothing can.
    pub(super) fn rearm(&mut self, poll: &Poll, number: u32) {
        let Some(stream) = self.0.get_mut(&number) else { return };
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::OUT, stream.frames.unsent() > 0);
        let has_room = stream.waiting < MAX_WAITING && stream.frames.unsent() < MAX_UNSENT;
        wanted.set(EventFlags::IN, !stream.ended && has_room);
        if wanted.is_empty() && stream.waiting == 0 {
            self.close(poll, number);
        } else {
            stream.source.arm(poll, wanted);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|stream| stream.until).min()
    }

    pub(super) fn end_idle(&mut self, now: Instant) {
        self.0.retain(|_, stream| stream.until > now);
    }

    fn close(&mut self, poll: &Poll, number: u32) {
        if let Some(mut stream) = self.0.remove(&number) {
            stream.source.disarm(poll);
        }
    }
}

impl Stream {
    fn receive(&mut self, flags: EventFlags) -> Result<Vec<Vec<u8>>, rustix::io::Errno> {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return Err(rustix::io::Errno::PIPE);
        }
        if flags.contains(EventFlags::OUT) {
            self.frames.flush(self.source.as_fd())?;
        }
        if !flags.contains(EventFlags::IN) {
            return Ok(Vec::new());
        }
        self.ended = self.frames.receive(self.source.as_fd())? == Received::End;
        let mut queries = Vec::new();
        while let Some(query) = self.frames.next(MAX_QUERY)? {
            queries.push(query);
        }
        Ok(queries)
    }
}
