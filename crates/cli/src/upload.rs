//! Files and standard input on their way to the engine.

use std::fs::File;
use std::io::{self, SeekFrom};
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

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

/// Parts of a file, one after the other.
pub(crate) fn read_parts(
    file: File,
    parts: Vec<Range<u64>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    stream::try_unfold((file, parts.into_iter(), 0), async |(mut file, mut parts, mut left)| {
        if left == 0 {
            let Some(part) = parts.next() else { return Ok(None) };
            file.seek(SeekFrom::Start(part.start)).await?;
            left = part.end - part.start;
        }
        let room = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = BytesMut::with_capacity(room).limit(room);
        let count = file.read_buf(&mut chunk).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= count as u64;
        Ok(Some((chunk.into_inner().freeze(), (file, parts, left))))
    })
}
