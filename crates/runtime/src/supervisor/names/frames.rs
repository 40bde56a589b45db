//! Messages over a connection: each behind its length in two bytes (RFC 1035, section 4.2.2).

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Bytes read at a time.
const CHUNK: usize = 4096;

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    received: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Some,
    Nothing,
    End,
}

impl Frames {
    /// Reads once.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<Received, Errno> {
        let mut space = [0; CHUNK];
        match rustix::net::recv(socket, space.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Received::End),
            Ok((length, _)) => {
                self.received.extend(&space[..length]);
                Ok(Received::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// The next whole message, of at most `limit` bytes.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Vec<u8>>, Errno> {
        let [high, low, ..] = *self.received else { return Ok(None) };
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        if end - 2 > limit {
            return Err(Errno::MSGSIZE);
        }
        if self.received.len() < end {
            return Ok(None);
        }
        let rest = self.received.split_off(end);
        let mut message = std::mem::replace(&mut self.received, rest);
        message.drain(..2);
        Ok(Some(message))
    }

    /// Appends a message that [`Frames::flush`] sends. One that no length can be given for is left out.
    pub(super) fn push(&mut self, message: &[u8]) {
        if let Ok(length) = u16::try_from(message.len()) {
            self.unsent.extend(length.to_be_bytes());
            self.unsent.extend(message);
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        while self.sent < self.unsent.len() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(socket, &self.unsent[self.sent..], flags) {
                Ok(count) => self.sent += count,
                // ENOTCONN: the connection is still being made.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let (left, right) = UnixStream::pair().unwrap();
        let (mut sender, mut receiver) = (Frames::default(), Frames::default());
        sender.push(b"one");
        sender.push(b"");
        sender.push(&[7; 5000]);
        sender.flush(left.as_fd()).unwrap();
        assert_eq!(sender.unsent(), 0);
        drop(left);
        while receiver.receive(right.as_fd()).unwrap() != Received::End {}
        assert_eq!(receiver.next(9).unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(receiver.next(9).unwrap().as_deref(), Some(b"".as_slice()));
        assert_eq!(receiver.next(4999), Err(Errno::MSGSIZE));
        assert_eq!(receiver.next(5000).unwrap().map(|message| message.len()), Some(5000));
        assert_eq!(receiver.next(5000).unwrap(), None);
    }
}
