//! The log of a container.

use std::io;

use api::container::LogsOptions;
use api::stream::{MULTIPLEXED_STREAM, RAW_STREAM};
use bytes::Bytes;
use futures_util::stream as streams;

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, stream};

impl Api {
    pub(super) fn logs(&self, id: &str, call: &Call) -> Result<Response, Error> {
        let options = LogsOptions::from_query(&call.query())?;
        let log = self.engine.logs(id, &options)?;
        let content_type = stream_type(log.tty, call);
        let parts = streams::unfold(log.pieces, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((piece.map(Bytes::from).map_err(io::Error::other), pieces))
        });
        Ok(stream(content_type, parts))
    }
}

/// What a stream of output is called: frames have a name of their own since API 1.42.
pub(super) fn stream_type(tty: bool, call: &Call) -> &'static str {
    match !tty && call.version().at_least(42) {
        true => MULTIPLEXED_STREAM,
        false => RAW_STREAM,
    }
}
