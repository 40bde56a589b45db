//! A process of the container that the supervisor is the parent of.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use shim::log::Stream;
use shim::{ExitStatus, StdinMode, Target};

use super::poll::{Poll, Source, Token};
use super::stdio::{Pipes, Stdin, StdinState, set_nonblocking};

/// The number of the container's first process.
pub(super) const INIT: u32 = 0;

/// Bytes that a busy pipe holds.
const PIPE_SIZE: usize = 1 << 20;

/// One process, its standard input and its outputs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) target: Target,
    pub(super) number: u32,
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) stdin_mode: StdinMode,
    /// The master of its terminal, to resize it.
    pub(super) terminal: Option<OwnedFd>,
    pub(super) stdin: Option<Stdin>,
    stdout: Option<Output>,
    stderr: Option<Output>,
    pub(super) exit: Option<Exit>,
    /// Its end has been told; what still holds its outputs open writes to nobody.
    pub(super) reported: bool,
}

/// How and when a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    pub(super) status: ExitStatus,
    pub(super) at: i64,
}

#[derive(Debug)]
struct Output {
    source: Source,
    widened: bool,
}

/// What a read from an output came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nobody can write to it any more.
    End,
}

impl Process {
    /// A process that was made with these ends: pipes, or the master of its terminal.
    pub(super) fn new(
        target: Target,
        number: u32,
        (pid, pidfd): (i32, OwnedFd),
        stdin_mode: StdinMode,
        ends: Ends,
    ) -> Result<Self, Errno> {
        let output =
            |descriptor, token| Some(Output { source: Source::new(descriptor, token), widened: false });
        let (terminal, stdin, stdout, stderr) = match ends {
            Ends::Pipes(pipes) => (
                None,
                pipes.stdin,
                output(pipes.stdout, Token::Stdout(number)),
                output(pipes.stderr, Token::Stderr(number)),
            ),
            Ends::Terminal(master) => {
                set_nonblocking(&master)?;
                let duplicate = || rustix::io::fcntl_dupfd_cloexec(&master, 3);
                let stdin = if stdin_mode == StdinMode::Closed { None } else { Some(duplicate()?) };
                let stdout = output(duplicate()?, Token::Stdout(number));
                (Some(master), stdin, stdout, None)
            }
        };
        let stdin = stdin.map(|descriptor| Stdin::new(descriptor, number));
        let exit = None;
        Ok(Self {
            target,
            number,
            pid,
            pidfd,
            stdin_mode,
            terminal,
            stdin,
            stdout,
            stderr,
            exit,
            reported: false,
        })
    }

    /// Waits for output, on all streams but the blocked ones.
    pub(super) fn arm(&mut self, poll: &Poll, blocked: impl Fn(Stream) -> bool) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let is_blocked = blocked(stream);
            if let Some(output) = self.output(stream).as_mut() {
                // A pipe that its writers have closed reports it for as long as it is waited for.
                if is_blocked { output.source.disarm(poll) } else { output.source.arm(poll, EventFlags::IN) }
            }
        }
    }

    fn output(&mut self, stream: Stream) -> &mut Option<Output> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Reads output once.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Taken {
        let Some(output) = self.output(stream) else { return Taken::End };
        match rustix::io::read(&output.source, buffer) {
            Ok(0) => Taken::End,
            Ok(count) => Taken::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Taken::Nothing,
            // What a terminal says whose other end is closed.
            Err(_) => Taken::End,
        }
    }

    /// Makes the pipe of a busy stream larger, where the kernel allows it.
    pub(super) fn widen(&mut self, stream: Stream) {
        if let Some(output) = self.output(stream)
            && !output.widened
        {
            output.widened = true;
            let _ = rustix::pipe::fcntl_setpipe_size(&output.source, PIPE_SIZE);
        }
    }

    pub(super) fn close_output(&mut self, poll: &Poll, stream: Stream) {
        if let Some(mut output) = self.output(stream).take() {
            output.source.disarm(poll);
        }
    }

    /// Whether a stream may still bring something.
    pub(super) fn has_output(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Passes input on.
    pub(super) fn write_stdin(&mut self, poll: &Poll, input: &[u8]) {
        self.with_stdin(|stdin| stdin.write(poll, input));
    }

    /// Ends the standard input of a process without a terminal.
    pub(super) fn end_stdin(&mut self, poll: &Poll) {
        if self.terminal.is_none() {
            self.with_stdin(|stdin| stdin.end(poll));
        }
    }

    /// Writes input that waits.
    pub(super) fn flush_stdin(&mut self, poll: &Poll) {
        self.with_stdin(|stdin| stdin.flush(poll));
    }

    fn with_stdin(&mut self, act: impl FnOnce(&mut Stdin) -> StdinState) {
        if let Some(stdin) = &mut self.stdin
            && act(stdin) == StdinState::Closed
        {
            self.stdin = None;
        }
    }

    /// Whether input is taken now; what nobody reads is taken and dropped.
    pub(super) fn takes_input(&self) -> bool {
        self.stdin.as_ref().is_none_or(Stdin::has_room)
    }

    /// Whether it runs.
    pub(super) fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: i32) -> Result<(), Errno> {
        sys::process::signal(self.pidfd.as_fd(), signal)
    }
}

/// The supervisor's ends of a process's standard streams.
#[derive(Debug)]
pub(super) enum Ends {
    Pipes(Pipes),
    Terminal(OwnedFd),
}
