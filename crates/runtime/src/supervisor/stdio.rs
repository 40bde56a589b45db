//! Standard input and output of a process, as its supervisor holds them.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use shim::StdinMode;

use super::poll::{Poll, Source, Token};
use crate::container::Stdio;

/// Input that is kept at most for a process that does not read.
const MAX_PENDING: usize = 64 << 10;

/// The supervisor's ends of a process without a terminal.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Pipes for a process, and the ends that it gets.
pub(super) fn pipes(stdin: StdinMode) -> Result<(Pipes, Stdio), Errno> {
    let (input, ours) = match stdin {
        StdinMode::Closed => (null()?, None),
        StdinMode::Open | StdinMode::OpenOnce => {
            let (read, write) = pipe()?;
            set_nonblocking(&write)?;
            (read, Some(write))
        }
    };
    let (stdout, output) = pipe()?;
    let (stderr, error) = pipe()?;
    set_nonblocking(&stdout)?;
    set_nonblocking(&stderr)?;
    Ok((Pipes { stdin: ours, stdout, stderr }, Stdio::Descriptors([input, output, error])))
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
}

fn null() -> Result<OwnedFd, Errno> {
    let file = File::open("/dev/null");
    file.map(OwnedFd::from).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Concerns the supervisor's end only: the process has its own.
pub(super) fn set_nonblocking(descriptor: impl AsFd) -> Result<(), Errno> {
    rustix::io::ioctl_fionbio(descriptor, true)
}

/// The writing end of a process's standard input.
#[derive(Debug)]
pub(super) struct Stdin {
    source: Source,
    pending: Vec<u8>,
    /// Closed once everything has been written.
    ending: bool,
}

/// Whether standard input can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StdinState {
    /// More is taken.
    Open,
    /// The process has to read first.
    Full,
    /// It is closed, by either side.
    Closed,
}

impl Stdin {
    pub(super) fn new(descriptor: OwnedFd, process: u32) -> Self {
        let source = Source::new(descriptor, Token::Stdin(process));
        Self { source, pending: Vec::new(), ending: false }
    }

    /// Adds input, and writes as much as the process takes.
    pub(super) fn write(&mut self, poll: &Poll, input: &[u8]) -> StdinState {
        if self.ending {
            return StdinState::Closed;
        }
        self.pending.extend_from_slice(input);
        self.flush(poll)
    }

    /// Ends the input after what has been added.
    pub(super) fn end(&mut self, poll: &Poll) -> StdinState {
        self.ending = true;
        self.flush(poll)
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self, poll: &Poll) -> StdinState {
        let mut written = 0;
        while written < self.pending.len() {
            match rustix::io::write(&self.source, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // The process has closed it.
                Err(_) => return StdinState::Closed,
            }
        }
        self.pending.drain(..written);
        if self.pending.is_empty() {
            self.pending = Vec::new();
            self.source.disarm(poll);
            return if self.ending { StdinState::Closed } else { StdinState::Open };
        }
        self.source.arm(poll, EventFlags::OUT);
        if self.pending.len() < MAX_PENDING { StdinState::Open } else { StdinState::Full }
    }

    /// Whether more is taken now.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING
    }
}
