//! Two connections that are passed on to each other.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use crate::supervisor::poll::{Poll, Source, Token};

/// How long the container may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    Ended,
}

/// A client's connection (0) and the one to the container (1).
#[derive(Debug)]
pub(super) struct Pair {
    ends: [End; 2],
    /// Until when the container has to answer; `None` once it has.
    connecting: Option<Instant>,
}

#[derive(Debug)]
struct End {
    source: Source,
    /// What the other end has sent and this one has not taken yet. Nothing more is read from there meanwhile.
    unsent: Vec<u8>,
    /// It sends nothing any more.
    ended: bool,
    /// It was told that nothing more comes.
    told_end: bool,
}

impl Pair {
    pub(super) fn new(sockets: [(OwnedFd, Token); 2]) -> Self {
        let ends = sockets.map(|(socket, token)| {
            // Small messages are not to wait here for more; without it they only come later.
            let _ = sockopt::set_tcp_nodelay(&socket, true);
            End { source: Source::new(socket, token), unsent: Vec::new(), ended: false, told_end: false }
        });
        Self { ends, connecting: Some(Instant::now() + CONNECT) }
    }

    /// Does what can be done now that one of them is ready.
    pub(super) fn ready(&mut self, which: usize, flags: EventFlags, buffer: &mut [u8]) -> Progress {
        if flags.contains(EventFlags::ERR) {
            return Progress::Ended;
        }
        if which == 1 && flags.contains(EventFlags::OUT) {
            self.connecting = None;
        }
        let done = self.flush(which).and_then(|()| {
            let readable = flags.intersects(EventFlags::IN | EventFlags::HUP);
            if readable { self.read(which, buffer) } else { Ok(()) }
        });
        let ended = self.ends.iter().all(|end| end.told_end);
        if done.is_err() || ended { Progress::Ended } else { Progress::Open }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connecting
    }

    /// Waits for what can go on.
    pub(super) fn arm(&mut self, poll: &Poll) {
        let connecting = self.connecting.is_some();
        for which in 0..2 {
            let other_has_room = self.ends[1 - which].unsent.is_empty();
            let end = &mut self.ends[which];
            let mut wanted = EventFlags::empty();
            wanted.set(EventFlags::IN, !connecting && !end.ended && other_has_room);
            wanted.set(EventFlags::OUT, !end.unsent.is_empty() || connecting && which == 1);
            if wanted.is_empty() {
                // A hang-up that cannot be acted upon would be reported again and again.
                end.source.disarm(poll);
            } else {
                end.source.arm(poll, wanted);
            }
        }
    }

    pub(super) fn disarm(&mut self, poll: &Poll) {
        self.ends.iter_mut().for_each(|end| end.source.disarm(poll));
    }

    /// Reads once, and passes on what has come.
    fn read(&mut self, from: usize, buffer: &mut [u8]) -> Result<(), Errno> {
        let to = 1 - from;
        if self.ends[from].ended || self.connecting.is_some() || !self.ends[to].unsent.is_empty() {
            return Ok(());
        }
        let length = match recv(self.ends[from].source.as_fd(), &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error),
        };
        if length == 0 {
            self.ends[from].ended = true;
            return self.tell_end(to);
        }
        let sent = self.ends[to].send(&buffer[..length])?;
        self.ends[to].unsent.extend_from_slice(&buffer[sent..length]);
        Ok(())
    }

    fn flush(&mut self, to: usize) -> Result<(), Errno> {
        let end = &mut self.ends[to];
        if end.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut end.unsent);
        let sent = end.send(&unsent)?;
        end.unsent.extend_from_slice(&unsent[sent..]);
        self.tell_end(to)
    }

    /// Passes the end on, once everything before it has been.
    fn tell_end(&mut self, to: usize) -> Result<(), Errno> {
        let (other_ended, end) = (self.ends[1 - to].ended, &mut self.ends[to]);
        if other_ended && end.unsent.is_empty() && !end.told_end {
            end.told_end = true;
            shutdown(end.source.as_fd(), Shutdown::Write)?;
        }
        Ok(())
    }
}

impl End {
    fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match send(self.source.as_fd(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            sent => sent,
        }
    }
}
