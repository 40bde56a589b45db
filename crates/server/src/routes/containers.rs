//! Making, listing and inspecting containers.

use api::container::{CreateOptions, CreateRequest, ListOptions};
use http::StatusCode;
use oci::Reference;

use super::blocking::blocking;
use super::{Api, container_shape, create_shape};
use crate::error::Error;
use crate::http::{Call, Response, json};

impl Api {
    pub(super) async fn list_containers(&self, call: &Call) -> Result<Response, Error> {
        let options = ListOptions::from_query(&call.query())?;
        let list = self.engine.list(&options).await?;
        Ok(json(StatusCode::OK, &container_shape::list(list, call.version())))
    }

    pub(super) async fn create_container(&self, mut call: Call) -> Result<Response, Error> {
        let body = call.json_bytes().await?;
        let mut request = CreateRequest::from_slice(&body)?;
        let mut options = CreateOptions::from_query(&call.query());
        let adjusted = create_shape::adjust(&mut options, &mut request, call.version())?;
        self.provide_builtin(&request.config.image).await?;
        let mut created = self.engine.create(&options, request, adjusted.reach).await?;
        created.warnings.extend(adjusted.warnings);
        Ok(json(StatusCode::CREATED, &created))
    }

    pub(super) async fn inspect_container(&self, id: &str, call: &Call) -> Result<Response, Error> {
        let container = self.engine.inspect(id, call.query().flag("size")).await?;
        Ok(json(StatusCode::OK, &container_shape::inspect(container, call.version())))
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
