//! Images in OCI layouts, as named contexts. They are for one build: their layers are brought, and no image is made of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use dockerfile::plan::BaseImage;
use image::Ingest;
use image::manifest::check_layer_count;
use oci::{Digest, ImageConfig, Platform, Reference};
use tokio::task::spawn_blocking;

use super::bases::Base;
use crate::error::Error;
use crate::exchange::{CacheFolder, Entry};
use crate::request::{NamedSource, Request};

/// A registry that nobody can have (RFC 2606).
const NOWHERE: &str = "oci-layout.invalid";

/// What a plan calls the image of a context.
pub(super) fn name_of(context: &str) -> String {
    let name = format!("{NOWHERE}/{}", context.to_lowercase());
    match Reference::parse(&name) {
        Ok(reference) if reference.digest().is_none() => name,
        _ => format!("{NOWHERE}/context:{}", &Digest::of(context.as_bytes()).hex()[..12]),
    }
}

/// The layouts of a build.
pub(super) struct Layouts {
    /// By what a plan calls their images.
    named: BTreeMap<String, (CacheFolder, Entry)>,
    /// Layers of images that were brought.
    layers: Mutex<HashMap<Digest, Vec<Digest>>>,
}

impl Layouts {
    pub(super) fn of(request: &Request) -> Self {
        let named = request.contexts.iter().filter_map(|(name, source)| match source {
            NamedSource::Layout { folder, entry } => {
                let reference = Reference::parse(&name_of(name)).ok()?.or_latest();
                Some((reference.to_string(), (folder.clone(), entry.clone())))
            }
            _ => None,
        });
        Self { named: named.collect(), layers: Mutex::default() }
    }

    /// The layers of an image that was brought, which are claimed.
    pub(super) fn layers(&self, image: &Digest) -> Option<Vec<Digest>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(image).cloned()
    }

    /// Brings the image that a plan calls so; `None` where it is none of a layout.
    pub(super) async fn bring(
        &self,
        reference: &str,
        platform: &Platform,
        ingest: &Arc<Ingest>,
    ) -> Option<Result<Base, String>> {
        let reference = Reference::parse(reference).ok()?.or_latest();
        let (folder, entry) = self.named.get(&reference.to_string())?.clone();
        let (platform, ingest) = (platform.clone(), Arc::clone(ingest));
        let read = move || read(&folder, &entry, &platform, &ingest);
        let found = spawn_blocking(read).await.expect("reading a layout does not panic");
        Some(found.map_err(|error| error.to_string()).inspect(|base| {
            let layers = base.image.config.rootfs.diff_ids.clone();
            self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(base.id.clone(), layers);
        }))
    }
}

/// Reads an image, and brings the layers that are not here.
fn read(folder: &CacheFolder, entry: &Entry, platform: &Platform, ingest: &Ingest) -> Result<Base, Error> {
    let failed = |source| Error::io("read the OCI layout", folder.path())(source);
    let (digest, manifest, content) = folder.image(entry, platform).map_err(failed)?;
    let malformed = |error: serde_json::Error| failed(std::io::Error::other(error));
    let config: ImageConfig = serde_json::from_slice(&content).map_err(malformed)?;
    let diff_ids = &config.rootfs.diff_ids;
    check_layer_count(manifest.layers.len(), diff_ids.len()).map_err(image::Error::from)?;
    for (blob, diff_id) in manifest.layers.iter().zip(diff_ids) {
        if !ingest.lease_layer(diff_id) {
            let mut file = folder.open_blob(&blob.digest).map_err(failed)?;
            ingest.layer(blob, diff_id, &mut file, &mut |_| {})?;
        }
    }
    Ok(Base { id: manifest.config.digest, image: BaseImage { config, digest: Some(digest) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_have_names_that_images_can_have() {
        assert_eq!(name_of("base"), "oci-layout.invalid/base");
        assert_eq!(name_of("Base:1"), "oci-layout.invalid/base:1");
        for strange in ["a b", "..", "x@y", "é"] {
            assert!(name_of(strange).starts_with("oci-layout.invalid/context:"), "{strange}");
            Reference::parse(&name_of(strange)).unwrap();
        }
    }
}
