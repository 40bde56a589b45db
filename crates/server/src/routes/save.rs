//! Saving images.

use api::image::SaveOptions;

use super::blocking::blocking;
use super::images::{platforms, tell};
use super::{Api, chunks};
use crate::error::Error;
use crate::http::{Call, Response, stream};

impl Api {
    /// What fails after the first byte ends the connection, so that the client sees that it was cut.
    pub(super) async fn save_images(&self, name: Option<String>, call: &Call) -> Result<Response, Error> {
        let options = SaveOptions::from_query(&call.query());
        let platforms = platforms(&options.platforms, call, 48)?;
        let names = name.map_or(options.names, |name| vec![name]);
        let images = self.engine.images().clone();
        let archive = blocking(move || images.save(&names, &platforms)).await?;
        for id in archive.images() {
            tell(&self.engine, "save", id, id.as_str());
        }
        Ok(stream("application/x-tar", chunks::read(archive.into_reader())))
    }
}
