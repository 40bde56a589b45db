//! Clients attached to a process: each is a socket that output goes to and input comes from.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};
use shim::log::Stream;
use shim::{Attach, Framing};

use super::detach::{DetachKeys, Typed};
use super::poll::{Poll, Source, Token};

/// Bytes that the kernel may hold for a client of a busy stream.
const SEND_BUFFER: usize = 1 << 20;

/// A socket that is attached to a process.
#[derive(Debug)]
pub(super) struct Client {
    source: Source,
    /// The number of the process.
    pub(super) process: u32,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    framing: Framing,
    detach: DetachKeys,
    /// What the socket did not take yet. While there is any, its streams are not read.
    pending: Vec<u8>,
    sent: usize,
    input: Input,
    /// Disconnected once everything has been sent.
    closing: bool,
    widened: bool,
}

/// What comes from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// It is read.
    Open,
    /// It waits until the process has taken what came before.
    Held,
    /// Nothing more comes, or nothing is wanted.
    Ended,
}

/// What a read from a client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Input, possibly none.
    Input,
    /// Nothing for now.
    Nothing,
    /// The client has closed its side.
    End,
    /// It typed the detach keys.
    Detach,
}

/// The client is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Client {
    pub(super) fn new(socket: OwnedFd, number: u32, process: u32, attach: Attach, terminal: bool) -> Self {
        let keys = if terminal { attach.detach_keys } else { Vec::new() };
        Self {
            source: Source::new(socket, Token::Client(number)),
            process,
            stdin: attach.stdin,
            stdout: attach.stdout,
            stderr: attach.stderr,
            framing: attach.framing,
            detach: DetachKeys::new(keys),
            pending: Vec::new(),
            sent: 0,
            input: if attach.stdin { Input::Open } else { Input::Ended },
            closing: false,
            widened: false,
        }
    }

    /// Whether it writes to the process.
    pub(super) fn has_stdin(&self) -> bool {
        self.stdin
    }

    /// Whether it takes this stream.
    pub(super) fn takes(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    /// Whether the process has to wait for it.
    pub(super) fn is_behind(&self) -> bool {
        self.sent < self.pending.len()
    }

    /// Waits for what is wanted from it at present.
    pub(super) fn arm(&mut self, poll: &Poll) {
        let mut flags = EventFlags::empty();
        if self.input == Input::Open {
            flags |= EventFlags::IN;
        }
        if self.is_behind() {
            flags |= EventFlags::OUT;
        }
        self.source.arm(poll, flags);
    }

    pub(super) fn disarm(&mut self, poll: &Poll) {
        self.source.disarm(poll);
    }

    /// Sends output, and keeps what the socket does not take.
    pub(super) fn send(&mut self, stream: Stream, data: &[u8]) -> Result<(), Gone> {
        let header = match self.framing {
            Framing::Raw => None,
            Framing::Multiplexed => Some(stream.frame_header(data.len())),
        };
        let header = header.as_ref().map_or(&[][..], |header| &header[..]);
        let total = header.len() + data.len();
        let taken = if self.is_behind() { 0 } else { self.transmit(header, data)? };
        if taken < total {
            self.keep(&header[taken.min(header.len())..]);
            self.keep(&data[taken.saturating_sub(header.len())..]);
            self.widen();
        }
        Ok(())
    }

    fn transmit(&self, header: &[u8], data: &[u8]) -> Result<usize, Gone> {
        let slices = [IoSlice::new(header), IoSlice::new(data)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let mut control = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.source, &slices, &mut control, flags) {
                Ok(sent) => return Ok(sent),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(_) => return Err(Gone),
            }
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.pending.extend_from_slice(data);
    }

    /// A busy stream needs fewer switches between the processes with more room between them.
    fn widen(&mut self) {
        if !self.widened {
            self.widened = true;
            // TCP sizes its buffers itself.
            if sockopt::socket_domain(&self.source) == Ok(AddressFamily::UNIX) {
                let _ = sockopt::set_socket_send_buffer_size_force(&self.source, SEND_BUFFER);
            }
        }
    }

    /// Sends what was kept, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Gone> {
        while self.is_behind() {
            let taken = self.transmit(&[], &self.pending[self.sent..])?;
            if taken == 0 {
                return Ok(());
            }
            self.sent += taken;
        }
        self.pending.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads input once and appends what is meant for the process.
    pub(super) fn receive(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> Result<Received, Gone> {
        match rustix::net::recv(&self.source, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                self.input = Input::Ended;
                Ok(Received::End)
            }
            Ok((length, _)) => match self.detach.filter(&buffer[..length], out) {
                Typed::Input => Ok(Received::Input),
                Typed::Detach => Ok(Received::Detach),
            },
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(_) => Err(Gone),
        }
    }

    /// Whether its input is being read.
    pub(super) fn is_heard(&self) -> bool {
        self.input == Input::Open
    }

    /// Whether more input may come.
    pub(super) fn may_write(&self) -> bool {
        self.input != Input::Ended
    }

    /// Leaves its input where it is until [`Client::resume`].
    pub(super) fn hold(&mut self) {
        if self.input == Input::Open {
            self.input = Input::Held;
        }
    }

    pub(super) fn resume(&mut self) {
        if self.input == Input::Held {
            self.input = Input::Open;
        }
    }

    /// Lets it go as soon as it has everything; no more input is taken.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.input = Input::Ended;
    }

    /// Whether it can be let go.
    pub(super) fn is_done(&self) -> bool {
        self.closing && !self.is_behind()
    }

    /// Gives memory back.
    pub(super) fn release(&mut self) {
        self.pending.shrink_to_fit();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Others may hold copies of the descriptor; the client shall see the end all the same.
        let _ = rustix::net::shutdown(self.source.as_fd(), Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use shim::Target;

    use super::*;

    fn client(framing: Framing, detach_keys: &[u8]) -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let attach = Attach {
            target: Target::Init,
            stdin: true,
            stdout: true,
            stderr: false,
            framing,
            detach_keys: detach_keys.to_vec(),
        };
        (Client::new(ours.into(), 0, 0, attach, true), theirs)
    }

    #[test]
    fn output_is_framed_as_asked() {
        for (framing, expected) in
            [(Framing::Raw, b"hi".as_slice()), (Framing::Multiplexed, b"\x01\0\0\0\0\0\0\x02hi")]
        {
            let (mut client, mut other) = client(framing, b"");
            client.send(Stream::Stdout, b"hi").unwrap();
            drop(client);
            let mut received = Vec::new();
            other.read_to_end(&mut received).unwrap();
            assert_eq!(received, expected);
        }
    }

    #[test]
    fn slow_client_gets_every_byte() {
        let (mut client, mut other) = client(Framing::Multiplexed, b"");
        let data: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
        client.send(Stream::Stdout, &data).unwrap();
        assert!(client.is_behind());
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            other.read_to_end(&mut received).unwrap();
            received
        });
        client.close();
        while !client.is_done() {
            client.flush().unwrap();
        }
        drop(client);
        assert!(reader.join().unwrap()[8..] == data);
    }

    #[test]
    fn client_that_left_is_gone() {
        let (mut client, other) = client(Framing::Raw, b"");
        drop(other);
        assert_eq!(client.send(Stream::Stdout, b"x"), Err(Gone));
    }

    #[test]
    fn detach_keys_are_noticed_after_their_input() {
        let (mut client, other) = client(Framing::Raw, b"\x10\x11");
        rustix::io::write(&other, b"ls\x10\x11").unwrap();
        let mut input = Vec::new();
        assert_eq!(client.receive(&mut [0; 64], &mut input), Ok(Received::Detach));
        assert_eq!(input, b"ls");
    }
}
