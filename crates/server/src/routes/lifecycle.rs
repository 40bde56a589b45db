//! Starting, stopping, waiting for and removing containers.

use api::container::{RemoveOptions, ResizeOptions, StopOptions, WaitCondition};
use futures_util::stream;
use http::StatusCode;

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, empty, json, json_lines};

fn no_content() -> Response {
    empty(StatusCode::NO_CONTENT)
}

impl Api {
    pub(super) async fn start(&self, id: &str) -> Result<Response, Error> {
        self.engine.start(id).await?;
        Ok(no_content())
    }

    pub(super) async fn stop(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.stop(id, &stop_options(call)?).await?;
        Ok(no_content())
    }

    pub(super) async fn restart(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.restart(id, &stop_options(call)?).await?;
        Ok(no_content())
    }

    pub(super) async fn kill(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.kill(id, &call.query().text("signal")).await?;
        Ok(no_content())
    }

    pub(super) async fn pause(&self, id: &str) -> Result<Response, Error> {
        self.engine.pause(id).await?;
        Ok(no_content())
    }

    pub(super) async fn unpause(&self, id: &str) -> Result<Response, Error> {
        self.engine.unpause(id).await?;
        Ok(no_content())
    }

    pub(super) async fn rename(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.rename(id, &call.query().text("name")).await?;
        Ok(no_content())
    }

    pub(super) async fn resize(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.resize(id, ResizeOptions::from_query(&call.query())?).await?;
        Ok(empty(StatusCode::OK))
    }

    pub(super) async fn remove(&self, id: &str, call: &Call) -> Result<Response, Error> {
        self.engine.remove(id, RemoveOptions::from_query(&call.query())).await?;
        Ok(no_content())
    }

    /// The headers say that waiting has begun: a client starts the container once it has them.
    /// Up to 1.29 there was no condition, and they came with the answer.
    pub(super) async fn wait(&self, id: &str, call: &Call) -> Result<Response, Error> {
        if !call.version().at_least(30) {
            let waiter = self.engine.wait(id, WaitCondition::NotRunning)?;
            return Ok(json(StatusCode::OK, &waiter.finish().await));
        }
        let waiter = self.engine.wait(id, WaitCondition::from_query(&call.query())?)?;
        Ok(json_lines(stream::once(waiter.finish())))
    }
}

fn stop_options(call: &Call) -> Result<StopOptions, Error> {
    let mut options = StopOptions::from_query(&call.query())?;
    if !call.version().at_least(42) {
        options.signal.clear();
    }
    Ok(options)
}
