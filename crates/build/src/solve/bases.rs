//! Images that a build begins with or copies from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::Dockerfile;
use dockerfile::plan::{BaseImage, ImageRequest, NeededImage, VertexId};
use image::{ErrorKind, Image, Ingest};
use oci::{Digest, Platform, Reference};

use super::layouts::Layouts;
use super::{Job, Outcome, Tree, dockerfile_error};
use crate::builder::Shared;
use crate::error::Error;
use crate::host::Host;
use crate::key;
use crate::progress::Progress;
use crate::request::Request;

/// Brings images, each once.
pub(super) struct Bases {
    shared: Arc<Shared>,
    host: Arc<dyn Host>,
    ingest: Arc<Ingest>,
    progress: Progress,
    name: String,
    pulls: bool,
    /// By the names that vertices have for them.
    known: Mutex<HashMap<(String, String), Digest>>,
    layouts: Layouts,
}

/// An image that is here.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) id: Digest,
    pub(super) image: BaseImage,
}

impl From<Base> for BaseImage {
    fn from(base: Base) -> Self {
        base.image
    }
}

impl Bases {
    pub(super) fn new(
        shared: &Arc<Shared>,
        host: &Arc<dyn Host>,
        request: &Request,
        ingest: &Arc<Ingest>,
        progress: &Progress,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            host: Arc::clone(host),
            ingest: Arc::clone(ingest),
            progress: progress.clone(),
            name: request.name.clone(),
            pulls: request.pull,
            known: Mutex::default(),
            layouts: Layouts::of(request),
        }
    }

    /// Finds an image whose configuration the plan needs.
    pub(super) async fn needed(&self, needed: &NeededImage, file: &Dockerfile) -> Result<Base, Error> {
        let ImageRequest { reference, platform } = &needed.request;
        let vertex = self.progress.vertex(&format!("[internal] load metadata for {reference}")).await;
        self.progress.started(vertex).await;
        let found = self.bring(reference, platform, vertex).await;
        let error = found.as_ref().err().cloned();
        self.progress.completed(vertex, None, error).await;
        found.map_err(|reason| dockerfile_error(needed.error(&reason), &self.name, &file.source))
    }

    /// Remembers an image by the name that vertices have for it.
    pub(super) fn remember(&self, request: &ImageRequest, base: &Base) {
        let reference = match &base.image.digest {
            Some(digest) if !request.reference.contains('@') => format!("{}@{digest}", request.reference),
            _ => request.reference.clone(),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((reference, request.platform.to_string()), base.id.clone());
    }

    fn recall(&self, reference: &str, platform: &str) -> Option<Digest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(reference.to_owned(), platform.to_owned())).cloned()
    }

    /// Finds an image here or, where that is asked for or it is not here, in its registry, and claims it.
    async fn bring(&self, reference: &str, platform: &Platform, vertex: u32) -> Result<Base, String> {
        if let Some(found) = self.layouts.bring(reference, platform, &self.ingest).await {
            return found;
        }
        let reference = Reference::parse(reference).map_err(|error| error.to_string())?;
        let here = || self.shared.images.resolve_for(&reference.to_string(), platform);
        let found = match here() {
            Ok(image) if !self.pulls => Ok(image),
            Ok(_) => Err(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Some(error)),
            Err(error) => return Err(error.to_string()),
        };
        let image = match found {
            Ok(image) => image,
            Err(missing) => {
                let sink = self.progress.of_transfer(vertex);
                match self.host.pull(reference.clone(), platform.clone(), sink).await {
                    Ok(()) => here().map_err(|error| error.to_string())?,
                    // An image that was made here has no registry to ask.
                    Err(_) if missing.is_none() && is_local(&here()) => {
                        here().map_err(|error| error.to_string())?
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        self.ingest.lease_image(&image.id).map_err(|error| error.to_string())?;
        let digest = digest_of(&image, &reference);
        Ok(Base { id: image.id, image: BaseImage { config: (*image.config).clone(), digest } })
    }
}

/// Whether an image never was in a registry.
fn is_local(found: &image::Result<Image>) -> bool {
    found.as_ref().is_ok_and(|image| image.repo_digests.is_empty())
}

/// The digest that a name stands for, where it came from a registry.
fn digest_of(image: &Image, reference: &Reference) -> Option<Digest> {
    let named = image.repo_digests.iter().find(|known| known.name() == reference.name())?;
    named.digest().cloned()
}

impl Job {
    /// The files of an image.
    pub(super) async fn image(
        &self,
        id: VertexId,
        reference: &str,
        platform: &str,
    ) -> Result<Outcome, Error> {
        let image = match self.bases.recall(reference, platform) {
            Some(image) => image,
            None => {
                let wanted: Platform = platform.parse().unwrap_or_else(|_| Platform::host());
                let found = self.bases.bring(reference, &wanted, self.number(id)).await;
                let failed = |reason: String| {
                    let error = self.plan.image_error(&self.file, id, &reason);
                    dockerfile_error(error, &self.request.name, &self.file.source)
                };
                found.map_err(failed)?.id
            }
        };
        let layers = match self.bases.layouts.layers(&image) {
            Some(layers) => layers,
            None => self.ingest.lease_image(&image)?,
        };
        let key = key::of(&("image", &layers));
        Ok(Outcome { tree: Tree::Layers(layers.into()), key, steps: Vec::new() })
    }
}
