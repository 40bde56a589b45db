//! The gate between a created container and its running program, and the talk of the two sides of a creation.
//!
//! ```text
//! parent                          container's process
//!        ── Mapped ─────────────>   (only with a user namespace)
//!        <───────────── Hooks ──    (only with hooks that run outside)
//!        ── HooksDone ──────────>
//!        <───────────── Ready ──    with the terminal, or Failed
//!        ── Start ──────────────>
//!        <──── end of stream ───    it executes its program, or Failed
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use shim::{Failure, FailureKind};
use sys::{Errno, message};

use crate::error::{Error, Step};

/// The longest report; a longer text is cut.
const MAX_PACKET: usize = 16 * 1024;

/// What the parent tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Mapped = b'M' as isize,
    HooksDone = b'H' as isize,
    Start = b'S' as isize,
}

/// What the container's process tells.
#[derive(Debug)]
pub(crate) enum Report {
    Hooks,
    Ready(Option<OwnedFd>),
    Failed(Failure),
    End,
}

/// The parent's side.
#[derive(Debug)]
pub(crate) struct ParentSide(pub(crate) OwnedFd);

impl ParentSide {
    /// A process that has ended is found by its missing report, so that a failure to tell it is none.
    pub(crate) fn tell(&self, order: Order) {
        let _ = message::send(&self.0, &[order as u8], &[]);
    }

    pub(crate) fn listen(&self) -> Result<Report, Error> {
        match message::receive(&self.0, MAX_PACKET) {
            Ok((bytes, descriptors)) => Ok(parse_report(&bytes, descriptors)),
            Err(Errno::CONNRESET) => Ok(Report::End),
            Err(errno) => Err(errno).step("read the report of the container's process"),
        }
    }

    /// Lets the process execute its program.
    pub(crate) fn start(self) -> Result<(), Error> {
        self.tell(Order::Start);
        match self.listen()? {
            Report::End => Ok(()),
            Report::Failed(failure) => Err(Error::Process(failure)),
            Report::Hooks | Report::Ready(_) => Err(Error::Ended { stage: "starting" }),
        }
    }
}

fn parse_report(bytes: &[u8], mut descriptors: Vec<OwnedFd>) -> Report {
    match bytes.split_first() {
        None => Report::End,
        Some((b'H', _)) => Report::Hooks,
        Some((b'R', _)) => Report::Ready(descriptors.pop()),
        Some((kind, text)) => Report::Failed(Failure {
            kind: failure_kind(*kind),
            message: String::from_utf8_lossy(text).into_owned(),
        }),
    }
}

const FAILURE_KINDS: [(u8, FailureKind); 6] = [
    (b'c', FailureKind::CommandNotFound),
    (b'x', FailureKind::NotExecutable),
    (b'n', FailureKind::NotFound),
    (b'o', FailureKind::Conflict),
    (b'i', FailureKind::Invalid),
    (b's', FailureKind::System),
];

fn failure_kind(letter: u8) -> FailureKind {
    FAILURE_KINDS.iter().find(|(known, _)| *known == letter).map_or(FailureKind::System, |(_, kind)| *kind)
}

fn failure_letter(kind: FailureKind) -> u8 {
    FAILURE_KINDS.iter().find(|(_, known)| *known == kind).map_or(b's', |(letter, _)| *letter)
}

/// The side of the container's process.
#[derive(Debug)]
pub(crate) struct ChildSide(pub(crate) OwnedFd);

impl ChildSide {
    /// Waits for an order; the end of the parent is the end of this process.
    pub(crate) fn expect(&self, order: Order) {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.0, &mut byte) {
                Ok(1) if byte[0] == order as u8 => return,
                Err(Errno::INTR) => {}
                _ => sys::process::exit_now(1),
            }
        }
    }

    /// Waits for the start; `false` where the other side went away without it.
    pub(crate) fn wait_for_start(&self) -> bool {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.0, &mut byte) {
                Ok(count) => return count == 1 && byte[0] == Order::Start as u8,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    pub(crate) fn ask_for_hooks(&self) {
        let _ = rustix::io::write(&self.0, b"H");
    }

    pub(crate) fn ready(&self, terminal: Option<BorrowedFd<'_>>) {
        let _ = message::send(&self.0, b"R", terminal.as_slice());
    }

    /// Written without ancillary data: a filter may be loaded already that allows little more than `write`.
    pub(crate) fn fail(&self, error: &Error) {
        let mut packet = vec![failure_letter(error.kind())];
        packet.extend_from_slice(error.to_string().as_bytes());
        packet.truncate(MAX_PACKET);
        let _ = rustix::io::write(&self.0, &packet);
    }
}

impl AsFd for ChildSide {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A connected pair of sides.
pub(crate) fn sides() -> Result<(ParentSide, ChildSide), Error> {
    let (parent, child) = message::pair().step("make a socket pair")?;
    Ok((ParentSide(parent), ChildSide(child)))
}

/// Holds a created process back; dropping it ends the process.
#[derive(Debug)]
pub struct StartGate {
    side: ParentSide,
}

impl StartGate {
    pub(crate) fn new(side: ParentSide) -> Self {
        Self { side }
    }

    /// Takes a connection to the listening socket that a process was created with, see
    /// [`GateKind::Listener`](crate::GateKind::Listener).
    pub fn connected(socket: OwnedFd) -> Self {
        Self { side: ParentSide(socket) }
    }

    /// Lets the process execute its program, and returns once it does.
    ///
    /// # Errors
    /// What the process reports, by kind: a program that is missing or cannot be executed, a hook that failed, …
    pub fn start(self) -> Result<(), Error> {
        self.side.start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_arrives_with_its_kind() {
        let (parent, child) = sides().expect("sides");
        child.fail(&Error::CommandNotFound("exec: \"x\"".to_owned()));
        let Report::Failed(failure) = parent.listen().expect("report") else { panic!("a failure") };
        assert_eq!(failure.kind, FailureKind::CommandNotFound);
        assert_eq!(failure.message, "exec: \"x\"");
    }

    #[test]
    fn closed_side_is_the_end() {
        let (parent, child) = sides().expect("sides");
        drop(child);
        assert!(matches!(parent.listen().expect("report"), Report::End));
    }

    #[test]
    fn every_kind_has_a_letter_of_its_own() {
        for (letter, kind) in FAILURE_KINDS {
            assert_eq!(failure_letter(kind), letter);
            assert_eq!(failure_kind(letter), kind);
        }
    }
}
