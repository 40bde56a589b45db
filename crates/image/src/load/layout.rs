//! OCI image layouts in a tar: `index.json` and `blobs/`.

use std::collections::BTreeMap;

use oci::{Digest, ImageConfig, Platform, Reference};

use super::spool::{Spool, read_document};
use super::{ArchiveError, Loaded, loaded};
use crate::error::{Error, Result};
use crate::ingest::Draft;
use crate::manifest::{Descriptor, Document, Manifest, ManifestError, parse_json};
use crate::store::ImageStore;

/// Indexes that may be in each other.
const MAX_DEPTH: usize = 4;

pub(super) fn load(store: &ImageStore, spool: &Spool<'_>, platform: &Platform) -> Result<Vec<Loaded>> {
    let content = spool.document("index.json")?;
    let Document::Index(index) = Document::parse(&content, None)? else {
        return Err(ManifestError::Unsupported("index.json is not an index".into()).into());
    };
    let mut all = Vec::new();
    for descriptor in &index.manifests {
        if let Some(found) = find_manifest(spool, descriptor, platform, MAX_DEPTH)? {
            all.extend(load_image(store, spool, name_of(descriptor), found)?);
        }
    }
    if all.is_empty() {
        return Err(ArchiveError::NoImage(format!(" for {platform}")).into());
    }
    Ok(all)
}

/// A manifest, and the documents on the way to it, itself the last.
struct Found {
    manifest: Manifest,
    descriptor: Descriptor,
    documents: Vec<(Digest, Vec<u8>)>,
}

fn find_manifest(
    spool: &Spool<'_>,
    descriptor: &Descriptor,
    platform: &Platform,
    depth: usize,
) -> Result<Option<Found>> {
    let serves = |spec: &crate::manifest::PlatformSpec| spec.platform().satisfies(platform);
    if depth == 0 || !descriptor.platform.as_ref().is_none_or(serves) {
        return Ok(None);
    }
    let content = read_document(spool.blob(&descriptor.digest)?)?;
    match Document::parse(&content, Some(&descriptor.media_type))? {
        Document::Manifest(manifest) => {
            let documents = vec![(descriptor.digest.clone(), content)];
            let Descriptor { media_type, digest, size, .. } = descriptor;
            // What else is said of it belongs to this archive.
            let descriptor = Descriptor::new(media_type, digest.clone(), *size);
            Ok(Some(Found { manifest, descriptor, documents }))
        }
        Document::Index(index) => {
            // An archive of one platform can have the index of all.
            for candidate in index.select(platform).into_iter().filter(|it| spool.blob(&it.digest).is_ok()) {
                if let Some(mut found) = find_manifest(spool, candidate, platform, depth - 1)? {
                    found.documents.insert(0, (descriptor.digest.clone(), content));
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
    }
}

fn load_image(
    store: &ImageStore,
    spool: &Spool<'_>,
    name: Option<Reference>,
    found: Found,
) -> Result<Vec<Loaded>> {
    let Manifest { config, layers } = &found.manifest;
    let content = read_document(spool.blob(&config.digest)?)?;
    let parsed: ImageConfig = parse_json("image configuration", &content)?;
    let diff_ids = parsed.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        return Err(ManifestError::LayerCount { layers: layers.len(), diff_ids: diff_ids.len() }.into());
    }
    let ingest = store.ingest()?;
    ingest.put_document("image config", &config.digest, &content)?;
    for (digest, content) in &found.documents {
        ingest.put_document("manifest", digest, content)?;
    }
    for (layer, diff_id) in layers.iter().zip(&diff_ids) {
        if !ingest.lease_layer(diff_id) {
            let file = spool.blob(&layer.digest)?;
            check_size(layer, file.size)?;
            ingest.layer_from_file(&file.file, &file.digest, diff_id)?;
        }
    }
    let id = config.digest.clone();
    let names = name.iter().map(|name| (name.clone(), store.holder(name, &id))).collect();
    ingest.commit(Draft {
        config: id.clone(),
        manifest: Some(found.descriptor),
        documents: found.documents.into_iter().map(|(digest, _)| digest).collect(),
        references: name.into_iter().collect(),
    })?;
    Ok(loaded(&id, names))
}

fn check_size(descriptor: &Descriptor, actual: u64) -> Result<()> {
    let (digest, expected) = (descriptor.digest.clone(), descriptor.size);
    if actual == expected { Ok(()) } else { Err(Error::Size { what: "layer", digest, expected, actual }) }
}

/// The name that containerd or others left for an image. A bare tag names none.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let annotations: &BTreeMap<String, String> = descriptor.annotations.as_ref()?;
    let whole = annotations.get("io.containerd.image.name");
    let partial =
        annotations.get("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']));
    Reference::parse(whole.or(partial)?).ok()
}
