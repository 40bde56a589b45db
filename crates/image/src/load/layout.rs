//! OCI image layouts in a tar: `index.json` and `blobs/`.

use std::collections::BTreeMap;

use oci::{Digest, ImageConfig, Platform, Reference};

use super::spool::Spool;
use super::{Loaded, Progress, loaded, some, unpack};
use crate::error::{Error, Result};
use crate::ingest::Draft;
use crate::manifest::{Descriptor, Document, Manifest, ManifestError, check_layer_count, parse_json};
use crate::store::ImageStore;

/// Indexes that may be in each other.
const MAX_DEPTH: usize = 4;

pub(super) fn load(
    store: &ImageStore,
    spool: &Spool<'_>,
    platforms: &[Platform],
    progress: Progress<'_>,
) -> Result<Vec<Loaded>> {
    let content = spool.document("index.json")?;
    let Document::Index(index) = Document::parse(&content, None)? else {
        return Err(ManifestError::Unsupported("index.json is not an index".into()).into());
    };
    let mut all = Vec::new();
    for descriptor in &index.manifests {
        let mut images = Vec::new();
        collect_images(spool, descriptor, MAX_DEPTH, &[], &mut images)?;
        for found in wanted(images, platforms) {
            all.extend(load_image(store, spool, name_of(descriptor), found, progress)?);
        }
    }
    some(all, platforms)
}

/// A manifest, and the documents on the way to it, itself the last.
struct Found {
    manifest: Manifest,
    descriptor: Descriptor,
    documents: Vec<(Digest, Vec<u8>)>,
    /// The index that has it, where its name stands for one.
    index: Option<Descriptor>,
    config: Vec<u8>,
    parsed: ImageConfig,
}

/// All images under an entry that are in the archive. One of few platforms can have the index of all.
fn collect_images(
    spool: &Spool<'_>,
    descriptor: &Descriptor,
    depth: usize,
    above: &[(Descriptor, Vec<u8>)],
    images: &mut Vec<Found>,
) -> Result<()> {
    let is_for_nothing = |spec: &crate::manifest::PlatformSpec| spec.os == "unknown";
    if depth == 0 || descriptor.platform.as_ref().is_some_and(is_for_nothing) {
        return Ok(());
    }
    if !above.is_empty() && spool.blob(&descriptor.digest).is_err() {
        return Ok(());
    }
    let content = spool.blob_document(&descriptor.digest)?;
    let Descriptor { media_type, digest, size, .. } = descriptor;
    // What else is said of it belongs to this archive.
    let plain = Descriptor::new(media_type, digest.clone(), *size);
    match Document::parse(&content, Some(media_type))? {
        Document::Manifest(manifest) => {
            let config = spool.blob_document(&manifest.config.digest)?;
            let parsed = parse_json("image configuration", &config)?;
            let documents = above.iter().map(|(list, content)| (list.digest.clone(), content.clone()));
            let documents = documents.chain([(digest.clone(), content)]).collect();
            let index = above.first().map(|(list, _)| list.clone());
            images.push(Found { manifest, descriptor: plain, documents, index, config, parsed });
        }
        Document::Index(list) => {
            let above = [above, &[(plain, content)]].concat();
            for entry in &list.manifests {
                collect_images(spool, entry, depth - 1, &above, images)?;
            }
        }
    }
    Ok(())
}

/// The images for these platforms, the best for each; all where none is named.
fn wanted(images: Vec<Found>, platforms: &[Platform]) -> Vec<Found> {
    if platforms.is_empty() {
        return images;
    }
    let best = |wanted: &Platform| {
        let distances = images.iter().enumerate();
        let distances =
            distances.filter_map(|(at, found)| Some((found.parsed.platform().distance(wanted)?, at)));
        distances.min().map(|(_, at)| at)
    };
    let chosen: Vec<usize> = platforms.iter().filter_map(best).collect();
    let numbered = images.into_iter().enumerate();
    numbered.filter(|(at, _)| chosen.contains(at)).map(|(_, found)| found).collect()
}

fn load_image(
    store: &ImageStore,
    spool: &Spool<'_>,
    name: Option<Reference>,
    found: Found,
    progress: Progress<'_>,
) -> Result<Vec<Loaded>> {
    let Manifest { config, layers } = &found.manifest;
    let diff_ids = found.parsed.rootfs.diff_ids;
    check_layer_count(layers.len(), diff_ids.len())?;
    let ingest = store.ingest()?;
    ingest.put_document("image config", &config.digest, &found.config)?;
    for (digest, content) in &found.documents {
        ingest.put_document("manifest", digest, content)?;
    }
    for (layer, diff_id) in layers.iter().zip(&diff_ids) {
        if !ingest.lease_layer(diff_id) {
            let file = spool.blob(&layer.digest)?;
            check_size(layer, file.size)?;
            unpack(&ingest, file, Some(layer), diff_id, progress)?;
        }
    }
    let id = config.digest.clone();
    let names = name.iter().map(|name| (name.clone(), store.holder(name, &id))).collect();
    let draft = Draft {
        config: id.clone(),
        manifest: Some(found.descriptor),
        documents: found.documents.into_iter().map(|(digest, _)| digest).collect(),
        references: name.into_iter().collect(),
    };
    match found.index {
        Some(index) => ingest.commit_listed(draft, index)?,
        None => ingest.commit(draft)?,
    };
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
