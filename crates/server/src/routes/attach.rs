//! Connecting a client to a container's standard streams.

use api::container::AttachOptions;

use super::Api;
use super::logs::stream_type;
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
        let options = AttachOptions::from_query(&call.query());
        let ticket = self.engine.attach_unframed(id, &options).await?;
        attach_websocket(call, move |socket| ticket.connect(socket)).await
    }
}
