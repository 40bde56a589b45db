//! Where things are on disk.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Algorithm, Digest};
use sys::trash::{Discarded, Trash};

use crate::error::{Error, Result};

/// The folders of a store. None of them is readable by other users: layers hold set-user-ID programs and device nodes.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    sequence: AtomicU64,
    trash: Trash,
}

/// Where a blob is in an OCI layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

impl Layout {
    /// Makes the folders that are not there.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        make_dir(root, 0o700)?;
        let folder = root.join("trash");
        let trash = Trash::open(&folder, keep_for_later).map_err(Error::io("open folder", &folder))?;
        let layout = Self { root: root.to_owned(), sequence: AtomicU64::new(0), trash };
        for folder in ["blobs", "blobs/sha256", "blobs/sha512", "layers", "ingest", "partial", "snapshots"] {
            make_dir(&root.join(folder), 0o700)?;
        }
        layout.make_base()?;
        Ok(layout)
    }

    /// Makes the tree that is below every image: what a container's own mounts are put on. Where an image lacks it, it need
    /// not be made in each writable layer, which would be most of what a short container writes to disk.
    fn make_base(&self) -> Result<()> {
        let base = self.base();
        make_dir(&base, 0o755)?;
        for folder in ["proc", "dev", "sys", "etc"] {
            make_dir(&base.join(folder), 0o755)?;
        }
        for file in ["etc/hosts", "etc/hostname", "etc/resolv.conf"] {
            make_file(&base.join(file), 0o644)?;
        }
        // By this one programs recognise that they are in a container.
        make_file(&base.join(".dockerenv"), 0o755)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("metadata.db")
    }

    pub(crate) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(layer_name(diff_id))
    }

    /// The unpacked tree of a layer.
    pub(crate) fn layer_tree(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id).join(TREE)
    }

    /// The trees of layers, of which the lowest comes first; the topmost tree first, and each once.
    pub(crate) fn layer_trees(&self, layers: &[Digest]) -> Vec<PathBuf> {
        let mut seen = BTreeSet::new();
        let distinct = layers.iter().rev().filter(|layer| seen.insert(*layer));
        distinct.map(|layer| self.layer_tree(layer)).collect()
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn snapshot(&self, id: &str) -> PathBuf {
        self.snapshots().join(id)
    }

    /// The lowest layer of every container, with places for mounts and nothing else.
    pub(crate) fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    /// What was found damaged, for somebody to look at.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// Where the beginning of a blob is.
    pub(crate) fn partial_blob(&self, digest: &Digest) -> PathBuf {
        self.partial().join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// A path inside `ingest/` that nothing has yet.
    pub(crate) fn fresh(&self, kind: &str) -> PathBuf {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.ingest().join(format!("{kind}-{number}"))
    }

    /// Moves `path` out of the way in one step; it is deleted after the result is dropped, which is to happen when no lock
    /// is held. `None` where nothing is there.
    pub(crate) fn discard(&self, path: &Path) -> Result<Option<Discarded>> {
        self.trash.discard(path).map_err(Error::io("remove", path))
    }
}

fn keep_for_later(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "left for the next start to remove");
}

/// The name of the folder in a layer's folder that holds its tree.
pub(crate) const TREE: &str = "diff";

/// The name of a layer's folder.
pub(crate) fn layer_name(diff_id: &Digest) -> String {
    match diff_id.algorithm() {
        Algorithm::Sha256 => diff_id.hex().into(),
        Algorithm::Sha512 => format!("sha512-{}", diff_id.hex()),
    }
}

/// The layer whose folder has this name.
pub(crate) fn layer_of_name(name: &str) -> Option<Digest> {
    match name.strip_prefix("sha512-") {
        Some(hex) => format!("sha512:{hex}").parse().ok(),
        None => Digest::from_sha256_hex(name).ok(),
    }
}

/// Makes a folder with exactly this mode, whatever the umask; one that exists is left as it is.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(Error::io("set mode of", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::io("make folder", path)(source)),
    }
}

/// Makes an empty file with exactly this mode, whatever the umask; one that exists is left as it is.
fn make_file(path: &Path, mode: u32) -> Result<()> {
    match fs::File::create_new(path) {
        Ok(file) => {
            file.set_permissions(fs::Permissions::from_mode(mode)).map_err(Error::io("set mode of", path))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::io("make file", path)(source)),
    }
}
