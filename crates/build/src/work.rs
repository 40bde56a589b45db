//! Folders of builds that are under way.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Where folders are made; clones are one place.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    folder: Arc<Path>,
    next: Arc<AtomicU64>,
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
}

impl Work {
    /// Removes what an earlier process left.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        if folder.exists() {
            sys::trash::delete(folder).map_err(Error::io("remove", folder))?;
        }
        make_folder(folder)?;
        Ok(Self { folder: folder.into(), next: Arc::default() })
    }

    /// A new, empty folder that only the superuser can enter.
    pub(crate) fn folder(&self) -> Result<WorkFolder, Error> {
        let path = self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        make_folder(&path)?;
        Ok(WorkFolder { path })
    }
}

impl WorkFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Err(error) = sys::trash::delete(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "left for the next start to remove");
        }
    }
}

/// Makes a folder, with those above it, that only the superuser can enter.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("make folder", path))?;
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    fs::set_permissions(path, mode).map_err(Error::io("set the mode of", path))
}
