//! Removing what nobody uses.

use api::container::PruneResponse as ContainersPruned;
use api::image::PruneResponse as ImagesPruned;
use engine::events::Kind;
use http::StatusCode;
use image::{Unused, Users};
use oci::Digest;

use super::Api;
use super::blocking::blocking;
use super::images::{delete_item, tell_removed, until};
use crate::error::Error;
use crate::http::{Call, Response, json};

const IMAGE_FILTERS: &[&str] = &["dangling", "label", "label!", "until"];

impl Api {
    pub(super) async fn prune_containers(&self, call: &Call) -> Result<Response, Error> {
        let pruned = self.engine.prune_containers(&call.query().filters()?).await?;
        let containers_deleted = Some(pruned.containers).filter(|deleted| !deleted.is_empty());
        let answer = ContainersPruned { containers_deleted, space_reclaimed: pruned.reclaimed };
        Ok(json(StatusCode::OK, &answer))
    }

    /// Without a filter that says otherwise only images without a tag go.
    pub(super) async fn prune_images(&self, call: &Call) -> Result<Response, Error> {
        let filters = call.query().filters()?;
        filters.validate(IMAGE_FILTERS)?;
        let texts = |key: &str| filters.values(key).map(str::to_owned).collect();
        let unused = Unused {
            dangling_only: !filters.contains("dangling") || filters.flag("dangling", true)?,
            until: until(&filters)?,
            labels: texts("label"),
            without_labels: texts("label!"),
        };
        let engine = self.engine.clone();
        let pruned = blocking(move || {
            let users = |id: &Digest| {
                let (running, stopped) = engine.users_of_image(id.as_str());
                Users { running, stopped }
            };
            engine.images().prune(&unused, &users)
        });
        let pruned = pruned.await?;
        pruned.removed.iter().for_each(|item| tell_removed(&self.engine, item));
        self.engine.tell_pruned(Kind::Image, pruned.reclaimed);
        let items: Vec<_> = pruned.removed.into_iter().map(delete_item).collect();
        let images_deleted = Some(items).filter(|items| !items.is_empty());
        Ok(json(StatusCode::OK, &ImagesPruned { images_deleted, space_reclaimed: pruned.reclaimed }))
    }
}
