//! Compression with gzip on all processors, with the same result on any number of them.
//!
//! The input is cut into blocks of a fixed length. Each is compressed by itself and ended on a byte's border, so that the
//! blocks of all threads form one stream. (RFC 1951 and 1952; a block does not refer to those before it.)

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of input in a block. A part of the result: another length makes other bytes.
const BLOCK: usize = 1 << 20;
/// Likewise.
const LEVEL: u32 = 6;
const MAX_THREADS: usize = 8;
/// Deflate, no name, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// A last block with nothing in it.
const END: [u8; 2] = [3, 0];

struct Job {
    input: Vec<u8>,
    reply: SyncSender<io::Result<Block>>,
}

struct Block {
    output: Vec<u8>,
    crc: Crc,
}

/// Compresses all of `reader` into `writer`. A few blocks for each processor are in memory at any time.
pub(crate) fn compress(reader: &mut dyn Read, writer: &mut dyn Write) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    compress_on(threads, reader, writer)
}

fn compress_on(threads: usize, reader: &mut dyn Read, writer: &mut dyn Write) -> io::Result<()> {
    let (jobs, queue) = sync_channel::<Job>(threads);
    let queue = Mutex::new(queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&queue));
        }
        // The queue is closed at the end of this, which ends the threads.
        run(jobs, 2 * threads, reader, writer)
    })
}

fn run(jobs: SyncSender<Job>, ahead: usize, reader: &mut dyn Read, writer: &mut dyn Write) -> io::Result<()> {
    writer.write_all(&HEADER)?;
    let mut crc = Crc::new();
    let mut under_way: VecDeque<Receiver<io::Result<Block>>> = VecDeque::new();
    let mut is_at_end = false;
    while !is_at_end || !under_way.is_empty() {
        if !is_at_end && under_way.len() < ahead {
            let mut input = Vec::with_capacity(BLOCK);
            reader.take(BLOCK as u64).read_to_end(&mut input)?;
            is_at_end = input.len() < BLOCK;
            if !input.is_empty() {
                let (reply, answer) = sync_channel(1);
                jobs.send(Job { input, reply }).map_err(|_| io::ErrorKind::BrokenPipe)?;
                under_way.push_back(answer);
            }
        } else if let Some(next) = under_way.pop_front() {
            let block = next.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
            writer.write_all(&block.output)?;
            crc.combine(&block.crc);
        }
    }
    writer.write_all(&END)?;
    writer.write_all(&crc.sum().to_le_bytes())?;
    // The length modulo 2^32.
    writer.write_all(&crc.amount().to_le_bytes())
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut state = Compress::new(Compression::new(LEVEL), false);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { input, reply }) = next else { return };
        // Whoever does not listen any more has failed elsewhere.
        let _ = reply.send(compress_block(&mut state, &input));
    }
}

fn compress_block(state: &mut Compress, input: &[u8]) -> io::Result<Block> {
    state.reset();
    let mut crc = Crc::new();
    crc.update(input);
    let mut output = Vec::with_capacity(input.len() + input.len() / 1000 + 128);
    loop {
        let read = usize::try_from(state.total_in()).map_err(io::Error::other)?;
        let status =
            state.compress_vec(&input[read..], &mut output, FlushCompress::Sync).map_err(io::Error::other)?;
        // All is out when there was room for more, or nothing more to do.
        if status == Status::BufError || output.len() < output.capacity() {
            return Ok(Block { output, crc });
        }
        output.reserve(BLOCK / 4);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of it compresses.
            if state & 1 == 0 { state as u8 } else { b'a' }
        };
        std::iter::repeat_with(step).take(length).collect()
    }

    fn compressed(threads: usize, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        compress_on(threads, &mut &content[..], &mut out).unwrap();
        out
    }

    #[test]
    fn result_is_one_gzip_member_with_the_content() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let content = noise(length);
            let mut out = Vec::new();
            GzDecoder::new(&compressed(2, &content)[..]).read_to_end(&mut out).unwrap();
            assert!(out == content, "{length}");
        }
    }

    #[test]
    fn result_is_the_same_on_any_number_of_threads() {
        let content = noise(5 * BLOCK + 3);
        assert!(compressed(1, &content) == compressed(7, &content));
        assert!(compressed(3, &content).len() < content.len() * 8 / 10);
    }

    #[test]
    fn content_that_does_not_compress_is_whole() {
        let mut state = 1_u64;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
        .take(2 * BLOCK)
        .collect();
        let mut out = Vec::new();
        GzDecoder::new(&compressed(2, &content)[..]).read_to_end(&mut out).unwrap();
        assert!(out == content);
    }

    #[test]
    fn error_of_the_reader_ends_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        assert!(compress(&mut Broken, &mut Vec::new()).is_err());
    }
}
