//! The writable layers of containers.
//!
//! A snapshot is an upper and a work folder over the layers of an image, for an overlay mount that somebody else makes.
//! Its record is written before its folders are made and removed after they are gone, so that its layers are kept for as
//! long as anything of it is there, also when the image is removed.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci::Digest;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::layout::Layout;
use crate::record::SnapshotRecord;
use crate::store::ImageStore;

/// Layers of an image that can be stacked: 500 is the kernel's limit, and one is below every image.
pub const MAX_LOWER_LAYERS: usize = 499;

/// The parts of an overlay mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayParts {
    /// Read-only layers, the topmost first; the last one has the places of the container's own mounts and no more.
    pub lower: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// The work folder, on the same file system as `upper`.
    pub work: PathBuf,
}

impl OverlayParts {
    /// The layers of an overlay that only shows what a container sees, the topmost first, for as long as nobody writes to it.
    pub fn for_reading(mut self) -> Vec<PathBuf> {
        self.lower.insert(0, self.upper);
        // One more than the kernel stacks: the last one has nothing of the image.
        self.lower.truncate(MAX_LOWER_LAYERS + 1);
        self.lower
    }
}

/// What a snapshot takes of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in its files (`SizeRw`).
    pub size: u64,
    /// Files and folders.
    pub inodes: u64,
}

impl ImageStore {
    /// Makes the writable layer of a container over an image.
    ///
    /// # Errors
    /// When the image is not there, has too many layers, or the snapshot exists. Nothing is left behind then.
    pub fn prepare(&self, id: &str, image: &Digest) -> Result<OverlayParts> {
        let layers = layers_of(&self.shared.read(), image)?;
        self.prepare_over(id, layers)
    }

    /// The same over any layers, the lowest first.
    pub(crate) fn prepare_over(&self, id: &str, layers: Vec<Digest>) -> Result<OverlayParts> {
        check_name(id)?;
        {
            let mut index = self.shared.write();
            if let Some(missing) = layers.iter().find(|layer| !index.layers.contains_key(layer)) {
                return Err(Error::NotFound(missing.to_string()));
            }
            if index.snapshots.contains_key(id) {
                return Err(Error::SnapshotExists(id.into()));
            }
            let record = SnapshotRecord { layers: layers.clone() };
            self.shared.records.put(id, &record)?;
            index.snapshots.insert(id.into(), record);
        }
        if let Err(error) = make_folders(&self.shared.layout.snapshot(id)) {
            // The first failure is the one to tell; what remains is found when the store is next opened.
            let _ = self.remove_snapshot(id);
            return Err(error);
        }
        Ok(parts(&self.shared.layout, id, &layers))
    }

    /// The parts of a snapshot that exists.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`].
    pub fn open_snapshot(&self, id: &str) -> Result<OverlayParts> {
        let index = self.shared.read();
        let record = index.snapshots.get(id).ok_or_else(|| Error::SnapshotNotFound(id.into()))?;
        Ok(parts(&self.shared.layout, id, &record.layers))
    }

    /// Deletes a snapshot, and the layers that only it needed. One that is not there is no error.
    pub fn remove_snapshot(&self, id: &str) -> Result<()> {
        check_name(id)?;
        let mut index = self.shared.write();
        let mut upper = self.shared.layout.discard(&self.shared.layout.snapshot(id))?;
        let Some(record) = index.snapshots.get(id) else { return Ok(()) };
        let images = index.images.values().map(|entry| entry.record.layers.as_slice());
        let is_needed = images.clone().any(|layers| layers.starts_with(&record.layers));
        if self.shared.records.remove::<SnapshotRecord>(id).is_err() {
            // On a full disk there is room for the removal only once the files are gone.
            if let Some(upper) = upper.take() {
                upper.delete().map_err(Error::io("remove", &self.shared.layout.snapshot(id)))?;
            }
            self.shared.records.remove::<SnapshotRecord>(id)?;
        }
        index.snapshots.remove(id);
        // Nearly always the image is still there, and nothing has to be looked for.
        let trash = if is_needed { Vec::new() } else { self.shared.collect(&mut index)? };
        drop(index);
        drop((upper, trash));
        Ok(())
    }

    /// What a snapshot takes of the disk. Walks its files.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`], or when a folder cannot be read.
    pub fn usage(&self, id: &str) -> Result<Usage> {
        measure(&self.open_snapshot(id)?.upper)
    }

    /// Bytes in the files of the layers under a snapshot.
    ///
    /// # Errors
    /// [`Error::SnapshotNotFound`].
    pub fn lower_size(&self, id: &str) -> Result<u64> {
        let index = self.shared.read();
        let record = index.snapshots.get(id).ok_or_else(|| Error::SnapshotNotFound(id.into()))?;
        Ok(index.size_of(&record.layers))
    }

    /// The names of all snapshots, in order.
    pub fn snapshots(&self) -> Vec<String> {
        self.shared.read().snapshots.keys().cloned().collect()
    }
}

/// What a tree takes of the disk; files with several names count once.
///
/// # Errors
/// When a folder cannot be read.
pub fn measure(tree: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut linked = HashSet::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        measure_folder(&folder, &mut folders, &mut linked, &mut usage)?;
    }
    Ok(usage)
}

fn layers_of(index: &Index, image: &Digest) -> Result<Vec<Digest>> {
    let entry = index.images.get(image).ok_or_else(|| Error::NotFound(image.to_string()))?;
    let layers = &entry.record.layers;
    let count = layers.iter().collect::<BTreeSet<_>>().len();
    if count > MAX_LOWER_LAYERS {
        return Err(Error::TooManyLayers { image: image.clone(), count, max: MAX_LOWER_LAYERS });
    }
    Ok(layers.clone())
}

fn parts(layout: &Layout, id: &str, layers: &[Digest]) -> OverlayParts {
    let folder = layout.snapshot(id);
    let lower = layout.layer_trees(layers).into_iter().chain([layout.base()]).collect();
    OverlayParts { lower, upper: folder.join("upper"), work: folder.join("work") }
}

fn make_folders(folder: &Path) -> Result<()> {
    let make = |path: &Path, mode: u32| {
        fs::DirBuilder::new().mode(mode).create(path).map_err(Error::io("make folder", path))
    };
    make(folder, 0o700)?;
    make(&folder.join("work"), 0o700)?;
    let upper = folder.join("upper");
    make(&upper, 0o755)?;
    // The container sees this mode on its `/`, whatever the umask of the engine.
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).map_err(Error::io("set mode of", &upper))
}

/// Containers' IDs are hexadecimal; nothing else that could not be one plain file name is let through.
fn check_name(id: &str) -> Result<()> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(is_plain) {
        return Err(Error::SnapshotName(id.into()));
    }
    Ok(())
}

fn measure_folder(
    folder: &Path,
    folders: &mut Vec<PathBuf>,
    linked: &mut HashSet<(u64, u64)>,
    usage: &mut Usage,
) -> Result<()> {
    // A container that runs may remove what was just listed.
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("read folder", folder))?,
    };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        usage.inodes += 1;
        if metadata.is_dir() {
            folders.push(entry.path());
        } else if metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())) {
            usage.size += if metadata.is_file() { metadata.len() } else { 0 };
        }
    }
    Ok(())
}
