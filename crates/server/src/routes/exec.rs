//! Further processes in a container.

use api::container::ResizeOptions;
use api::exec::{ExecCreateRequest, ExecStartRequest};
use http::StatusCode;

use super::Api;
use super::attach::stream_type;
use crate::error::Error;
use crate::http::{Call, Response, empty, hijack, json};

impl Api {
    pub(super) async fn create_exec(&self, id: &str, mut call: Call) -> Result<Response, Error> {
        let mut request: ExecCreateRequest = call.json_or_default().await?;
        if !call.version().at_least(42) {
            request.console_size = None;
        }
        if request.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::BadRequest("no exec command specified".to_owned()));
        }
        Ok(json(StatusCode::CREATED, &self.engine.exec_create(id, request).await?))
    }

    pub(super) async fn start_exec(&self, id: &str, mut call: Call) -> Result<Response, Error> {
        let mut request: ExecStartRequest = call.json_or_default().await?;
        // A size can be given since API 1.42; without a terminal it is for nothing.
        request.console_size = request.console_size.filter(|_| request.tty && call.version().at_least(42));
        if request.detach {
            self.engine.exec_start(id, request.console_size).await?;
            return Ok(empty(StatusCode::OK));
        }
        let ticket = self.engine.exec_attach(id, &request)?;
        let content_type = stream_type(ticket.tty(), &call);
        hijack(call, content_type, move |socket| ticket.start(socket))
    }

    pub(super) async fn resize_exec(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.exec_resize(id, ResizeOptions::from_query(&call.query())?).await?;
        Ok(empty(StatusCode::OK))
    }

    pub(super) async fn inspect_exec(&self, id: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.engine.exec_inspect(id).await?))
    }
}
