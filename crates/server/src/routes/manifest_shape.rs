//! The manifests under an image's name as the API shows them (API 1.47).

use std::collections::HashMap;

use api::image::{
    AttestationProperties, Descriptor, ImageProperties, ImageSummary, ManifestSizes, ManifestSummary,
    Platform, UnpackedSize,
};
use image::{Image, ListedManifest, Listing, ManifestKind};

use super::distribution::platform;
use super::image_shape::bytes;

/// The containers of each image, by its ID.
pub(super) type Users = HashMap<String, Vec<String>>;

/// Tells all that an image stands for, in an entry of the list that is for all of it.
pub(super) fn complete(summary: &mut ImageSummary, listing: Listing, users: &Users) {
    if let (Some(_), Some(index)) = (&summary.descriptor, listing.index) {
        summary.descriptor = Some(descriptor(index));
    }
    let manifests: Vec<ManifestSummary> =
        listing.manifests.into_iter().map(|manifest| self::summary(manifest, users)).collect();
    if !manifests.is_empty() {
        summary.size = manifests.iter().map(|manifest| manifest.size.total).sum();
        summary.manifests = Some(manifests);
    }
}

/// One manifest.
pub(super) fn summary(manifest: ListedManifest, users: &Users) -> ManifestSummary {
    let ListedManifest { descriptor: entry, kind, content } = manifest;
    let told = entry.platform.clone();
    let content = bytes(content);
    let summary = ManifestSummary {
        id: entry.digest.to_string(),
        descriptor: descriptor(entry),
        size: ManifestSizes { content, total: content },
        ..ManifestSummary::default()
    };
    match kind {
        ManifestKind::Image(image) => {
            let unpacked = bytes(image.size);
            let containers = users.get(image.id.as_str()).cloned().unwrap_or_default();
            let platform = told.map_or_else(|| platform_of(&image), platform);
            let size = UnpackedSize { unpacked };
            ManifestSummary {
                available: true,
                size: ManifestSizes { content, total: content.saturating_add(unpacked) },
                kind: "image".to_owned(),
                image_data: Some(ImageProperties { platform, size, containers }),
                ..summary
            }
        }
        ManifestKind::Absent(spec) => {
            let image_data = Some(ImageProperties { platform: platform(spec), ..ImageProperties::default() });
            ManifestSummary { kind: "image".to_owned(), image_data, ..summary }
        }
        ManifestKind::Attestation(of) => {
            let attestation_data = Some(AttestationProperties { of: of.to_string() });
            ManifestSummary { kind: "attestation".to_owned(), attestation_data, ..summary }
        }
        ManifestKind::Unknown => ManifestSummary { kind: "unknown".to_owned(), ..summary },
    }
}

fn platform_of(image: &Image) -> Platform {
    let config = &image.config;
    Platform {
        architecture: config.architecture.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        variant: config.variant.clone(),
        ..Platform::default()
    }
}

fn descriptor(entry: image::manifest::Descriptor) -> Descriptor {
    Descriptor {
        media_type: entry.media_type,
        digest: entry.digest.to_string(),
        size: bytes(entry.size),
        urls: entry.urls,
        annotations: entry.annotations,
        platform: entry.platform.map(platform),
        ..Descriptor::default()
    }
}
