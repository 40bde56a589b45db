//! Frames over a non-blocking Unix stream socket, with file descriptors beside them. Both ends use it.
//!
//! Descriptors are a queue of their own: they arrive in the order of the frames they belong to, and at the latest with
//! the first byte of their frame, so that a whole frame always finds its descriptors. That allows one `sendmsg` for several
//! pipelined frames.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame that is accepted, in bytes.
pub const MAX_FRAME: usize = 16 << 20;

/// The most descriptors that one frame may carry.
pub const MAX_DESCRIPTORS: usize = 16;

/// Descriptors that one `recvmsg` can take: a batch of pipelined frames.
const DESCRIPTORS_PER_MESSAGE: usize = 64;

/// Bytes read at a time; most frames are shorter.
const CHUNK: usize = 4096;

/// Bytes read at a time of a frame that is longer.
const MAX_CHUNK: usize = 64 << 10;

/// Why bytes could not be understood as frames.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The length is above [`MAX_FRAME`].
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
    /// The frame is not what was expected.
    #[error("malformed frame")]
    Malformed(#[source] serde_json::Error),
    /// A frame announced descriptors that did not come.
    #[error("{expected} file descriptors announced, {found} received")]
    Descriptors {
        /// How many were announced.
        expected: usize,
        /// How many had come.
        found: usize,
    },
    /// More than [`MAX_DESCRIPTORS`] for one frame.
    #[error("{0} file descriptors are too many for one frame")]
    TooManyDescriptors(usize),
    /// What is to be sent cannot be written as JSON.
    #[error("cannot encode frame")]
    Encode(#[source] serde_json::Error),
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Bytes.
    Some,
    /// Nothing for now.
    WouldBlock,
    /// The other side has closed.
    End,
}

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    descriptors: VecDeque<OwnedFd>,
}

impl FrameReader {
    /// Reads once, without blocking.
    ///
    /// # Errors
    /// What `recvmsg` reports.
    pub fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<Fill> {
        self.compact();
        let old = self.buffer.len();
        self.buffer.resize(old + self.missing().clamp(CHUNK, MAX_CHUNK), 0);
        let result = receive(socket, &mut self.buffer[old..], &mut self.descriptors);
        self.buffer.truncate(old + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Ok(Fill::End),
            Ok(_) => Ok(Fill::Some),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Fill::WouldBlock),
            Err(error) => Err(error.into()),
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// A frame that is too long or not of type `T`; the connection is of no use afterwards.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > MAX_FRAME {
            return Err(WireError::TooLong(length));
        }
        let body = self.start + 4;
        let Some(frame) = self.buffer.get(body..body + length) else { return Ok(None) };
        let value = serde_json::from_slice(frame).map_err(WireError::Malformed)?;
        self.start = body + length;
        Ok(Some(value))
    }

    /// The descriptors of the frame just taken.
    ///
    /// # Errors
    /// Fewer have come than the frame announced.
    pub fn take_descriptors(&mut self, count: usize) -> Result<Vec<OwnedFd>, WireError> {
        let found = self.descriptors.len();
        if found < count {
            return Err(WireError::Descriptors { expected: count, found });
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    fn length(&self) -> Option<usize> {
        let bytes = self.buffer.get(self.start..self.start + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize)
    }

    /// How many bytes the frame that has begun still needs.
    fn missing(&self) -> usize {
        let have = self.buffer.len() - self.start;
        self.length().map_or(0, |length| (4 + length.min(MAX_FRAME)).saturating_sub(have))
    }

    /// Drops what was consumed, and the memory with it where nothing is left.
    fn compact(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..self.start);
        }
        self.start = 0;
    }

    /// Gives memory back; called when no frame is expected soon.
    pub fn shrink(&mut self) {
        self.compact();
        self.descriptors.shrink_to_fit();
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            descriptors.extend(received);
        }
    }
    Ok(message.bytes)
}

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct FrameWriter {
    buffer: Vec<u8>,
    sent: usize,
    /// Descriptors, each set with the offset in `buffer` of the frame it belongs to.
    descriptors: VecDeque<(usize, Vec<OwnedFd>)>,
}

