//! Long answers that are made where it may block, a few chunks ahead of the client.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// How much is handed on at once: large enough that system calls do not count, small enough for the processor's cache.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the client.
const WAITING: usize = 4;

type Chunk = io::Result<Bytes>;

/// What a reader has. It is read on a thread of its own, which ends when the client has left.
pub(super) fn read(mut reader: impl Read + Send + 'static) -> impl Stream<Item = Chunk> + Send {
    written(move |out| {
        loop {
            let mut buffer = out.buffer();
            buffer.length = fill(&mut reader, &mut buffer.bytes)?;
            if buffer.length == 0 {
                return Ok::<_, io::Error>(());
            }
            out.put(buffer)?;
        }
    })
}

/// What `work` writes, on a thread of its own. When the client has left, writing fails.
pub(super) fn written<E>(
    work: impl FnOnce(&mut Outlet) -> Result<(), E> + Send + 'static,
) -> impl Stream<Item = Chunk> + Send
where
    E: std::error::Error + Send + Sync + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = Outlet { sender, spare: Arc::default(), chunk: None };
        let result = work(&mut out).map_err(io::Error::other).and_then(|()| out.flush());
        if let Err(error) = result
            && !out.sender.is_closed()
        {
            tracing::error!(%error, "an answer cannot be completed");
            // The client may leave just now.
            let _ = out.sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// Collects what is written into chunks.
pub(super) struct Outlet {
    sender: mpsc::Sender<Chunk>,
    spare: Spare,
    chunk: Option<Buffer>,
}

/// Buffers that were sent, to be used again: new memory costs more than what is done with it here.
type Spare = Arc<Mutex<Vec<Box<[u8]>>>>;

/// A chunk in the making.
struct Buffer {
    bytes: Box<[u8]>,
    /// Bytes of it that are filled.
    length: usize,
    spare: Spare,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}

impl Outlet {
    fn buffer(&self) -> Buffer {
        let used = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = used.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice());
        Buffer { bytes, length: 0, spare: Arc::clone(&self.spare) }
    }

    fn put(&mut self, buffer: Buffer) -> io::Result<()> {
        let chunk = Bytes::from_owner(buffer);
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut chunk = self.chunk.take().unwrap_or_else(|| self.buffer());
        let room = &mut chunk.bytes[chunk.length..];
        let count = bytes.len().min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        chunk.length += count;
        match chunk.length {
            CHUNK => self.put(chunk)?,
            _ => self.chunk = Some(chunk),
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.chunk.take().map_or(Ok(()), |chunk| self.put(chunk))
    }
}

/// Reads as much as there is room for, or is left.
fn fill(reader: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match reader.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn collect(parts: impl Stream<Item = Chunk>) -> Vec<Result<usize, io::ErrorKind>> {
        parts.map(|part| part.map(|bytes| bytes.len()).map_err(|error| error.kind())).collect().await
    }

    #[tokio::test]
    async fn bytes_come_in_whole_chunks_and_a_rest() {
        let parts = collect(read(io::repeat(7).take(2 * CHUNK as u64 + 5))).await;
        assert_eq!(parts, [Ok(CHUNK), Ok(CHUNK), Ok(5)]);
    }

    #[tokio::test]
    async fn failure_is_the_last_part() {
        let work = |out: &mut Outlet| -> io::Result<()> {
            out.write_all(&[1; CHUNK])?;
            Err(io::ErrorKind::NotFound.into())
        };
        assert_eq!(collect(written(work)).await, [Ok(CHUNK), Err(io::ErrorKind::Other)]);
    }

    #[tokio::test]
    async fn work_ends_when_the_client_has_left() {
        let (sender, ended) = tokio::sync::oneshot::channel();
        drop(written(move |out| {
            let result = io::copy(&mut io::repeat(0), out).map(drop);
            let _ = sender.send(());
            result
        }));
        ended.await.expect("the work ends");
    }
}
