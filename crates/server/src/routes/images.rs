//! Images: listing, inspecting, naming, removing.

use api::Filters;
use api::image::{DeleteItem, ListOptions, RemoveOptions, TagOptions};
use engine::Engine;
use engine::events::Kind;
use http::StatusCode;
use image::{Force, Image, ImageStore, Removed, Users};
use oci::{Digest, Platform, Reference};

use super::blocking::blocking;
use super::{Api, image_shape, manifest_shape};
use crate::error::Error;
use crate::http::{Call, Response, empty, json};

const FILTERS: &[&str] = &["dangling", "label", "label!", "before", "since", "until", "reference"];

impl Api {
    pub(super) async fn list_images(&self, call: &Call) -> Result<Response, Error> {
        let mut options = ListOptions::from_query(&call.query())?;
        // Up to 1.40 names had a parameter of their own.
        if let Some(name) =
            call.query().find("filter").filter(|name| !name.is_empty() && !call.version().at_least(41))
        {
            options.filters.add("reference", name);
        }
        let filters = image_filters(&options)?;
        if options.manifests && call.version().at_least(47) {
            return self.list_manifests(options, filters, call).await;
        }
        let images = self.engine.images().clone();
        let list = blocking(move || images.list(&filters)).await?;
        let summaries = list.iter().map(|image| {
            let mut summary = image_shape::summary(image, call.version());
            if options.shared_size {
                summary.shared_size = image_shape::bytes(self.engine.images().shared_size(image));
            }
            summary
        });
        Ok(json(StatusCode::OK, &summaries.collect::<Vec<_>>()))
    }

    /// The list with all platforms of each image in one entry.
    async fn list_manifests(
        &self,
        options: ListOptions,
        filters: image::Filters,
        call: &Call,
    ) -> Result<Response, Error> {
        let images = self.engine.images().clone();
        let list = blocking(move || {
            let list = images.without_platforms_of_others(images.list(&filters)?);
            let listings = list.into_iter().map(|image| {
                let shared = options.shared_size.then(|| images.shared_size(&image));
                images.listing(&image).map(|listing| (image, listing, shared))
            });
            listings.collect::<Result<Vec<_>, image::Error>>()
        });
        let users = self.engine.container_ids_of_images();
        let summaries = list.await?.into_iter().map(|(image, listing, shared)| {
            let mut summary = image_shape::summary(&image, call.version());
            manifest_shape::complete(&mut summary, listing, &users);
            summary.shared_size = shared.map_or(summary.shared_size, image_shape::bytes);
            summary
        });
        Ok(json(StatusCode::OK, &summaries.collect::<Vec<_>>()))
    }

    pub(super) async fn inspect_image(&self, name: String, call: &Call) -> Result<Response, Error> {
        let platform = asked_platform(call, 49)?;
        let wants_manifests = call.query().flag("manifests") && call.version().at_least(48);
        if platform.is_some() && wants_manifests {
            let message = "conflicting options: manifests and platform options cannot both be set";
            return Err(Error::BadRequest(message.to_owned()));
        }
        let images = self.engine.images().clone();
        let (image, folders, listing) = blocking(move || {
            let image = resolve(&images, &name, platform.as_ref())?;
            let folders = images.layer_trees(&image.layers);
            let listing = wants_manifests.then(|| images.listing(&image)).transpose()?;
            Ok::<_, image::Error>((image, folders, listing))
        })
        .await?;
        let mut shape = image_shape::inspect(&image, &folders, call.version())?;
        if let Some(listing) = listing.filter(|it| !it.manifests.is_empty()) {
            let users = self.engine.container_ids_of_images();
            let manifests = listing.manifests.into_iter().map(|it| manifest_shape::summary(it, &users));
            shape["Manifests"] = serde_json::json!(manifests.collect::<Vec<_>>());
        }
        Ok(json(StatusCode::OK, &shape))
    }

    pub(super) async fn image_history(&self, name: String, call: &Call) -> Result<Response, Error> {
        let platform = asked_platform(call, 48)?;
        let images = self.engine.images().clone();
        let steps = blocking(move || {
            let Some(platform) = platform else { return images.history(&name) };
            images.history(images.resolve_for(&name, &platform)?.id.as_str())
        });
        let steps = steps.await?;
        let steps: Vec<_> = steps.into_iter().map(image_shape::history).collect();
        Ok(json(StatusCode::OK, &steps))
    }

