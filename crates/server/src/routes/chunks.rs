//! Long answers that are made where it may block, a few chunks ahead of the client.

use std::io::{self, Read, Write};

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
            let chunk = read_chunk(&mut reader)?;
            if chunk.is_empty() {
                return Ok::<_, io::Error>(());
            }
            out.put(chunk)?;
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
        let mut out = Outlet { sender, chunk: Vec::new() };
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
    chunk: Vec<u8>,
}

impl Outlet {
    fn put(&mut self, chunk: Vec<u8>) -> io::Result<()> {
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK);
        }
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            let chunk = std::mem::take(&mut self.chunk);
            self.put(chunk)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.put(chunk)
    }
}

/// A whole chunk, or what is left.
fn read_chunk(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK];
    let mut filled = 0;
    while filled < CHUNK {
        match reader.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk)
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
