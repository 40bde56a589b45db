//! Files and standard input on their way to the engine.

use std::fs::File;
use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::io::AsyncReadExt;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// What is in a file, or comes through a pipe.
pub(crate) fn read_stream(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    stream::try_unfold(file, async |mut file| {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let count = file.read_buf(&mut chunk).await?;
        Ok((count > 0).then(|| (chunk.freeze(), file)))
    })
}
