//! A layer from its compressed bytes to its tree, in one pass over two threads.
//!
//! ```text
//!   this thread: read -> hash (digest) -> blob file -> decompress --chunks--> second thread: hash (diffID) -> unpack
//! ```
//!
//! At most a few chunks are between the two, so memory is bounded whatever the layer's size.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use oci::{Algorithm, Digest, Hasher, HashingReader};
use rustix::fd::OwnedFd;

use super::limits::Limits;
use super::unpack::{Purpose, Unpacked, unpack};
use super::{Compression, LayerError};
use crate::tar::{TarError, TarReader, drain};

const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 4;

/// A compressed layer on its way in.
pub(crate) struct LayerStream<'a> {
    /// Where the bytes come from.
    pub(crate) reader: &'a mut (dyn Read + Send),
    /// What they should be; `None` where they were verified before.
    pub(crate) expected: Option<Expected<'a>>,
    /// Where they are kept, where they are.
    pub(crate) blob: Option<&'a File>,
    /// Bytes at the beginning that it has already.
    pub(crate) written: u64,
    /// Told of each piece that was read, by its length.
    pub(crate) progress: &'a mut (dyn FnMut(u64) + Send),
}

impl<'a> LayerStream<'a> {
    /// One that is only unpacked, and whose bytes were verified before or are by whoever reads them.
    pub(crate) fn of(reader: &'a mut (dyn Read + Send), progress: &'a mut (dyn FnMut(u64) + Send)) -> Self {
        Self { reader, expected: None, blob: None, written: 0, progress }
    }
}

/// The compressed form that a layer must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) size: u64,
}

/// What a layer turned out to be.
#[derive(Debug)]
pub(crate) struct LayerContent {
    /// Digest of its uncompressed form.
    pub(crate) diff_id: Digest,
    /// What was made of it.
    pub(crate) unpacked: Unpacked,
}

/// Unpacks a layer into the empty folder `root`.
///
/// # Errors
/// Also when digest or length are not as expected. `root` may then have anything in it.
pub(crate) fn unpack_stream(
    stream: LayerStream<'_>,
    algorithm: Algorithm,
    root: OwnedFd,
    limits: Limits,
) -> Result<LayerContent, LayerError> {
    let compressed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<Vec<u8>>(CHUNKS);
        let (back, spare) = sync_channel::<Vec<u8>>(CHUNKS + 2);
        let counter = &compressed;
        let unpacker = scope.spawn(move || {
            let chunks =
                Chunks { receiver, back, current: Vec::new(), at: 0, total: 0, compressed: counter, limits };
            unpack_chunks(chunks, algorithm, root, limits)
        });
        let fed = feed(stream, sender, &spare, counter);
        // A thread that panics is a bug, and goes on as one.
        let unpacked = unpacker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (fed, unpacked) {
            (Err(FeedError::Layer(error)), _) | (_, Err(error)) => Err(error),
            (Err(FeedError::Unheard), Ok(_)) => Err(LayerError::Read(io::ErrorKind::BrokenPipe.into())),
            (Ok(()), Ok((diff_id, unpacked))) => Ok(LayerContent { diff_id, unpacked }),
        }
    })
}

/// Why the first thread ended early.
enum FeedError {
    Layer(LayerError),
    /// The second one had ended: its error is the one to tell.
    Unheard,
}

impl From<LayerError> for FeedError {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

/// Reads, keeps, hashes and decompresses, and then tells whether the bytes were the right ones.
fn feed(
    stream: LayerStream<'_>,
    sender: SyncSender<Vec<u8>>,
    spare: &Receiver<Vec<u8>>,
    counter: &AtomicU64,
) -> Result<(), FeedError> {
    let expected = stream.expected;
    let hasher = expected.map(|expected| Hasher::new(expected.digest.algorithm()));
    let mut source = Source { stream, hasher, count: 0, counter, is_broken: false };
    let fed = decompress(&mut source, sender, spare);
    if source.is_broken {
        return fed;
    }
    // Bytes that do not decompress or unpack are most often not the right ones: read them all to be able to say so.
    if io::copy(&mut source, &mut io::sink()).is_err() {
        return fed.and(Err(LayerError::Tar(TarError::Truncated).into()));
    }
    if let (Some(expected), Some(hasher)) = (expected, source.hasher) {
        if source.count != expected.size {
            return Err(LayerError::Size { expected: expected.size, actual: source.count }.into());
        }
        let actual = hasher.finish();
        if actual != *expected.digest {
            return Err(LayerError::Digest { expected: expected.digest.clone(), actual }.into());
        }
    }
    fed
}

fn decompress(
    source: &mut Source<'_, '_>,
    sender: SyncSender<Vec<u8>>,
    spare: &Receiver<Vec<u8>>,
) -> Result<(), FeedError> {
    let mut decoder = Compression::decoder(BufReader::with_capacity(CHUNK, source))?;
    loop {
        let mut chunk = spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        chunk.resize(CHUNK, 0);
        let length = read_full(&mut decoder, &mut chunk).map_err(LayerError::Read)?;
        if length == 0 {
            return Ok(());
        }
        chunk.truncate(length);
        sender.send(chunk).map_err(|_| FeedError::Unheard)?;
    }
}

/// Fills the buffer unless the end comes first.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The compressed bytes: hashed, counted and kept as they are read.
struct Source<'a, 'c> {
    stream: LayerStream<'a>,
    hasher: Option<Hasher>,
    count: u64,
    counter: &'c AtomicU64,
    /// Whether reading or keeping them failed.
    is_broken: bool,
}

impl Source<'_, '_> {
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.reader.read(buffer)?;
        self.count += read as u64;
        if self.stream.expected.is_some_and(|expected| self.count > expected.size) {
            // What is beyond the announced length is not looked at; the caller reports the length.
            return Ok(0);
        }
        self.counter.store(self.count, Ordering::Relaxed);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        // The reader's pieces end where what is written already ends.
        if let Some(mut blob) = self.stream.blob.filter(|_| self.count > self.stream.written) {
            blob.write_all(&buffer[..read])?;
        }
        (self.stream.progress)(read as u64);
        Ok(read)
    }
}

impl Read for Source<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.take(buffer);
        self.is_broken |= taken.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        taken
    }
}

/// The uncompressed bytes, on the other side.
struct Chunks<'a> {
    receiver: Receiver<Vec<u8>>,
    back: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    total: u64,
    compressed: &'a AtomicU64,
    limits: Limits,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            let Ok(next) = self.receiver.recv() else { return Ok(0) };
            self.total += next.len() as u64;
            let compressed = self.compressed.load(Ordering::Relaxed);
            self.limits.check_ratio(compressed, self.total).map_err(io::Error::other)?;
            // Full or gone: the chunk is simply freed.
            let _ = self.back.try_send(std::mem::replace(&mut self.current, next));
            self.at = 0;
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn unpack_chunks(
    chunks: Chunks<'_>,
    algorithm: Algorithm,
    root: OwnedFd,
    limits: Limits,
) -> Result<(Digest, Unpacked), LayerError> {
    let hashing = HashingReader::new(chunks, algorithm);
    let mut archive = TarReader::new(BufReader::with_capacity(CHUNK, hashing));
    let unpacked = unpack(root, &mut archive, Purpose::Layer, limits)?;
    let mut rest = archive.into_inner();
    drain(&mut rest, |_| Ok(()))?;
    let (diff_id, _, _) = rest.into_inner().finish();
    Ok((diff_id, unpacked))
}