    pub(super) async fn tag_image(&self, name: String, call: &Call) -> Result<Response, Error> {
        let TagOptions { repo, tag } = TagOptions::from_query(&call.query());
        let target = Reference::parse(&repo)?;
        let target = if tag.is_empty() { target.or_latest() } else { target.with_tag(&tag)? };
        let images = self.engine.images().clone();
        let name_to_give = target.clone();
        let image = blocking(move || images.tag(&name, &name_to_give)).await?;
        tell(&self.engine, "tag", &image.id, &target.familiar());
        Ok(empty(StatusCode::CREATED))
    }

    pub(super) async fn remove_image(&self, name: String, call: &Call) -> Result<Response, Error> {
        let options = RemoveOptions::from_query(&call.query());
        let platforms = platforms(&options.platforms, call, 50)?;
        let force = if options.force { Force::Yes } else { Force::No };
        let engine = self.engine.clone();
        let removed = blocking(move || {
            let users = |id: &Digest| {
                let (running, stopped) = engine.users_of_image(id.as_str());
                Users { running, stopped }
            };
            match platforms.as_slice() {
                [] => engine.images().remove(&name, force, &users),
                some => engine.images().remove_platforms(&name, some, force, &users),
            }
        });
        let removed = removed.await?;
        removed.iter().for_each(|item| tell_removed(&self.engine, item));
        let items: Vec<_> = removed.into_iter().map(delete_item).collect();
        Ok(json(StatusCode::OK, &items))
    }
}

pub(super) fn tell_removed(engine: &Engine, item: &Removed) {
    match item {
        Removed::Untagged(_, id) => tell(engine, "untag", id, id.as_str()),
        Removed::Image(id) => tell(engine, "delete", id, id.as_str()),
        Removed::Layer(_) => {}
    }
}

/// Publishes an event about an image.
pub(super) fn tell(engine: &Engine, action: &str, id: &Digest, name: &str) {
    let image: Option<Image> = engine.images().image(id).ok();
    let labels = image.and_then(|image| image.config.config.as_ref().map(|config| config.labels.clone()));
    let mut attributes = labels.unwrap_or_default();
    attributes.insert("name".to_owned(), name.to_owned());
    engine.events().publish(Kind::Image, action, id.as_str(), attributes);
}

pub(super) fn delete_item(removed: Removed) -> DeleteItem {
    match removed {
        Removed::Untagged(reference, _) => {
            DeleteItem { untagged: reference.familiar(), ..DeleteItem::default() }
        }
        Removed::Image(id) | Removed::Layer(id) => {
            DeleteItem { deleted: id.to_string(), ..DeleteItem::default() }
        }
    }
}

fn image_filters(options: &ListOptions) -> Result<image::Filters, Error> {
    let filters = &options.filters;
    filters.validate(FILTERS)?;
    let texts = |key: &str| filters.values(key).map(str::to_owned).collect::<Vec<_>>();
    Ok(image::Filters {
        dangling: filters.contains("dangling").then(|| filters.flag("dangling", false)).transpose()?,
        labels: texts("label"),
        without_labels: texts("label!"),
        before: texts("before"),
        since: texts("since"),
        until: until(filters)?,
        references: texts("reference"),
        all: options.all,
    })
}

/// The platform that is asked for, where the version has that parameter.
fn asked_platform(call: &Call, known_since: u16) -> Result<Option<Platform>, Error> {
    let query = call.query();
    let text = query.find("platform").filter(|text| !text.is_empty() && call.version().at_least(known_since));
    text.map(platform_from_json).transpose()
}

fn resolve(images: &ImageStore, name: &str, platform: Option<&Platform>) -> Result<Image, image::Error> {
    match platform {
        Some(platform) => images.resolve_for(name, platform),
        None => images.resolve(name),
    }
}

pub(super) fn until(filters: &Filters) -> Result<Option<jiff::Timestamp>, Error> {
    let Some(text) = filters.values("until").next() else { return Ok(None) };
    let query = format!("until={text}");
    Ok(api::query::Query::parse(&query.replace('+', "%2B")).time("until")?.map(|time| time.0))
}

/// The platforms that are asked for, where the version has that parameter.
pub(super) fn platforms(texts: &[String], call: &Call, known_since: u16) -> Result<Vec<Platform>, Error> {
    let known = texts.iter().filter(|_| call.version().at_least(known_since));
    known.map(|text| platform_from_json(text)).collect()
}

/// A platform as clients send it: `{"os":"linux","architecture":"arm64"}`.
pub(super) fn platform_from_json(text: &str) -> Result<Platform, Error> {
    let platform: api::image::Platform = api::json::from_slice(text.as_bytes())?;
    let variant = Some(platform.variant.as_str()).filter(|variant| !variant.is_empty());
    Ok(Platform::new(&platform.os, &platform.architecture, variant))
}
