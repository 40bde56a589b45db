//! Archives that are no layers: the context of a build, and what its steps unpack.
//!
//! They are tars, plain or compressed with gzip, bzip2, xz or zstd, and come from anybody. Their files are added to a folder
//! that may have others already, and that none of them leaves: names above it are refused, and links, those of the archive
//! and those that were there, are followed as if the folder were `/`. A name that is there already is replaced, unless both
//! are folders. The folder itself stays as it is, whatever the archive says about it.
//!
//! Everything is read once and as it comes, so an archive can be unpacked while it is received.

mod decoder;

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use rustix::fd::OwnedFd;

pub(crate) use decoder::Decoder;

pub use crate::layer::SpaceGuard;
use crate::layer::{LayerError, Limits, Purpose, unpack as unpack_entries};
use crate::tar::{TarReader, drain};

const BUFFER: usize = 256 << 10;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] LayerError);

impl Error {
    /// Whether the archive is to blame, and not the disk or whoever sends it.
    pub fn is_bad_content(&self) -> bool {
        self.0.is_bad_content()
    }
}

/// What is done otherwise than the archive says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// User and group that everything in it is given.
    pub owner: Option<(u32, u32)>,
}

/// Whether a file is an archive: it has the header of a tar's entry where it begins, or does when it is decompressed. No more
/// is read than is needed to tell. What cannot be read is none.
pub fn is_archive(reader: &mut dyn Read) -> bool {
    let Ok(mut decoder) = Decoder::new(BufReader::new(reader)) else { return false };
    let mut block = [0; crate::tar::BLOCK];
    decoder.read_exact(&mut block).is_ok() && crate::tar::is_header(block)
}

/// Adds the files of an archive to a folder, and reads it to its end.
///
/// # Errors
/// When it is malformed, truncated or hostile, or the folder cannot be written. What was made until then stays.
pub fn unpack(reader: &mut dyn Read, folder: OwnedFd, options: Options) -> Result<(), Error> {
    Ok(unpack_with(reader, folder, options, Limits::default())?)
}

pub(crate) fn unpack_with(
    reader: &mut dyn Read,
    folder: OwnedFd,
    options: Options,
    limits: Limits,
) -> Result<(), LayerError> {
    let compressed = Cell::new(0);
    let mut source = Source { reader, count: &compressed };
    let decoder = Decoder::new(BufReader::with_capacity(BUFFER, &mut source))?;
    let bounded = Bounded { decoder, compressed: &compressed, expanded: 0, limits };
    let mut archive = TarReader::new(BufReader::with_capacity(BUFFER, bounded));
    unpack_entries(folder, &mut archive, Purpose::Files { owner: options.owner }, limits)?;
    // A compressed archive that is cut off after its last file is noticed only at its very end.
    drain(archive.into_inner(), |_| Ok(()))?;
    // Whoever sends it goes on until all of it was taken.
    drain(source, |_| Ok(()))?;
    Ok(())
}

/// The archive as it comes, counted.
struct Source<'a> {
    reader: &'a mut dyn Read,
    count: &'a Cell<u64>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// The decompressed archive, which must not grow beyond all measure.
struct Bounded<'a, R> {
    decoder: R,
    compressed: &'a Cell<u64>,
    expanded: u64,
    limits: Limits,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.expanded += read as u64;
        self.limits.check_ratio(self.compressed.get(), self.expanded).map_err(io::Error::other)?;
        Ok(read)
    }
}
