//! The contents of a file on their way into an archive.

use std::io::Write;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::{TreeError, failed};
use crate::tar::Segment;

const CHUNK: usize = 256 << 10;
/// Holes that are worth to be left out: an archive with them cannot be read by every program.
const WORTHWHILE: u64 = 1 << 20;
/// Segments up to which they are: a reader has to keep them all.
const MAX_SEGMENTS: usize = 10_000;

/// Copies contents, with one buffer for all files.
#[derive(Debug)]
pub(super) struct Copier {
    buffer: Vec<u8>,
}

impl Default for Copier {
    fn default() -> Self {
        Self { buffer: vec![0; CHUNK] }
    }
}

impl Copier {
    /// Copies a run of a file. A file that became shorter meanwhile goes on with zeroes, for its length was told before.
    pub(super) fn copy<W: Write + ?Sized>(
        &mut self,
        file: impl AsFd,
        path: &[u8],
        segment: Segment,
        out: &mut W,
    ) -> Result<(), TreeError> {
        let (mut offset, end) = (segment.offset, segment.offset + segment.length);
        while offset < end {
            let room = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK);
            let count = match rustix::io::pread(&file, &mut self.buffer[..room], offset) {
                Ok(0) => {
                    self.buffer[..room].fill(0);
                    room
                }
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed("read", path)(errno)),
            };
            out.write_all(&self.buffer[..count]).map_err(TreeError::Write)?;
            offset += count as u64;
        }
        Ok(())
    }
}

/// Where a file has contents, if leaving its holes out is worthwhile.
pub(super) fn segments(file: BorrowedFd<'_>, size: u64) -> Option<Vec<Segment>> {
    let mut found = Vec::new();
    let (mut at, mut stored) = (0, 0);
    while at < size {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin.min(size),
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).ok()?.min(size);
        if begin < end {
            found.push(Segment { offset: begin, length: end - begin });
            stored += end - begin;
        }
        at = end.max(begin + 1);
        if found.len() > MAX_SEGMENTS {
            return None;
        }
    }
    if found.last().is_none_or(|last| last.offset + last.length < size) {
        // By this GNU tar knows where a hole at the end ends.
        found.push(Segment { offset: size, length: 0 });
    }
    (size - stored >= WORTHWHILE).then_some(found)
}
