//! Making, listing and inspecting containers.

use api::container::{CreateOptions, CreateRequest, ListOptions};
use http::StatusCode;
use oci::Reference;

use super::Api;
use super::blocking::blocking;
use crate::error::Error;
use crate::http::{Call, Response, json};

impl Api {
    pub(super) async fn list_containers(&self, call: &Call) -> Result<Response, Error> {
        let options = ListOptions::from_query(&call.query())?;
        Ok(json(StatusCode::OK, &self.engine.list(&options).await?))
    }

    pub(super) async fn create_container(&self, mut call: Call) -> Result<Response, Error> {
        let body = call.json_bytes().await?;
        let mut request = CreateRequest::from_slice(&body)?;
        let options = CreateOptions::from_query(&call.query());
        adjust(&mut request, &call);
        self.provide_builtin(&request.config.image).await?;
        Ok(json(StatusCode::CREATED, &self.engine.create(&options, request).await?))
    }

    pub(super) async fn inspect_container(&self, id: &str, call: &Call) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.engine.inspect(id, call.query().flag("size")).await?))
    }

    pub(super) async fn top(&self, id: &str, call: &Call) -> Result<Response, Error> {
        let arguments = call.query().text("ps_args");
        Ok(json(StatusCode::OK, &self.engine.top(id, &arguments).await?))
    }

    /// The first container needs no registry: the image that the program carries is brought in when it is asked for.
    async fn provide_builtin(&self, image: &str) -> Result<(), Error> {
        let Ok(reference) = Reference::parse(image) else { return Ok(()) };
        if !image::builtin::is_builtin(&reference) || self.engine.images().resolve(image).is_ok() {
            return Ok(());
        }
        let images = self.engine.images().clone();
        blocking(move || images.provide_builtin(&reference)).await.map(drop)
    }
}

/// What older versions meant by the same request.
fn adjust(request: &mut CreateRequest, call: &Call) {
    let Some(host) = &mut request.host_config else { return };
    let version = call.version();
    // Kernel memory limits were dropped; what newer clients send is left to the engine's refusal only where it was valid.
    if version.at_least(42) {
        host.kernel_memory = 0;
    }
    // The daemon's default was the host's cgroup namespace before it could be chosen.
    if !version.at_least(41) && host.cgroupns_mode.is_empty() {
        host.cgroupns_mode = "host".to_owned();
    }
    // A limit of 0 processes meant none before null did.
    if !version.at_least(40) && host.pids_limit.is_some_and(|limit| limit <= 0) {
        host.pids_limit = None;
    }
}
