//! Archives as `docker save` writes them: `manifest.json`, configurations, and a tar for each layer.

use oci::{Digest, ImageConfig, Platform, Reference};
use serde::Deserialize;

use super::spool::{Spool, read_document};
use super::{ArchiveError, Loaded, Progress, loaded, some, unpack};
use crate::error::Result;
use crate::ingest::{Draft, Ingest};
use crate::manifest::{check_layer_count, parse_json};
use crate::store::ImageStore;

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub(super) fn load(
    store: &ImageStore,
    spool: &Spool<'_>,
    platforms: &[Platform],
    progress: Progress<'_>,
) -> Result<Vec<Loaded>> {
    let items: Vec<Item> = parse_json("manifest.json", &spool.document("manifest.json")?)?;
    if items.is_empty() {
        return Err(ArchiveError::NoImage(String::new()).into());
    }
    let mut all = Vec::new();
    for item in items {
        all.extend(load_item(store, spool, item, platforms, progress)?);
    }
    some(all, platforms)
}

fn load_item(
    store: &ImageStore,
    spool: &Spool<'_>,
    item: Item,
    platforms: &[Platform],
    progress: Progress<'_>,
) -> Result<Vec<Loaded>> {
    let config = spool.file(&item.config)?;
    let content = read_document(config)?;
    let parsed: ImageConfig = parse_json("image configuration", &content)?;
    if !platforms.is_empty() && !platforms.contains(&parsed.platform()) {
        return Ok(Vec::new());
    }
    let (layers, diff_ids) = (item.layers.unwrap_or_default(), parsed.rootfs.diff_ids);
    check_layer_count(layers.len(), diff_ids.len())?;
    let references = parse_names(item.repo_tags.unwrap_or_default())?;
    let ingest = store.ingest()?;
    let id = Digest::of(&content);
    ingest.put_document("image config", &id, &content)?;
    for (path, diff_id) in layers.iter().zip(&diff_ids) {
        bring_layer(&ingest, spool, path, diff_id, progress)?;
    }
    let names = references.iter().map(|name| (name.clone(), store.holder(name, &id))).collect();
    ingest.commit(Draft { config: id.clone(), manifest: None, documents: Vec::new(), references })?;
    Ok(loaded(&id, names))
}

fn bring_layer(
    ingest: &Ingest,
    spool: &Spool<'_>,
    path: &str,
    diff_id: &Digest,
    progress: Progress<'_>,
) -> Result<()> {
    if ingest.lease_layer(diff_id) {
        return Ok(());
    }
    unpack(ingest, spool.file(path)?, None, diff_id, progress)
}

fn parse_names(names: Vec<String>) -> Result<Vec<Reference>, ArchiveError> {
    let parse = |name: String| match Reference::parse(&name) {
        Ok(reference) => Ok(reference),
        Err(source) => Err(ArchiveError::Name { name, source }),
    };
    names.into_iter().map(parse).collect()
}
