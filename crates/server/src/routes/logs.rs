//! The log of a container.

use std::io;

use api::container::LogsOptions;
use api::stream::{MULTIPLEXED_STREAM, RAW_STREAM};
use bytes::Bytes;
use engine::Frames;
use futures_util::stream as streams;

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, stream};

impl Api {
    pub(super) fn logs(&self, id: &str, call: &Call) -> Result<Response, Error> {
        let options = LogsOptions::from_query(&call.query())?;
        let log = self.engine.logs(id, &options, frames(call))?;
        let content_type = match !log.tty && call.version().at_least(42) {
            true => MULTIPLEXED_STREAM,
            false => RAW_STREAM,
        };
        let parts = streams::unfold(log.pieces, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((piece.map(Bytes::from).map_err(io::Error::other), pieces))
        });
        Ok(stream(content_type, parts))
    }
}

/// The two command lines only write what is inside the frames. Others may show one for each line: libraries for Python and
/// Java hand them on.
fn frames(call: &Call) -> Frames {
    let agent = call.header("user-agent").unwrap_or_default();
    match agent.starts_with("Docker-Client/") || agent.starts_with("Corten-Client/") {
        true => Frames::Runs,
        false => Frames::Records,
    }
}
