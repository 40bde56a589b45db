//! A layer in the making.

use std::path::Path;
use std::sync::Arc;

use image::{Ingest, OverlayParts};
use oci::Digest;

use crate::error::Error;
use crate::solve::Tree;

/// A snapshot that becomes a layer. Dropping it removes it.
#[derive(Debug)]
pub struct WritableLayer {
    ingest: Arc<Ingest>,
    id: String,
    parts: OverlayParts,
    is_finished: bool,
}

impl WritableLayer {
    /// An empty one over a tree; folders are nothing to be below a layer.
    pub(crate) fn over(ingest: &Arc<Ingest>, below: Option<&Tree>) -> Result<Self, Error> {
        let below = below.map(Tree::layers).unwrap_or_default();
        let id = sys::random::new_id();
        let parts = ingest.begin_layer(&id, below)?;
        Ok(Self { ingest: Arc::clone(ingest), id, parts, is_finished: false })
    }

    /// The snapshot's name: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder that has what is changed.
    pub(crate) fn upper(&self) -> &Path {
        &self.parts.upper
    }

    /// The folder that has what is changed, and the one beside it that an overlay needs.
    pub(crate) fn folders(&self) -> (&Path, &Path) {
        (&self.parts.upper, &self.parts.work)
    }

    /// Makes the layer, which is empty where nothing was changed.
    pub(crate) fn finish(mut self) -> Result<Digest, Error> {
        let layer = self.ingest.finish_layer(&self.id)?;
        self.is_finished = true;
        Ok(layer)
    }

    /// As [`WritableLayer::finish`], of one that has links to files of an earlier layer.
    pub(crate) fn finish_like(mut self, earlier: Option<&Digest>) -> Result<Digest, Error> {
        let layer = self.ingest.finish_layer_like(&self.id, earlier)?;
        self.is_finished = true;
        Ok(layer)
    }
}

impl Drop for WritableLayer {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if let Err(error) = self.ingest.remove_layer(&self.id) {
            tracing::warn!(snapshot = %self.id, %error, "left for the next start to remove");
        }
    }
}
