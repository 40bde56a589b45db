//! The document that a list becomes.

use image::manifest::{self, media};
use oci::{Digest, Reference};
use serde::Serialize;

use super::{Entry, Platform};
use crate::failure::Failure;
use crate::format::whitespace::{escaped, indent};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Item<'a>>,
}

/// The order is docker's, so that the same list has the same digest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    media_type: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    digest: &'a str,
    platform: Platform,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The document of a list of these images under `target`, and what it is: OCI's where the first image is.
pub(crate) fn list_document(
    target: &Reference,
    entries: &[Entry],
) -> Result<(manifest::Descriptor, String), Failure> {
    let manifests: Result<Vec<Item<'_>>, Failure> = entries.iter().map(|entry| item(target, entry)).collect();
    let media_type = match entries.first() {
        Some(first) if first.descriptor.media_type == media::OCI_MANIFEST => media::OCI_INDEX,
        _ => media::DOCKER_LIST,
    };
    let list = List { schema_version: 2, media_type, manifests: manifests? };
    let text = serde_json::to_string(&list).expect("texts and numbers");
    let text = indent(&escaped(&text), "   ");
    let descriptor = manifest::Descriptor::new(media_type, Digest::of(text.as_bytes()), text.len() as u64);
    Ok((descriptor, text))
}

fn item<'a>(target: &Reference, entry: &'a Entry) -> Result<Item<'a>, Failure> {
    let name = entry.name()?;
    let (own, wanted) = (name.domain(), target.domain());
    if own != wanted {
        return Err(Failure::message(format!(
            "cannot use source images from a different registry than the target image: {own} != {wanted}"
        )));
    }
    let found = &entry.descriptor;
    let invalid =
        |error| Failure::message(format!("digest parse of image {:?} failed: {error}", entry.reference));
    found.digest.parse::<Digest>().map_err(invalid)?;
    Ok(Item {
        media_type: &found.media_type,
        size: found.size,
        digest: &found.digest,
        platform: found.platform.clone().unwrap_or_default(),
    })
}
