//! Files and standard input on their way to the engine.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::io::AsyncReadExt as _;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// What is in a file, or comes through a pipe.
pub(crate) fn read_stream(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    stream::try_unfold(file, async |mut file| {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let count = file.read_buf(&mut chunk).await?;
        Ok((count > 0).then(|| (chunk.freeze(), file)))
    })
}

/// Parts of a file, one after the other. Its position stays where it is.
pub(crate) fn read_parts(
    file: File,
    parts: Vec<Range<u64>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let file = Arc::new(file);
    stream::try_unfold((parts.into_iter(), 0..0), move |(mut parts, mut left)| {
        let file = Arc::clone(&file);
        async move {
            if left.is_empty() {
                let Some(part) = parts.next() else { return Ok(None) };
                left = part;
            }
            let begin = left.start;
            let length = usize::try_from(left.end - begin).unwrap_or(CHUNK).min(CHUNK);
            left.start += length as u64;
            let chunk = tokio::task::spawn_blocking(move || {
                let mut chunk = vec![0; length];
                file.read_exact_at(&mut chunk, begin).map(|()| Bytes::from(chunk))
            });
            Ok(Some((chunk.await.map_err(io::Error::other)??, (parts, left))))
        }
    })
}
