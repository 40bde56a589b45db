//! Images as the API shows them.

use std::path::{Path, PathBuf};

use api::container::GraphDriver;
use api::image::{Descriptor, HistoryItem, ImageConfig, ImageInspect, ImageSummary, Metadata, RootFs};
use api::{ApiVersion, StringMap, Time, json};
use image::Image;
use oci::Reference;
use serde_json::Value;

fn familiar(references: &[Reference]) -> Vec<String> {
    references.iter().map(Reference::familiar).collect()
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn seconds(time: Option<jiff::Timestamp>) -> i64 {
    time.map_or(0, jiff::Timestamp::as_second)
}

/// An image in a list.
pub(super) fn summary(image: &Image, version: ApiVersion) -> ImageSummary {
    let labels = image.config.config.as_ref().map(|config| config.labels.clone());
    ImageSummary {
        containers: -1,
        created: seconds(image.created),
        id: image.id.to_string(),
        labels: labels.filter(|labels| !labels.is_empty()),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        descriptor: descriptor(image, version),
        manifests: None,
        repo_digests: familiar(&image.repo_digests),
        repo_tags: familiar(&image.repo_tags),
        shared_size: -1,
        size: bytes(image.size),
        virtual_size: (!version.at_least(44)).then_some(bytes(image.size)),
    }
}

/// Everything about an image, in the shape of this API version.
///
/// `folders` are those of its layers, the topmost first.
pub(super) fn inspect(image: &Image, folders: &[PathBuf], version: ApiVersion) -> Result<Value, json::Error> {
    let config = &image.config;
    let container_config = serde_json::to_value(&config.config).map_err(invalid)?;
    let shape = ImageInspect {
        id: image.id.to_string(),
        repo_tags: familiar(&image.repo_tags),
        repo_digests: familiar(&image.repo_digests),
        parent: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        comment: config.comment.clone(),
        created: image.created.map(Time::from),
        docker_version: config.docker_version.clone(),
        author: config.author.clone(),
        config: json::from_value::<Option<ImageConfig>>(container_config.clone())?,
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size: bytes(image.size),
        virtual_size: (!version.at_least(44)).then_some(bytes(image.size)),
        graph_driver: graph_driver(folders),
        root_fs: RootFs {
            kind: "layers".to_owned(),
            layers: image.layers.iter().map(ToString::to_string).collect(),
        },
        metadata: Metadata { last_tag_time: image.tagged_at.map(Time::from).unwrap_or_default() },
        descriptor: descriptor(image, version),
        ..ImageInspect::default()
    };
    let mut value = serde_json::to_value(shape).map_err(invalid)?;
    if !version.at_least(50) {
        value["Config"] = legacy_config(container_config)?;
    }
    Ok(value)
}

/// Where the layers are, in the words of Docker's overlay2: the topmost is the upper one.
fn graph_driver(folders: &[PathBuf]) -> GraphDriver {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let data = folders.split_first().map(|(top, below)| {
        let mut data = StringMap::from([
            ("MergedDir".to_owned(), text(&top.with_file_name("merged"))),
            ("UpperDir".to_owned(), text(top)),
            ("WorkDir".to_owned(), text(&top.with_file_name("work"))),
        ]);
        if !below.is_empty() {
            let below: Vec<String> = below.iter().map(|folder| text(folder)).collect();
            data.insert("LowerDir".to_owned(), below.join(":"));
        }
        data
    });
    GraphDriver { data, name: "overlay2".to_owned() }
}

/// Up to API 1.49 the configuration has all of a container's fields, empty or not.
fn legacy_config(config: Value) -> Result<Value, json::Error> {
    let config: Option<api::container::Config> = json::from_value(config)?;
    serde_json::to_value(config).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> json::Error {
    json::Error::Invalid(error.to_string())
}

fn descriptor(image: &Image, version: ApiVersion) -> Option<Descriptor> {
    let manifest = image.manifest.as_ref().filter(|_| version.at_least(48))?;
    Some(Descriptor {
        media_type: manifest.media_type.clone(),
        digest: manifest.digest.to_string(),
        size: bytes(manifest.size),
        ..Descriptor::default()
    })
}

/// A step of an image's history.
pub(super) fn history(item: image::HistoryItem) -> HistoryItem {
    HistoryItem {
        comment: item.comment,
        created: seconds(item.created),
        created_by: item.created_by,
        id: item.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
        size: bytes(item.size),
        tags: Some(familiar(&item.tags)).filter(|tags| !tags.is_empty()),
    }
}
