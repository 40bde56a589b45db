//! Waiting for many descriptors at once.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use shim::ServiceKind;

/// Events taken at a time; what is left is reported again.
const EVENTS: usize = 16;

/// What a descriptor is to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Pending signals.
    Signals,
    /// The control socket.
    Listener,
    /// Want of memory in the container.
    Memory,
    /// A control connection.
    Connection(u32),
    /// Standard output, or the terminal, of a process.
    Stdout(u32),
    /// Standard error of a process.
    Stderr(u32),
    /// Standard input of a process.
    Stdin(u32),
    /// The socket of an attached client.
    Client(u32),
    /// A socket of a server, by a number of the server's.
    Service(ServiceKind, u32),
}

impl Token {
    fn pack(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Listener => (1, 0),
            Self::Memory => (2, 0),
            Self::Connection(number) => (3, number),
            Self::Stdout(number) => (4, number),
            Self::Stderr(number) => (5, number),
            Self::Stdin(number) => (6, number),
            Self::Client(number) => (7, number),
            Self::Service(ServiceKind::Names, number) => (8, number),
            Self::Service(ServiceKind::Relay, number) => (9, number),
        };
        kind << 32 | u64::from(number)
    }

    fn unpack(data: u64) -> Self {
        let number = data as u32;
        match data >> 32 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Memory,
            3 => Self::Connection(number),
            4 => Self::Stdout(number),
            5 => Self::Stderr(number),
            6 => Self::Stdin(number),
            7 => Self::Client(number),
            8 => Self::Service(ServiceKind::Names, number),
            _ => Self::Service(ServiceKind::Relay, number),
        }
    }
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) token: Token,
    pub(super) flags: EventFlags,
}

impl Poll {
    pub(super) fn new() -> Result<Self, Errno> {
        epoll::create(CreateFlags::CLOEXEC).map(Self)
    }

    /// Waits for a descriptor that stays for good.
    pub(super) fn add(&self, descriptor: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(&self.0, descriptor, EventData::new_u64(token.pack()), EventFlags::IN)
    }

    /// What is ready, at the latest after `limit`.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Result<Vec<Ready>, Errno> {
        let limit = limit.map(|limit| limit.try_into().expect("timeouts are short"));
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        match epoll::wait(&self.0, &mut space, limit.as_ref()) {
            Ok((events, _)) => {
                let ready = |event: &mut epoll::Event| Ready {
                    token: Token::unpack(event.data.u64()),
                    flags: event.flags,
                };
                Ok(events.iter_mut().map(ready).collect())
            }
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A descriptor that is waited for only at times.
#[derive(Debug)]
pub(super) struct Source {
    descriptor: OwnedFd,
    token: Token,
    armed: Option<EventFlags>,
}

impl Source {
    pub(super) fn new(descriptor: OwnedFd, token: Token) -> Self {
        Self { descriptor, token, armed: None }
    }

    /// Waits for these; errors and a hang-up are reported with any, and with none.
    pub(super) fn arm(&mut self, poll: &Poll, flags: EventFlags) {
        let data = EventData::new_u64(self.token.pack());
        let result = match self.armed {
            Some(armed) if armed == flags => return,
            Some(_) => epoll::modify(&poll.0, &self.descriptor, data, flags),
            None => epoll::add(&poll.0, &self.descriptor, data, flags),
        };
        match result {
            Ok(()) => self.armed = Some(flags),
            Err(error) => super::complain(format_args!("cannot wait for {:?}: {error}", self.token)),
        }
    }

    /// Stops waiting, for a hang-up too.
    pub(super) fn disarm(&mut self, poll: &Poll) {
        if self.armed.take().is_some() {
            // It is registered, so nothing can fail that matters.
            let _ = epoll::delete(&poll.0, &self.descriptor);
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_survives_packing() {
        let tokens = [
            Token::Signals,
            Token::Listener,
            Token::Memory,
            Token::Connection(7),
            Token::Stdout(0),
            Token::Stderr(u32::MAX),
            Token::Stdin(1),
            Token::Client(9),
            Token::Service(ServiceKind::Names, 3),
            Token::Service(ServiceKind::Relay, u32::MAX),
        ];
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
