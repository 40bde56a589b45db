//! Saving images.

use std::io::{self, Read};

use api::image::SaveOptions;
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::Api;
use super::blocking::blocking;
use super::images::tell;
use crate::error::Error;
use crate::http::{Call, Response, stream as stream_response};

/// How much is read at once: large enough that system calls do not count, small enough for the processor's cache.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the client.
const WAITING: usize = 4;

impl Api {
    /// What fails after the first byte ends the connection, so that the client sees that it was cut.
    pub(super) async fn save_images(&self, name: Option<String>, call: &Call) -> Result<Response, Error> {
        let options = SaveOptions::from_query(&call.query());
        if !options.platforms.is_empty() {
            return Err(Error::Unsupported("saving single platforms of an image"));
        }
        let names = name.map_or(options.names, |name| vec![name]);
        let images = self.engine.images().clone();
        let archive = blocking(move || images.save(&names)).await?;
        for id in archive.images() {
            tell(&self.engine, "save", id, id.as_str());
        }
        Ok(stream_response("application/x-tar", chunks(archive.into_reader())))
    }
}

/// Reads on a thread that may block. It ends when the client has left.
fn chunks(mut reader: impl Read + Send + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        loop {
            let chunk = read_chunk(&mut reader);
            let is_last = !matches!(&chunk, Ok(bytes) if bytes.len() == CHUNK);
            if let Err(error) = &chunk {
                tracing::error!(%error, "an archive cannot be read");
            }
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
}

/// A whole chunk, or what is left.
fn read_chunk(reader: &mut impl Read) -> io::Result<Bytes> {
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
    Ok(chunk.into())
}
