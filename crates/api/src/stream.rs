//! The frames that carry standard output and error in one connection.
//!
//! `[stream, 0, 0, 0, length as big-endian u32]`, then as many bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Content type of output without frames.
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Content type of output in frames (API 1.42).
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// Bytes in a header.
pub const HEADER_LEN: usize = 8;

/// What a frame's bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard input, echoed.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// An error of the engine's; the bytes are its text.
    SystemError,
}

/// The frames are broken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A stream number that is not known.
    #[error("Unrecognized input header: {0}")]
    Stream(u8),
    /// The connection ended inside a frame.
    #[error("unexpected EOF: the stream ended inside a frame")]
    Cut,
}

impl TryFrom<u8> for Stream {
    type Error = Error;

    fn try_from(number: u8) -> Result<Self, Error> {
        match number {
            0 => Ok(Self::Stdin),
            1 => Ok(Self::Stdout),
            2 => Ok(Self::Stderr),
            3 => Ok(Self::SystemError),
            other => Err(Error::Stream(other)),
        }
    }
}

/// The header of a frame of `len` bytes.
pub fn header(stream: Stream, len: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = len.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// Takes frames apart. Nothing is copied but headers that are split over two reads, and a frame's bytes are
/// handed out as they come.
#[derive(Debug, Default)]
pub struct Demultiplexer {
    input: Bytes,
    partial: BytesMut,
    frame: Option<(Stream, usize)>,
}

impl Demultiplexer {
    /// At the beginning of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read. Everything added before must have been taken with [`Demultiplexer::next_part`].
    pub fn push(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty(), "parts are taken before more is added");
        self.input = input;
    }

    /// The next bytes of a stream; `None` where more must be read.
    ///
    /// # Errors
    /// Where a header is not one.
    pub fn next_part(&mut self) -> Result<Option<(Stream, Bytes)>, Error> {
        loop {
            if let Some((stream, left)) = self.frame {
                let len = left.min(self.input.len());
                if len == 0 && left > 0 {
                    return Ok(None);
                }
                self.frame = (len < left).then_some((stream, left - len));
                if len > 0 {
                    return Ok(Some((stream, self.input.split_to(len))));
                }
            }
            let Some(header) = self.take_header() else { return Ok(None) };
            let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            self.frame = Some((Stream::try_from(header[0])?, len));
        }
    }

    /// To be called at the end of the connection.
    ///
    /// # Errors
    /// Where that is inside a frame.
    pub fn finish(&self) -> Result<(), Error> {
        match self.frame.is_none() && self.partial.is_empty() && self.input.is_empty() {
            true => Ok(()),
            false => Err(Error::Cut),
        }
    }

    fn take_header(&mut self) -> Option<[u8; HEADER_LEN]> {
        if self.partial.is_empty() && self.input.len() >= HEADER_LEN {
            let mut header = [0; HEADER_LEN];
            self.input.copy_to_slice(&mut header);
            return Some(header);
        }
        let missing = (HEADER_LEN - self.partial.len()).min(self.input.len());
        self.partial.extend_from_slice(&self.input.split_to(missing));
        let header = <[u8; HEADER_LEN]>::try_from(self.partial.as_ref()).ok()?;
        self.partial.clear();
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: Stream, bytes: &[u8]) -> Vec<u8> {
        [header(stream, bytes.len() as u32).as_slice(), bytes].concat()
    }

    fn demultiplex(chunks: impl Iterator<Item = Bytes>) -> Result<[Vec<u8>; 4], Error> {
        let mut streams: [Vec<u8>; 4] = Default::default();
        let mut demultiplexer = Demultiplexer::new();
        for chunk in chunks {
            demultiplexer.push(chunk);
            while let Some((stream, bytes)) = demultiplexer.next_part()? {
                streams[stream as usize].extend_from_slice(&bytes);
            }
        }
        demultiplexer.finish().map(|()| streams)
    }

    proptest! {
        #[test]
        fn frames_cut_anywhere_come_out_whole(
            frames in prop::collection::vec((1u8..3, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            size in 1usize..50,
        ) {
            let mut expected: [Vec<u8>; 4] = Default::default();
            let mut wire = Vec::new();
            for (stream, bytes) in &frames {
                expected[*stream as usize].extend_from_slice(bytes);
                wire.extend(frame(Stream::try_from(*stream).unwrap(), bytes));
            }
            let chunks = wire.chunks(size).map(Bytes::copy_from_slice);
            prop_assert_eq!(demultiplex(chunks).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1usize..50) {
            let _ = demultiplex(bytes.chunks(size).map(Bytes::copy_from_slice));
        }
    }

    #[test]
    fn unknown_stream_is_refused() {
        let result = demultiplex([Bytes::from_static(&[9, 0, 0, 0, 0, 0, 0, 1, 7])].into_iter());
        assert_eq!(result, Err(Error::Stream(9)));
    }

    #[test]
    fn connection_that_ends_in_a_frame_is_cut() {
        let mut wire = frame(Stream::Stdout, b"hello");
        wire.pop();
        assert_eq!(demultiplex([Bytes::from(wire)].into_iter()), Err(Error::Cut));
    }
}
