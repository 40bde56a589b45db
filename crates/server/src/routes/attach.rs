//! Connecting a client to a container's standard streams.

use api::container::AttachOptions;
use api::stream::{MULTIPLEXED_STREAM, RAW_STREAM};
use http::header;

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, attach_websocket, hijack};

impl Api {
    pub(super) async fn attach(&self, id: &str, call: Call) -> Result<Response, Error> {
        let options = AttachOptions::from_query(&call.query());
        let ticket = self.engine.attach(id, &options).await?;
        let content_type = stream_type(ticket.tty(), &call);
        hijack(call, content_type, move |socket| ticket.connect(socket))
    }

    pub(super) async fn attach_websocket(&self, id: &str, call: Call) -> Result<Response, Error> {
        let mut options = AttachOptions::from_query(&call.query());
        if !call.version().at_least(42) {
            // The parameters were without effect.
            (options.stdin, options.stdout, options.stderr) = (true, true, true);
        }
        let ticket = self.engine.attach_unframed(id, &options).await?;
        attach_websocket(call, move |socket| ticket.connect(socket)).await
    }
}

/// What a connection that is taken over carries: frames have a name of their own since API 1.42, told to clients that ask for an
/// upgrade.
pub(super) fn stream_type(tty: bool, call: &Call) -> &'static str {
    match !tty && call.version().at_least(42) && call.headers().contains_key(header::UPGRADE) {
        true => MULTIPLEXED_STREAM,
        false => RAW_STREAM,
    }
}
