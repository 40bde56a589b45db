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

/// A number that is not negative, as JSON of the API has it.
pub(in crate::routes) fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn seconds(time: Option<jiff::Timestamp>) -> i64 {
    time.map_or(0, jiff::Timestamp::as_second)
}

/// An image in a list.
pub(super) fn summary(image: &Image, version: ApiVersion) -> ImageSummary {
    let (mut repo_digests, mut repo_tags) = (familiar(&image.repo_digests), familiar(&image.repo_tags));
    if !version.at_least(43) && repo_digests.is_empty() && repo_tags.is_empty() {
        repo_digests.push("<none>@<none>".to_owned());
        repo_tags.push("<none>:<none>".to_owned());
    }
    let labels = image.config.config.as_ref().map(|config| config.labels.clone());
    ImageSummary {
        containers: -1,
        created: seconds(image.created),
        id: image.id.to_string(),
        labels: labels.filter(|labels| !labels.is_empty()),
        parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        descriptor: descriptor(image, version),
        manifests: None,
        repo_digests,
        repo_tags,
        shared_size: -1,
        size: bytes(image.size),
        virtual_size: (!version.at_least(44)).then_some(bytes(image.size)),
    }
}

/// What is said of an image as a whole, or of its last step.
fn comment(config: &oci::ImageConfig) -> String {
    let last = config.history.last().filter(|_| config.comment.is_empty());
    last.map_or_else(|| config.comment.clone(), |step| step.comment.clone())
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
        comment: comment(config),
        created: created(image, version),
        container: (!version.at_least(45)).then(|| config.container.clone()),
        container_config: (!version.at_least(45)).then(|| made_by(config)).transpose()?,
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

/// Up to API 1.43 a time that is not known is that of Go's zero value.
fn created(image: &Image, version: ApiVersion) -> Option<Time> {
    image.created.map(Time::from).or_else(|| (!version.at_least(44)).then(Time::default))
}

/// The configuration of the container that an image was committed from; empty where it was not.
fn made_by(config: &oci::ImageConfig) -> Result<api::container::Config, json::Error> {
    let config = serde_json::to_value(&config.container_config).map_err(invalid)?;
    json::from_value::<Option<_>>(config).map(Option::unwrap_or_default)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn image() -> Image {
        Image {
            id: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
            config: Arc::new(serde_json::from_str(r#"{"container":"c1"}"#).unwrap()),
            manifest: Some(image::manifest::Descriptor::new(
                "application/vnd.oci.image.manifest.v1+json",
                format!("sha256:{}", "b".repeat(64)).parse().unwrap(),
                7,
            )),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            size: 5,
            created: None,
            tagged_at: None,
            parent: None,
            layers: Vec::new(),
        }
    }

    fn inspected(minor: u16) -> Value {
        inspect(&image(), &[], ApiVersion::new(1, minor)).unwrap()
    }

    fn listed(minor: u16) -> Value {
        serde_json::to_value(summary(&image(), ApiVersion::new(1, minor))).unwrap()
    }

    #[test]
    fn image_without_names_is_none_up_to_1_42() {
        let old = listed(42);
        assert_eq!(
            (&old["RepoTags"][0], &old["RepoDigests"][0]),
            (&"<none>:<none>".into(), &"<none>@<none>".into())
        );
        let new = listed(43);
        assert_eq!((new["RepoTags"].to_string(), new["RepoDigests"].to_string()), ("[]".into(), "[]".into()));
        assert_eq!(inspected(42)["RepoTags"].to_string(), "[]");
    }

    #[test]
    fn virtual_size_and_unknown_time_are_told_up_to_1_43() {
        assert_eq!((&inspected(43)["VirtualSize"], &listed(43)["VirtualSize"]), (&5.into(), &5.into()));
        assert_eq!(inspected(43)["Created"], "0001-01-01T00:00:00Z");
        for shown in [inspected(44), listed(44)] {
            assert_eq!(shown.get("VirtualSize"), None);
        }
        assert_eq!(inspected(44).get("Created"), None);
    }

    #[test]
    fn container_of_an_image_is_told_up_to_1_44() {
        let old = inspected(44);
        assert_eq!(old["Container"], "c1");
        assert_eq!(old["ContainerConfig"]["AttachStdin"], false);
        let new = inspected(45);
        assert_eq!((new.get("Container"), new.get("ContainerConfig")), (None, None));
    }

    #[test]
    fn descriptor_is_told_since_1_48() {
        assert_eq!((inspected(47).get("Descriptor"), listed(47).get("Descriptor")), (None, None));
        assert_eq!(
            (&inspected(48)["Descriptor"]["size"], &listed(48)["Descriptor"]["size"]),
            (&7.into(), &7.into())
        );
    }

    #[test]
    fn fields_of_containers_are_in_the_configuration_up_to_1_49() {
        let with_config = |minor| {
            let config = Arc::new(serde_json::from_str(r#"{"config":{"Env":["A=b"]}}"#).unwrap());
            inspect(&Image { config, ..image() }, &[], ApiVersion::new(1, minor)).unwrap()["Config"].clone()
        };
        assert_eq!(with_config(49)["Hostname"], "");
        assert_eq!(with_config(50).to_string(), r#"{"Env":["A=b"]}"#);
    }
}
