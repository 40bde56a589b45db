//! Blobs of which only the beginning is here.
//!
//! What a download has brought is in `partial/` under the blob's digest. A download that fails or is cancelled takes it
//! away again; one that the end of the engine cut off leaves it, so that the next one goes on from there. Nothing in there
//! is trusted: the whole blob is verified when it is complete.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use oci::Digest;

use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::layout::Layout;
use crate::store::{ImageStore, Shared};

/// What nobody has gone on with for so long goes when the store is opened.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Which downloads are under way.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    taken: Mutex<BTreeSet<Digest>>,
    /// Whether the engine is about to end, so that what is cut off now is left for the next one.
    is_ending: AtomicBool,
}

/// The beginning of a blob, in a file that goes when this is dropped, unless the engine ends.
#[derive(Debug)]
pub struct PartialBlob {
    path: PathBuf,
    length: u64,
    /// Where it is under the blob's own name, and not one of those that several downloads of one blob have.
    claim: Option<(Arc<Shared>, Digest)>,
}

impl PartialBlob {
    /// Bytes that are there already.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        let is_ending =
            |(shared, _): &(Arc<Shared>, Digest)| shared.partials.is_ending.load(Ordering::Relaxed);
        if !self.claim.as_ref().is_some_and(is_ending) {
            // It has most often been moved to its place.
            let _ = fs::remove_file(&self.path);
        }
        // Only now may somebody else have a file of this name.
        if let Some((shared, digest)) = &self.claim {
            shared.partials.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        }
    }
}

impl ImageStore {
    /// Leaves the beginnings of blobs that are being downloaded for the next engine: this one ends now.
    pub fn keep_partial_blobs(&self) {
        self.shared.partials.is_ending.store(true, Ordering::Relaxed);
    }
}

impl Ingest {
    /// A place for a blob of this digest and length, with what an earlier engine has left of it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn partial_blob(&self, digest: &Digest, size: u64) -> Result<PartialBlob> {
        let shared = self.shared();
        let is_first =
            shared.partials.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
        let (path, claim) = match is_first {
            true => (shared.layout.partial_blob(digest), Some((Arc::clone(shared), digest.clone()))),
            false => (self.fresh_path("blob"), None),
        };
        let mut partial = PartialBlob { path, length: 0, claim };
        let file = File::options().create(true).append(true).open(&partial.path);
        let file = file.map_err(Error::io("make", &partial.path))?;
        partial.length = file.metadata().map_err(Error::io("read", &partial.path))?.len();
        if partial.length > size {
            file.set_len(0).map_err(Error::io("shorten", &partial.path))?;
            partial.length = 0;
        }
        Ok(partial)
    }
}

/// Removes what has been left for too long.
pub(crate) fn expire(layout: &Layout) -> Result<()> {
    let folder = layout.partial();
    for entry in fs::read_dir(&folder).map_err(Error::io("read folder", &folder))?.flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        if age.is_none_or(|age| age > LIFETIME) {
            drop(layout.discard(&entry.path())?);
        }
    }
    Ok(())
}
