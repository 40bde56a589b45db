//! Copies between the user's standard streams and an attached container, with blocking calls on threads of their own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;

use api::stream::{Demultiplexer, Stream};
use bytes::Bytes;
use client::Hijacked;
use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::sync::oneshot;

use crate::terminal::{DetachKeys, EscapeMatcher, Matched};

/// How much is read at once: large enough that system calls do not count.
const CHUNK: usize = 256 * 1024;

/// What is connected.
pub(crate) struct Attachment {
    pub(crate) hijacked: Hijacked,
    /// Whether output is one stream without frames.
    pub(crate) raw_output: bool,
    /// Whether standard input is sent.
    pub(crate) stdin: bool,
    /// Keys to look for in the input.
    pub(crate) detach_keys: Option<DetachKeys>,
}

/// The copies in progress.
pub(crate) struct Copying {
    /// Completes when all output has arrived and was written.
    pub(crate) output: oneshot::Receiver<io::Result<()>>,
    /// Completes when the user typed the keys to detach; fails when the input ended.
    pub(crate) detached: oneshot::Receiver<()>,
    hijacked: Arc<Hijacked>,
}

impl Copying {
    /// Ends the connection, and with it the copies.
    pub(crate) fn end(&self) {
        let _ = rustix::net::shutdown(self.hijacked.as_fd(), Shutdown::Both);
    }
}

/// Starts to copy.
pub(crate) fn copy(attachment: Attachment) -> Copying {
    let Attachment { hijacked, raw_output, stdin, detach_keys } = attachment;
    let hijacked = Arc::new(hijacked);
    let (output_done, output) = oneshot::channel();
    let (detach, detached) = oneshot::channel();
    let socket = Arc::clone(&hijacked);
    thread::spawn(move || {
        let _ = output_done.send(copy_output(&socket, raw_output));
    });
    if stdin {
        let socket = Arc::clone(&hijacked);
        thread::spawn(move || {
            if let Ok(Input::Detached) = copy_input(socket.as_fd(), detach_keys.as_ref()) {
                let _ = detach.send(());
            }
        });
    }
    Copying { output, detached, hijacked }
}

enum Input {
    Ended,
    Detached,
}

/// Sends what is typed until it ends; the container then sees the end of its input.
fn copy_input(socket: BorrowedFd<'_>, keys: Option<&DetachKeys>) -> io::Result<Input> {
    let mut matcher = keys.map(EscapeMatcher::new);
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        if read(rustix::stdio::stdin(), &mut buffer)? == 0 {
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
            return Ok(Input::Ended);
        }
        match matcher.as_mut().map(|matcher| matcher.feed(&buffer)) {
            None => write_all(socket, &buffer)?,
            Some(Matched::Pass(bytes)) => write_all(socket, &bytes)?,
            Some(Matched::Detach(bytes)) => {
                write_all(socket, &bytes)?;
                return Ok(Input::Detached);
            }
        }
    }
}

fn copy_output(hijacked: &Hijacked, raw: bool) -> io::Result<()> {
    let mut output = Output::new(raw);
    output.write(hijacked.leftover.clone())?;
    loop {
        let mut buffer = Vec::with_capacity(CHUNK);
        match read(hijacked.as_fd(), &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Ok(0) => return Ok(()),
            other => other?,
        };
        output.write(buffer.into())?;
    }
}

/// Where a container's output goes: everything to standard output, or frame by frame to two streams.
pub(crate) struct Output {
    frames: Option<Demultiplexer>,
    gathered: Gathered,
}

impl Output {
    pub(crate) fn new(raw: bool) -> Self {
        Self { frames: (!raw).then(Demultiplexer::new), gathered: Gathered::default() }
    }

    /// Writes what has arrived.
    pub(crate) fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let Some(frames) = &mut self.frames else { return write_all(rustix::stdio::stdout(), &bytes) };
        frames.push(bytes);
        while let Some((stream, part)) = frames.next_part().map_err(io::Error::other)? {
            self.gathered.add(stream, &part)?;
        }
        self.gathered.flush()
    }
}

/// Parts of one stream on their way: a log has a frame for each line, which is not worth a system call.
#[derive(Default)]
struct Gathered {
    errors: bool,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Parts from this length on are written as they are.
    const LARGE: usize = 16 * 1024;

    fn add(&mut self, stream: Stream, part: &[u8]) -> io::Result<()> {
        let errors = stream == Stream::Stderr;
        if errors != self.errors || part.len() >= Self::LARGE {
            self.flush()?;
            self.errors = errors;
        }
        if part.len() >= Self::LARGE {
            return write_all(self.target(), part);
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = write_all(self.target(), &self.bytes);
        self.bytes.clear();
        written
    }

    fn target(&self) -> BorrowedFd<'static> {
        if self.errors { rustix::stdio::stderr() } else { rustix::stdio::stdout() }
    }
}

/// Reads once and appends what comes, as far as there is room.
fn read(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        match rustix::io::read(fd, rustix::buffer::spare_capacity(buffer)) {
            Err(Errno::INTR) => {}
            // The descriptor is shared with programs that made it non-blocking.
            Err(Errno::AGAIN) => wait(fd, rustix::event::PollFlags::IN)?,
            other => return Ok(other?),
        }
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(fd, rustix::event::PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, events: rustix::event::PollFlags) -> io::Result<()> {
    match rustix::event::poll(&mut [rustix::event::PollFd::from_borrowed_fd(fd, events)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
