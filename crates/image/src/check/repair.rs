//! Putting out of use what is damaged.

use std::fs;
use std::sync::Arc;

use oci::{Digest, Reference};

use super::Outcome;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::ingest::UnpackedLayer;
use crate::layout::layer_name;
use crate::record::{Durability, ImageRecord, LayerRecord, ReferenceRecord};
use crate::store::Shared;

/// A blob that is damaged or missing.
pub(super) fn blob(shared: &Shared, digest: &Digest) -> Result<Outcome> {
    let mut index = shared.write();
    shared.quarantine(&shared.layout.blob(digest), &format!("blob-{}", layer_name(digest)))?;
    forget_archive(shared, &mut index, digest)?;
    forget_document(shared, &mut index, digest)?;
    let outcome = match index.images.contains_key(digest) {
        true => {
            remove_images(shared, &mut index, std::slice::from_ref(digest))?;
            Outcome::ImagesRemoved
        }
        false => Outcome::Quarantined,
    };
    index.blobs.remove(digest);
    Ok(outcome)
}

/// The tree of a layer, and what it should be where that is known.
pub(super) fn layer(shared: &Shared, diff_id: &Digest, whole: Option<UnpackedLayer>) -> Result<Outcome> {
    let mut index = shared.write();
    let folder = shared.layout.layer(diff_id);
    shared.quarantine(&folder, &format!("layer-{}", layer_name(diff_id)))?;
    let Some(record) = index.layers.get(diff_id) else { return Ok(Outcome::Quarantined) };
    if let Some(whole) = whole {
        let durability = Durability::Since(shared.boot.clone());
        let record = LayerRecord { size: whole.size(), durability, ..record.clone() };
        fs::rename(whole.folder(), &folder).map_err(Error::io("place layer", &folder))?;
        shared.records.put(diff_id.as_str(), &record)?;
        index.layers.insert(diff_id.clone(), record);
        drop(index);
        shared.settle()?;
        return Ok(Outcome::Restored);
    }
    let has = |id: &&Digest| index.images[*id].record.layers.contains(diff_id);
    let images: Vec<Digest> = index.images.keys().filter(has).cloned().collect();
    remove_images(shared, &mut index, &images)?;
    shared.records.remove::<LayerRecord>(diff_id.as_str())?;
    index.layers.remove(diff_id);
    Ok(Outcome::ImagesRemoved)
}

/// An image whose record is wrong.
pub(super) fn image(shared: &Shared, id: &Digest) -> Result<Outcome> {
    let mut index = shared.write();
    remove_images(shared, &mut index, std::slice::from_ref(id))?;
    let trash = shared.collect(&mut index)?;
    drop(index);
    drop(trash);
    Ok(Outcome::ImagesRemoved)
}

/// Layers that came as this blob have no archive any more.
fn forget_archive(shared: &Shared, index: &mut Index, digest: &Digest) -> Result<()> {
    for (diff_id, record) in &mut index.layers {
        if record.archive.as_ref() == Some(digest) {
            let without = LayerRecord { archive: None, ..record.clone() };
            shared.records.put(diff_id.as_str(), &without)?;
            *record = without;
        }
    }
    Ok(())
}

/// Images that have this manifest or index have it no more. Their configurations they cannot be without.
fn forget_document(shared: &Shared, index: &mut Index, digest: &Digest) -> Result<()> {
    for (id, entry) in &mut index.images {
        if id == digest || !entry.record.blobs.contains(digest) {
            continue;
        }
        let mut record = entry.record.clone();
        record.blobs.remove(digest);
        record.manifest = record.manifest.filter(|manifest| manifest.digest != *digest);
        shared.records.put(id.as_str(), &record)?;
        *entry = Arc::new(entry.with_record(record));
    }
    Ok(())
}

fn remove_images(shared: &Shared, index: &mut Index, ids: &[Digest]) -> Result<()> {
    let is_gone = |id: &Digest| ids.contains(id);
    let names: Vec<(Reference, Option<ReferenceRecord>)> = index
        .references
        .iter()
        .filter(|(_, record)| record.images().any(is_gone))
        .map(|(name, record)| (name.clone(), record.without(is_gone)))
        .collect();
    shared.records.transaction::<_, Error>(|transaction| {
        for (name, left) in &names {
            match left {
                Some(left) => transaction.put(&name.to_string(), left)?,
                None => drop(transaction.remove::<ReferenceRecord>(&name.to_string())?),
            }
        }
        for id in ids {
            transaction.remove::<ImageRecord>(id.as_str())?;
        }
        Ok(())
    })?;
    for (name, left) in names {
        match left {
            Some(left) => drop(index.references.insert(name, left)),
            None => drop(index.references.remove(&name)),
        }
    }
    index.images.retain(|id, _| !ids.contains(id));
    Ok(())
}
