//! Terminals of the command line, and the life of a process in the foreground.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use sys::Errno;
use sys::process::Ended;
use sys::pty::{Size, resize};
use sys::signalfd::SignalFd;

use super::Failure;

/// Sends the master of a terminal to whoever will serve it.
pub(super) fn send(socket: &Path, master: &OwnedFd) -> Result<(), Failure> {
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connect(&stream, &SocketAddrUnix::new(socket)?)
        .map_err(|errno| format!("cannot connect to the console socket {socket:?}: {errno}"))?;
    Ok(sys::message::send(&stream, b"/dev/ptmx", &[master.as_fd()])?)
}

/// The signals that are passed on: all that a person or a service manager sends.
const FORWARDED: [i32; 8] = [
    libc_signal::HUP,
    libc_signal::INT,
    libc_signal::QUIT,
    libc_signal::TERM,
    libc_signal::USR1,
    libc_signal::USR2,
    libc_signal::CONT,
    libc_signal::WINCH,
];

mod libc_signal {
    use rustix::process::Signal;

    pub(super) const HUP: i32 = Signal::HUP.as_raw();
    pub(super) const INT: i32 = Signal::INT.as_raw();
    pub(super) const QUIT: i32 = Signal::QUIT.as_raw();
    pub(super) const TERM: i32 = Signal::TERM.as_raw();
    pub(super) const USR1: i32 = Signal::USR1.as_raw();
    pub(super) const USR2: i32 = Signal::USR2.as_raw();
    pub(super) const CONT: i32 = Signal::CONT.as_raw();
    pub(super) const WINCH: i32 = Signal::WINCH.as_raw();
}

/// Stays until a process ends; passes signals on, and copies between its terminal and this one. Returns its exit code.
pub(super) fn attend(pidfd: &OwnedFd, terminal: Option<OwnedFd>) -> Result<u8, Failure> {
    let signals = SignalFd::new(&FORWARDED)?;
    let _raw = terminal.as_ref().and_then(|_| RawMode::enter());
    if let Some(master) = &terminal {
        copy_size(master);
    }
    Relay { pidfd, signals, terminal: terminal.as_ref(), reads_input: true }.run()?;
    Ok(match sys::process::wait(pidfd)? {
        Ended::Exited(code) => code,
        Ended::Killed(signal) => 128 + signal,
    })
}

fn copy_size(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = resize(master, Size { width: size.ws_col, height: size.ws_row });
    }
}

struct Relay<'a> {
    pidfd: &'a OwnedFd,
    signals: SignalFd,
    terminal: Option<&'a OwnedFd>,
    reads_input: bool,
}

impl Relay<'_> {
    fn run(mut self) -> Result<(), Failure> {
        loop {
            let stdin = rustix::stdio::stdin();
            let input =
                if self.terminal.is_some() && self.reads_input { PollFlags::IN } else { PollFlags::empty() };
            let mut ready = vec![
                PollFd::new(self.pidfd, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(&stdin, input),
            ];
            ready.extend(self.terminal.map(|master| PollFd::new(master, PollFlags::IN)));
            match poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[1] {
                self.pass_signal()?;
            }
            if ready[2] && !input.is_empty() {
                self.reads_input = self.copy(stdin, self.terminal.map(AsFd::as_fd));
            }
            let has_output = ready.get(3).copied().unwrap_or(false);
            if has_output && !self.copy_output() {
                self.terminal = None;
            }
            // Output that is still there is copied before the end.
            if ready[0] && !(has_output && self.terminal.is_some()) {
                return Ok(());
            }
        }
    }

    fn pass_signal(&self) -> Result<(), Failure> {
        match (self.signals.take()?, self.terminal) {
            (Some(libc_signal::WINCH), Some(master)) => copy_size(master),
            (Some(signal), _) => {
                let _ = sys::process::signal(self.pidfd, signal);
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn copy_output(&self) -> bool {
        self.terminal.is_some_and(|master| self.copy(master.as_fd(), Some(rustix::stdio::stdout())))
    }

    /// Whether more may come.
    fn copy(&self, from: BorrowedFd<'_>, to: Option<BorrowedFd<'_>>) -> bool {
        let mut buffer = [0; 4096];
        let Ok(count @ 1..) = rustix::io::read(from, &mut buffer) else { return false };
        let mut rest = &buffer[..count];
        while let (Some(to), false) = (to, rest.is_empty()) {
            match rustix::io::write(to, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }
}

/// Passes every key on as it is; the former mode comes back at the end.
struct RawMode {
    former: Termios,
}

impl RawMode {
    fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let former = tcgetattr(stdin).ok()?;
        let mut raw = former.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { former })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.former);
    }
}
