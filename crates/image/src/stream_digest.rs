//! The digest of a long stream, computed beside whoever writes it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use oci::{Algorithm, Digest, Hasher};

/// Bytes that are hashed in one go.
const CHUNK: usize = 256 << 10;
/// Chunks that may wait.
const WAITING: usize = 8;
/// Chunks from which on a thread of its own is worth its start.
const WORTHWHILE: u64 = 4;

/// Hashes and counts what is written to it: what is long on a thread of its own, so that reading goes on meanwhile.
#[derive(Debug)]
pub(crate) struct StreamDigest {
    /// Until there is a thread.
    hasher: Option<Marked>,
    thread: Option<HashThread>,
    chunk: Vec<u8>,
    begin: u64,
    length: u64,
}

/// A digest of a stream that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) digest: Digest,
    /// Bytes of the stream.
    pub(crate) length: u64,
    /// The state at each mark.
    pub(crate) marks: Vec<Hasher>,
}

/// A hasher, and the states that it had at marks.
#[derive(Clone, Debug)]
struct Marked {
    hasher: Hasher,
    marks: Vec<Hasher>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Mark,
}

#[derive(Debug)]
struct HashThread {
    full: SyncSender<Piece>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Marked>,
}

impl Marked {
    fn mark(&mut self) {
        self.marks.push(self.hasher.clone());
    }
}

impl StreamDigest {
    pub(crate) fn new() -> Self {
        Self::after(Hasher::new(Algorithm::Sha256), 0)
    }

    /// Goes on with a stream from a mark on, with the state and the length that it had there.
    pub(crate) fn after(hasher: Hasher, length: u64) -> Self {
        let hasher = Some(Marked { hasher, marks: Vec::new() });
        Self { hasher, thread: None, chunk: Vec::new(), begin: length, length }
    }

    /// Bytes of the stream so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Keeps the state that it has after what was written so far.
    pub(crate) fn mark(&mut self) {
        self.hand_on();
        match (&self.thread, &mut self.hasher) {
            (Some(thread), _) => thread.send(Piece::Mark),
            (None, Some(hasher)) => hasher.mark(),
            (None, None) => unreachable!("one of them hashes"),
        }
    }

    /// The digest of all that was written.
    pub(crate) fn finish(mut self) -> Ended {
        let hasher = match self.thread.take() {
            Some(HashThread { full, empty, thread }) => {
                drop((full, empty));
                thread.join().expect("hashing does not panic")
            }
            None => self.hasher.take().expect("it is here where there is no thread"),
        };
        let Marked { mut hasher, marks } = hasher;
        hasher.update(&self.chunk);
        Ended { digest: hasher.finish(), length: self.length, marks }
    }

    /// Hashes what the chunk has, or hands it on and takes an empty one.
    fn hand_on(&mut self) {
        if self.thread.is_none() && self.length - self.begin >= WORTHWHILE * CHUNK as u64 {
            self.thread = HashThread::start(&mut self.hasher);
        }
        match (&self.thread, &mut self.hasher) {
            (Some(thread), _) => thread.hash(&mut self.chunk),
            (None, Some(hasher)) => hasher.hasher.update(&self.chunk),
            (None, None) => unreachable!("one of them hashes"),
        }
        self.chunk.clear();
    }
}

impl HashThread {
    /// Without a thread the hasher stays where it is.
    fn start(hasher: &mut Option<Marked>) -> Option<Self> {
        let (full, pieces) = sync_channel(WAITING);
        let (back, empty) = channel();
        let mut owned = hasher.clone()?;
        let work = move || {
            for piece in pieces {
                match piece {
                    Piece::Mark => owned.mark(),
                    Piece::Bytes(chunk) => {
                        owned.hasher.update(&chunk);
                        // Whoever writes may have ended.
                        let _ = back.send(chunk);
                    }
                }
            }
            owned
        };
        let thread = std::thread::Builder::new().name("hash".into()).spawn(work).ok()?;
        *hasher = None;
        Some(Self { full, empty, thread })
    }

    fn hash(&self, chunk: &mut Vec<u8>) {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        self.send(Piece::Bytes(std::mem::replace(chunk, next)));
    }

    fn send(&self, piece: Piece) {
        self.full.send(piece).expect("the thread reads until it is told all");
    }
}

impl Write for StreamDigest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        let mut rest = bytes;
        while self.chunk.len() + rest.len() >= CHUNK {
            let (now, later) = rest.split_at(CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(now);
            self.hand_on();
            rest = later;
        }
        self.chunk.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_of_all_bytes_however_they_come() {
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        for length in [0, 1, CHUNK - 1, CHUNK, 4 * CHUNK, 5 * CHUNK + 7, bytes.len()] {
            for step in [997, CHUNK, 3 * CHUNK + 1] {
                let mut stream = StreamDigest::new();
                bytes[..length].chunks(step).for_each(|part| stream.write_all(part).unwrap());
                let ended = stream.finish();
                let expected = (Digest::of(&bytes[..length]), length as u64);
                assert_eq!((ended.digest, ended.length), expected, "{length} bytes, {step} at once");
            }
        }
    }

    #[test]
    fn stream_goes_on_from_any_mark() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        let places = [0, 1, 700, CHUNK, 5 * CHUNK + 9, 5 * CHUNK + 9, bytes.len()];
        let mut stream = StreamDigest::new();
        let mut at = 0;
        for place in places {
            stream.write_all(&bytes[at..place]).unwrap();
            assert_eq!(stream.length(), place as u64);
            stream.mark();
            at = place;
        }
        let Ended { digest, marks, .. } = stream.finish();
        assert_eq!((digest, marks.len()), (Digest::of(&bytes), places.len()));
        for (place, mark) in places.into_iter().zip(marks) {
            let mut stream = StreamDigest::after(mark, place as u64);
            stream.write_all(&bytes[place..]).unwrap();
            let ended = stream.finish();
            assert_eq!((ended.digest, ended.length), (Digest::of(&bytes), bytes.len() as u64), "{place}");
        }
    }

    /// Threads of this process that hash.
    fn hashing() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let name = |task: &std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
        tasks.flatten().filter(|task| name(task).is_ok_and(|name| name == "hash\n")).count()
    }

    #[test]
    fn stream_that_is_given_up_leaves_no_thread() {
        let mut stream = StreamDigest::new();
        stream.write_all(&vec![0; 6 * CHUNK]).unwrap();
        eventually("it was worthwhile", || hashing() > 0);
        drop(stream);
        eventually("it is over", || hashing() == 0);
    }

    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !holds() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
