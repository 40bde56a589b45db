//! Control connections.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::event::epoll::EventFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use shim::client::SOCKET_FILE;
use shim::wire::{Fill, FrameReader, FrameWriter};
use shim::{Message, Request};

use super::poll::{Poll, Source, Token};

/// Bytes of answers that are kept for a client that does not read them; it is dropped above.
const MAX_PENDING: usize = 1 << 20;

/// One control connection.
#[derive(Debug)]
pub(super) struct Connection {
    source: Source,
    reader: FrameReader,
    writer: FrameWriter,
}

/// A request with its descriptors.
pub(super) type Incoming = (Request, Vec<OwnedFd>);

/// The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Connection {
    pub(super) fn new(socket: OwnedFd, number: u32, poll: &Poll) -> Self {
        let mut source = Source::new(socket, Token::Connection(number));
        source.arm(poll, EventFlags::IN);
        Self { source, reader: FrameReader::default(), writer: FrameWriter::default() }
    }

    /// Reads what has come. What was read before the connection was lost is in `requests` all the same.
    pub(super) fn receive(&mut self, requests: &mut Vec<Incoming>) -> Result<(), Lost> {
        use std::os::fd::AsFd;
        loop {
            let fill = self.reader.fill(self.source.as_fd()).map_err(|_| Lost)?;
            while let Some(request) = self.reader.next_frame::<Request>().map_err(complain_of)? {
                let count = request.descriptors as usize;
                let descriptors = self.reader.take_descriptors(count).map_err(complain_of)?;
                requests.push((request, descriptors));
            }
            match fill {
                Fill::Some => {}
                Fill::WouldBlock => {
                    self.reader.shrink();
                    return Ok(());
                }
                Fill::End => return Err(Lost),
            }
        }
    }

    /// Sends a message, or keeps it for a client that is slow.
    pub(super) fn send(&mut self, poll: &Poll, message: &Message) -> Result<(), Lost> {
        self.writer.push(message, Vec::new()).map_err(complain_of)?;
        self.flush(poll)
    }

    /// Sends what was kept.
    pub(super) fn flush(&mut self, poll: &Poll) -> Result<(), Lost> {
        use std::os::fd::AsFd;
        let done = self.writer.flush(self.source.as_fd()).map_err(|_| Lost)?;
        if self.writer.pending() > MAX_PENDING {
            super::complain(format_args!("a control client does not read its answers"));
            return Err(Lost);
        }
        self.source.arm(poll, if done { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT });
        Ok(())
    }

    /// Whether everything has been sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.writer.pending() == 0
    }

    pub(super) fn close(mut self, poll: &Poll) {
        self.source.disarm(poll);
    }
}

fn complain_of(error: shim::wire::WireError) -> Lost {
    super::complain(format_args!("control connection: {error}"));
    Lost
}

/// Listens in the run directory, by way of its descriptor: the path may be longer than a socket address holds.
pub(super) fn listen(run_dir: &Path) -> Result<OwnedFd, Errno> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(run_dir, flags, Mode::empty())?;
    match rustix::fs::unlinkat(&directory, SOCKET_FILE, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET_FILE}", directory.as_raw_fd()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The file gets the mode that the socket has.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 16)?;
    Ok(socket)
}

/// Takes one connection; `None` where none waits.
pub(super) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(socket) => Some(socket),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => None,
        Err(error) => {
            super::complain(format_args!("cannot accept a control connection: {error}"));
            None
        }
    }
}
