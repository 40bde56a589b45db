//! Opening a store: reading the records, and removing what a killed process or a power cut left half-made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use oci::{Algorithm, Digest, Hasher, Reference};
use store::Store;

use crate::error::{Error, Result};
use crate::index::{ImageEntry, Index};
use crate::layout::{Layout, layer_of_name};
use crate::partial;
use crate::record::{ImageRecord, KeptRecord, LayerRecord, ReferenceRecord, SnapshotRecord};

/// The ID of this boot of the machine.
pub(crate) fn boot_id() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path).map_err(Error::io("read", path))?.trim().to_owned())
}

/// Reads the records, drops those whose files cannot be relied on, and removes the files that no record speaks of.
pub(crate) fn load(layout: &Layout, records: &Store, boot: &str) -> Result<Index> {
    clear(layout, &layout.ingest())?;
    partial::expire(layout)?;
    let mut index = read_records(records)?;
    index.blobs = present_blobs(layout)?;
    let stale = find_stale(layout, &index, boot)?;
    if !stale.is_empty() {
        forget(records, &mut index, &stale)?;
    }
    forget_lost_archives(records, &mut index)?;
    remove_unknown_layers(layout, &index)?;
    remove_unknown_snapshots(layout, &index)?;
    remove_garbage(layout, records, &mut index)?;
    Ok(index)
}

fn read_records(records: &Store) -> Result<Index> {
    let mut index = Index::default();
    for (key, record) in records.list::<ImageRecord>()? {
        if let Ok(id) = key.parse() {
            index.images.insert(id, Arc::new(ImageEntry::new(record)));
        }
    }
    for (key, record) in records.list::<ReferenceRecord>()? {
        if let Ok(reference) = Reference::parse(&key) {
            index.references.insert(reference, record);
        }
    }
    for (key, record) in records.list::<LayerRecord>()? {
        if let Ok(diff_id) = key.parse() {
            index.layers.insert(diff_id, record);
        }
    }
    index.snapshots = records.list::<SnapshotRecord>()?.into_iter().collect();
    // Their notes are whoever's who keeps them, and in memory there.
    let kept = records.list::<KeptRecord>()?.into_iter();
    index.kept = kept.map(|(name, record)| (name, record.layers)).collect();
    Ok(index)
}

/// Records that are not to be believed.
#[derive(Default)]
struct Stale {
    images: Vec<Digest>,
    layers: Vec<Digest>,
    /// With what is left of each.
    references: Vec<(Reference, Option<ReferenceRecord>)>,
    snapshots: Vec<String>,
    kept: Vec<String>,
}

impl Stale {
    fn is_empty(&self) -> bool {
        self.images.is_empty()
            && self.layers.is_empty()
            && self.references.is_empty()
            && self.snapshots.is_empty()
            && self.kept.is_empty()
    }
}

fn find_stale(layout: &Layout, index: &Index, boot: &str) -> Result<Stale> {
    let folders = names(&layout.layers())?;
    let present: BTreeSet<Digest> = folders.iter().filter_map(|name| layer_of_name(name)).collect();
    let mut stale = Stale::default();
    for (diff_id, record) in &index.layers {
        if !present.contains(diff_id) || !record.durability.is_trusted(boot) {
            stale.layers.push(diff_id.clone());
        }
    }
    for (id, entry) in &index.images {
        if let Some(reason) = distrust(layout, index, &stale.layers, id, &entry.record, boot) {
            tracing::warn!(image = %id, reason, "image is incomplete and is removed; pull it again");
            stale.images.push(id.clone());
        }
    }
    let is_image = |id: &Digest| index.images.contains_key(id) && !stale.images.contains(id);
    for (reference, record) in &index.references {
        if !record.images().all(is_image) {
            stale.references.push((reference.clone(), record.without(|id| !is_image(id))));
        }
    }
    let gone = index.snapshots.keys().filter(|id| !layout.snapshot(id).is_dir());
    stale.snapshots = gone.cloned().collect();
    let is_gone = |layer: &Digest| stale.layers.contains(layer) || !index.layers.contains_key(layer);
    let incomplete = index.kept.iter().filter(|(_, layers)| layers.iter().any(is_gone));
    stale.kept = incomplete.map(|(name, _)| name.clone()).collect();
    Ok(stale)
}

