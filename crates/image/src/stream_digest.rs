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
    hasher: Option<Hasher>,
    thread: Option<HashThread>,
    chunk: Vec<u8>,
    length: u64,
}

#[derive(Debug)]
struct HashThread {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl StreamDigest {
    pub(crate) fn new() -> Self {
        Self { hasher: Some(Hasher::new(Algorithm::Sha256)), thread: None, chunk: Vec::new(), length: 0 }
    }

    /// The digest and the length of all that was written.
    pub(crate) fn finish(mut self) -> (Digest, u64) {
        let hasher = match self.thread.take() {
            Some(HashThread { full, empty, thread }) => {
                drop((full, empty));
                thread.join().expect("hashing does not panic")
            }
            None => self.hasher.take().expect("it is here where there is no thread"),
        };
        let mut hasher = hasher;
        hasher.update(&self.chunk);
        (hasher.finish(), self.length)
    }

    /// Hands a full chunk on, and takes an empty one.
    fn hand_on(&mut self) {
        if self.thread.is_none() && self.length >= WORTHWHILE * CHUNK as u64 {
            self.thread = HashThread::start(&mut self.hasher);
        }
        match (&self.thread, &mut self.hasher) {
            (Some(thread), _) => thread.hash(&mut self.chunk),
            (None, Some(hasher)) => hasher.update(&self.chunk),
            (None, None) => unreachable!("one of them hashes"),
        }
        self.chunk.clear();
    }
}

impl HashThread {
    /// Without a thread the hasher stays where it is.
    fn start(hasher: &mut Option<Hasher>) -> Option<Self> {
        let (full, chunks) = sync_channel::<Vec<u8>>(WAITING);
        let (back, empty) = channel();
        let mut owned = hasher.clone()?;
        let work = move || {
            for chunk in chunks {
                owned.update(&chunk);
                // Whoever writes may have ended.
                let _ = back.send(chunk);
            }
            owned
        };
        let thread = std::thread::Builder::new().name("hash".into()).spawn(work).ok()?;
        *hasher = None;
        Some(Self { full, empty, thread })
    }

    fn hash(&self, chunk: &mut Vec<u8>) {
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let chunk = std::mem::replace(chunk, next);
        self.full.send(chunk).expect("the thread reads until it is told all");
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
                let expected = (Digest::of(&bytes[..length]), length as u64);
                assert_eq!(stream.finish(), expected, "{length} bytes, {step} at once");
            }
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