impl FrameWriter {
    /// Appends a frame, to be sent by [`FrameWriter::flush`].
    ///
    /// # Errors
    /// The value cannot be written as JSON, or is too long; nothing is appended then.
    pub fn push<T: Serialize>(&mut self, value: &T, descriptors: Vec<OwnedFd>) -> Result<(), WireError> {
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(WireError::TooManyDescriptors(descriptors.len()));
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 4]);
        if let Err(error) = serde_json::to_writer(&mut self.buffer, value) {
            self.buffer.truncate(start);
            return Err(WireError::Encode(error));
        }
        let length = self.buffer.len() - start - 4;
        if length > MAX_FRAME {
            self.buffer.truncate(start);
            return Err(WireError::TooLong(length));
        }
        self.buffer[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
        if !descriptors.is_empty() {
            self.descriptors.push_back((start, descriptors));
        }
        Ok(())
    }

    /// Bytes not yet sent.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.sent
    }

    /// Sends as much as the socket takes without blocking. `true` once nothing is left.
    ///
    /// # Errors
    /// What `sendmsg` reports; a closed connection is `BrokenPipe`.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        while self.sent < self.buffer.len() {
            let (end, with) = self.next_message();
            let data = &self.buffer[self.sent..end];
            match send(socket, data, &self.descriptors, with) {
                Ok(count) => {
                    self.sent += count;
                    self.descriptors.drain(..with);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// How far the next `sendmsg` goes, and how many sets of descriptors it carries.
    fn next_message(&self) -> (usize, usize) {
        let mut total = 0;
        let mut with = 0;
        for (_, set) in &self.descriptors {
            if total + set.len() > DESCRIPTORS_PER_MESSAGE {
                // Frames whose descriptors do not fit must not arrive before them.
                return (self.descriptors[with].0, with);
            }
            total += set.len();
            with += 1;
        }
        (self.buffer.len(), with)
    }
}

fn send(
    socket: BorrowedFd<'_>,
    data: &[u8],
    descriptors: &VecDeque<(usize, Vec<OwnedFd>)>,
    with: usize,
) -> Result<usize, Errno> {
    let borrowed: Vec<BorrowedFd<'_>> =
        descriptors.iter().take(with).flat_map(|(_, set)| set.iter().map(AsFd::as_fd)).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOBIG);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(data)], &mut control, flags)
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (left, right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        right.set_nonblocking(true).unwrap();
        (left, right)
    }

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn frames_of_one_write_come_out_one_by_one_with_their_descriptors() {
        let (left, right) = pair();
        let mut writer = FrameWriter::default();
        writer.push(&"one", vec![descriptor()]).unwrap();
        writer.push(&"two", vec![]).unwrap();
        writer.push(&"three", vec![descriptor(), descriptor()]).unwrap();
        assert!(writer.flush(left.as_fd()).unwrap());
        let mut reader = FrameReader::default();
        assert_eq!(reader.fill(right.as_fd()).unwrap(), Fill::Some);
        assert_eq!(reader.next_frame::<String>().unwrap().as_deref(), Some("one"));
        assert_eq!(reader.take_descriptors(1).unwrap().len(), 1);
        assert_eq!(reader.next_frame::<String>().unwrap().as_deref(), Some("two"));
        assert_eq!(reader.next_frame::<String>().unwrap().as_deref(), Some("three"));
        assert_eq!(reader.take_descriptors(2).unwrap().len(), 2);
        assert_eq!(reader.next_frame::<String>().unwrap(), None);
        assert_eq!(reader.fill(right.as_fd()).unwrap(), Fill::WouldBlock);
    }

    #[test]
    fn many_descriptors_arrive_with_their_frames() {
        let (left, right) = pair();
        let mut writer = FrameWriter::default();
        for number in 0..50 {
            writer.push(&number, vec![descriptor(), descriptor(), descriptor()]).unwrap();
        }
        assert!(writer.flush(left.as_fd()).unwrap());
        let mut reader = FrameReader::default();
        let mut expected = 0;
        while expected < 50 {
            assert_eq!(reader.fill(right.as_fd()).unwrap(), Fill::Some);
            while let Some(number) = reader.next_frame::<i32>().unwrap() {
                assert_eq!(number, expected);
                assert_eq!(reader.take_descriptors(3).unwrap().len(), 3);
                expected += 1;
            }
        }
    }

    #[test]
    fn long_frame_is_sent_in_pieces() {
        let (left, right) = pair();
        let text = "x".repeat(3 << 20);
        let mut writer = FrameWriter::default();
        writer.push(&text, vec![]).unwrap();
        let mut reader = FrameReader::default();
        let mut received = None;
        while received.is_none() {
            writer.flush(left.as_fd()).unwrap();
            reader.fill(right.as_fd()).unwrap();
            received = reader.next_frame::<String>().unwrap();
        }
        assert_eq!(received.unwrap(), text);
        assert_eq!(writer.pending(), 0);
    }

    #[test]
    fn closed_connection_is_the_end() {
        let (left, right) = pair();
        drop(left);
        assert_eq!(FrameReader::default().fill(right.as_fd()).unwrap(), Fill::End);
        let mut writer = FrameWriter::default();
        writer.push(&1, vec![]).unwrap();
        assert_eq!(writer.flush(right.as_fd()).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn frame_above_the_limit_is_refused() {
        let (left, right) = pair();
        rustix::io::write(&left, &u32::MAX.to_le_bytes()).unwrap();
        let mut reader = FrameReader::default();
        reader.fill(right.as_fd()).unwrap();
        assert!(matches!(reader.next_frame::<String>(), Err(WireError::TooLong(_))));
    }

    #[test]
    fn missing_descriptors_are_an_error() {
        let error = FrameReader::default().take_descriptors(1).unwrap_err();
        assert!(matches!(error, WireError::Descriptors { expected: 1, found: 0 }));
    }
}