/// Why an image cannot be used, if it cannot.
fn distrust(
    layout: &Layout,
    index: &Index,
    stale_layers: &[Digest],
    id: &Digest,
    record: &ImageRecord,
    boot: &str,
) -> Option<&'static str> {
    let is_missing = |layer: &Digest| stale_layers.contains(layer) || !index.layers.contains_key(layer);
    if record.layers.iter().any(is_missing) {
        return Some("a layer is missing or was not yet on disk when the machine stopped");
    }
    if record.blobs.iter().chain([id]).any(|blob| !index.blobs.contains(blob)) {
        return Some("a blob is missing");
    }
    let is_sound = |blob: &Digest| record.durability.is_trusted(boot) || has_digest(layout, blob);
    if !record.blobs.iter().all(is_sound) {
        return Some("a blob was not yet on disk when the machine stopped");
    }
    None
}

/// A layer whose archive is gone can be used still, and its archive is fetched at the next pull.
fn forget_lost_archives(records: &Store, index: &mut Index) -> Result<()> {
    for (diff_id, record) in &mut index.layers {
        if record.archive.as_ref().is_some_and(|archive| !index.blobs.contains(archive)) {
            let without = LayerRecord { archive: None, ..record.clone() };
            records.put(diff_id.as_str(), &without)?;
            *record = without;
        }
    }
    Ok(())
}

fn has_digest(layout: &Layout, blob: &Digest) -> bool {
    let mut hasher = Hasher::new(blob.algorithm());
    let copied = fs::File::open(layout.blob(blob)).and_then(|mut file| std::io::copy(&mut file, &mut hasher));
    copied.is_ok() && hasher.finish() == *blob
}

fn forget(records: &Store, index: &mut Index, stale: &Stale) -> Result<()> {
    records.transaction::<_, Error>(|transaction| {
        for id in &stale.images {
            transaction.remove::<ImageRecord>(id.as_str())?;
        }
        for diff_id in &stale.layers {
            transaction.remove::<LayerRecord>(diff_id.as_str())?;
        }
        for (reference, left) in &stale.references {
            match left {
                Some(left) => transaction.put(&reference.to_string(), left)?,
                None => drop(transaction.remove::<ReferenceRecord>(&reference.to_string())?),
            }
        }
        for id in &stale.snapshots {
            transaction.remove::<SnapshotRecord>(id)?;
        }
        for name in &stale.kept {
            transaction.remove::<KeptRecord>(name)?;
        }
        Ok(())
    })?;
    index.images.retain(|id, _| !stale.images.contains(id));
    index.layers.retain(|id, _| !stale.layers.contains(id));
    for (reference, left) in &stale.references {
        match left {
            Some(left) => drop(index.references.insert(reference.clone(), left.clone())),
            None => drop(index.references.remove(reference)),
        }
    }
    index.snapshots.retain(|id, _| !stale.snapshots.contains(id));
    index.kept.retain(|name, _| !stale.kept.contains(name));
    Ok(())
}

fn present_blobs(layout: &Layout) -> Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for name in names(&layout.blobs(algorithm))? {
            if let Ok(digest) = format!("{}:{name}", algorithm.as_str()).parse() {
                found.insert(digest);
            }
        }
    }
    Ok(found)
}

fn remove_unknown_layers(layout: &Layout, index: &Index) -> Result<()> {
    for name in names(&layout.layers())? {
        if !layer_of_name(&name).is_some_and(|diff_id| index.layers.contains_key(&diff_id)) {
            drop(layout.discard(&layout.layers().join(name))?);
        }
    }
    Ok(())
}

fn remove_unknown_snapshots(layout: &Layout, index: &Index) -> Result<()> {
    for name in names(&layout.snapshots())? {
        if !index.snapshots.contains_key(&name) {
            drop(layout.discard(&layout.snapshot(&name))?);
        }
    }
    Ok(())
}

fn remove_garbage(layout: &Layout, records: &Store, index: &mut Index) -> Result<()> {
    let garbage = index.garbage();
    for diff_id in &garbage.layers {
        records.remove::<LayerRecord>(diff_id.as_str())?;
        index.layers.remove(diff_id);
        drop(layout.discard(&layout.layer(diff_id))?);
    }
    for blob in &garbage.blobs {
        index.blobs.remove(blob);
        drop(layout.discard(&layout.blob(blob))?);
    }
    Ok(())
}

fn clear(layout: &Layout, folder: &Path) -> Result<()> {
    for name in names(folder)? {
        drop(layout.discard(&folder.join(name))?);
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(Error::io("read folder", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("read folder", folder))?;
        // Everything the store makes has a name in ASCII.
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
