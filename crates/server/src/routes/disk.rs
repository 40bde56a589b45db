//! What everything takes of the disk.

use api::container::ListOptions;
use api::system::DiskUsage;
use api::volume::Volume;
use http::StatusCode;

use super::blocking::blocking;
use super::{Api, container_shape, image_shape};
use crate::error::Error;
use crate::http::{Call, Response, json};

/// Of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    images: bool,
    containers: bool,
    volumes: bool,
    build_cache: bool,
}

impl Api {
    pub(super) async fn disk_usage(&self, call: &Call) -> Result<Response, Error> {
        let asked = asked(&call.query().all("type"), call.version().at_least(42))?;
        let mut usage = DiskUsage::default();
        if asked.images {
            self.images_usage(call, &mut usage).await?;
        }
        if asked.containers {
            let options = ListOptions { all: true, size: true, ..ListOptions::default() };
            let list = self.engine.list(&options).await?;
            usage.containers = Some(container_shape::list(list, call.version()));
        }
        if asked.volumes {
            let volumes: Vec<Volume> = self.engine.volumes_usage().await?;
            usage.volumes = Some(volumes);
        }
        if asked.build_cache {
            let builder = self.builder.clone();
            let records = tokio::task::spawn_blocking(move || builder.records()).await??;
            usage.build_cache = Some(records.into_iter().map(super::build::describe).collect());
        }
        Ok(json(StatusCode::OK, &usage))
    }

    async fn images_usage(&self, call: &Call, usage: &mut DiskUsage) -> Result<(), Error> {
        let images = self.engine.images().clone();
        let measure =
            move || Ok::<_, image::Error>((images.list(&image::Filters::default())?, images.disk_usage()?));
        let (list, measured) = blocking(measure).await?;
        let users = self.engine.container_ids_of_images();
        usage.layers_size = image_shape::bytes(measured.all);
        let summaries = list.iter().map(|image| {
            let mut summary = image_shape::summary(image, call.version());
            let own = measured.images.get(&image.id).copied().unwrap_or_default();
            summary.size = image_shape::bytes(own.size);
            summary.virtual_size = summary.virtual_size.map(|_| summary.size);
            summary.shared_size = image_shape::bytes(own.shared);
            summary.containers = users.get(image.id.as_str()).map_or(0, |ids| ids.len() as i64);
            summary
        });
        usage.images = Some(summaries.collect());
        Ok(())
    }
}

/// Up to 1.41 there was no choice.
fn asked(types: &[String], has_types: bool) -> Result<Asked, Error> {
    if types.is_empty() || !has_types {
        return Ok(Asked { images: true, containers: true, volumes: true, build_cache: true });
    }
    let mut asked = Asked { images: false, containers: false, volumes: false, build_cache: false };
    for name in types {
        match name.as_str() {
            "image" => asked.images = true,
            "container" => asked.containers = true,
            "volume" => asked.volumes = true,
            "build-cache" => asked.build_cache = true,
            other => return Err(Error::BadRequest(format!("unknown object type: {other}"))),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_chosen_since_1_42() {
        let types = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let all = Asked { images: true, containers: true, volumes: true, build_cache: true };
        assert_eq!(asked(&[], true).unwrap(), all);
        assert_eq!(asked(&types(&["image"]), false).unwrap(), all);
        let some = Asked { containers: false, build_cache: false, ..all };
        assert_eq!(asked(&types(&["image", "volume"]), true).unwrap(), some);
        assert_eq!(asked(&types(&["x"]), true).unwrap_err().to_string(), "unknown object type: x");
    }
}
