//! Pushing an image.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use image::manifest::Descriptor;
use image::{Content, ImageStore, LayerContent};
use oci::{Digest, Reference};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use crate::error::Error;
use crate::progress::{Meter, Progress, ProgressSink};
use crate::session::{Access, Session};
use crate::upload::{BlobUpload, Outcome, backoff};
use crate::{Credentials, Registry};

/// Other repositories from which a registry is asked to take a blob over, in all.
const MAX_SOURCES: usize = 8;

/// What is to be pushed.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The image, by tag; a repository alone is all tags in it.
    pub reference: Reference,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// What was pushed, with the field names of Docker's JSON stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pushed {
    /// The tag.
    pub tag: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's length in bytes.
    pub size: u64,
}

impl Registry {
    /// Pushes an image from `store`, or all images of a repository.
    ///
    /// Dropping the future cancels the push. The tags that were pushed by then stay.
    ///
    /// # Errors
    /// When there is no such image here, or the registry cannot be reached or refuses.
    pub async fn push(
        &self,
        store: &ImageStore,
        request: PushRequest,
        progress: ProgressSink,
    ) -> Result<Vec<Pushed>, Error> {
        let PushRequest { reference, credentials } = request;
        progress(Progress::message(format!("The push refers to repository [{}]", reference.name())));
        let images = images(store, &reference)?;
        let sources = sources(store, &reference, &images);
        let session = Session::connect(&self.config, &reference, credentials, Access::Push(&sources)).await?;
        let push = Push { registry: self, store, session: &session, progress: &progress };
        let mut pushed = Vec::with_capacity(images.len());
        for (name, id) in images {
            pushed.push(push.run(&name, id).await?);
        }
        Ok(pushed)
    }
}

/// The tags that a reference means, and what they name.
fn images(store: &ImageStore, reference: &Reference) -> Result<Vec<(Reference, Digest)>, Error> {
    let mut names = store.names_in(reference);
    if names.is_empty() {
        return Err(Error::NotLocal(reference.familiar_name()));
    }
    if reference.digest().is_some() {
        return Err(Error::PushByDigest);
    }
    names.retain(|(name, _)| name.tag().is_some());
    if reference.is_name_only() {
        return if names.is_empty() { Err(Error::NoTags(reference.familiar_name())) } else { Ok(names) };
    }
    names.retain(|(name, _)| name == reference);
    if names.is_empty() { Err(Error::NoTag(reference.familiar())) } else { Ok(names) }
}

/// Other repositories of the registry that have layers of these images.
fn sources(store: &ImageStore, reference: &Reference, images: &[(Reference, Digest)]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for image in images.iter().filter_map(|(_, id)| store.image(id).ok()) {
        for layer in &image.layers {
            found.extend(store.repositories_with(layer, reference.domain()));
        }
    }
    found.remove(reference.path());
    found.into_iter().take(MAX_SOURCES).collect()
}

struct Push<'a> {
    registry: &'a Registry,
    store: &'a ImageStore,
    session: &'a Session<'a>,
    progress: &'a ProgressSink,
}

impl Push<'_> {
    async fn run(&self, name: &Reference, id: Digest) -> Result<Pushed, Error> {
        let store = self.store.clone();
        let content = blocking(move || store.content(&id)).await?;
        self.blobs(&content).await?;
        self.manifest(name, &content).await?;
        let pushed = Pushed {
            tag: name.tag().unwrap_or_default().to_owned(),
            digest: content.manifest.digest.clone(),
            size: content.manifest.size,
        };
        let (store, name) = (self.store.clone(), name.clone());
        blocking(move || store.set_pushed(&content, &name)).await?;
        let Pushed { tag, digest, size } = &pushed;
        (self.progress)(Progress::message(format!("{tag}: digest: {digest} size: {size}")));
        (self.progress)(Progress::pushed(pushed.clone()));
        Ok(pushed)
    }

    /// Brings everything that the manifest names, the topmost layer first, as dockerd does.
    async fn blobs(&self, content: &Content) -> Result<(), Error> {
        let mut layers: Vec<&LayerContent> = Vec::new();
        for layer in content.layers.iter().rev() {
            if !layers.iter().any(|other| other.blob.digest == layer.blob.digest) {
                layers.push(layer);
            }
        }
        let parallel = self.registry.config.parallel_uploads.max(1);
        for layer in &layers {
            (self.progress)(Progress::step(layer.diff_id.short(), "Preparing"));
        }
        for layer in layers.iter().skip(parallel) {
            (self.progress)(Progress::step(layer.diff_id.short(), "Waiting"));
        }
        // A list, because the compiler cannot tell of a closure over borrowed layers that its futures are `Send`.
        let mut uploads = Vec::with_capacity(layers.len() + 1);
        for layer in layers {
            uploads.push(self.blob(&layer.blob, Some(&layer.diff_id)));
        }
        uploads.push(self.blob(&content.config, None));
        stream::iter(uploads).buffer_unordered(parallel).try_collect().await
    }

    /// Only layers are shown.
    async fn blob(&self, blob: &Descriptor, layer: Option<&Digest>) -> Result<(), Error> {
        let repository = self.session.repository();
        let mut sources =
            layer.map_or_else(Vec::new, |layer| self.store.repositories_with(layer, repository.domain()));
        sources.retain(|source| source != repository.path());
        let meter = layer.map(|layer| Meter::new(self.progress, layer.short(), "Pushing", blob.size));
        let (config, session) = (&self.registry.config, self.session);
        let upload = BlobUpload::new(config, session, self.store, blob, sources.into_iter().next(), meter);
        let outcome = upload.run().await?;
        if let Some(layer) = layer {
            let status = match outcome {
                Outcome::Exists => "Layer already exists".to_owned(),
                Outcome::Mounted(source) => format!("Mounted from {source}"),
                Outcome::Uploaded => "Pushed".to_owned(),
                Outcome::Foreign => "Skipped foreign layer".to_owned(),
            };
            (self.progress)(Progress::step(layer.short(), &status));
        }
        Ok(())
    }

    async fn manifest(&self, name: &Reference, content: &Content) -> Result<(), Error> {
        let mut attempt = 1;
        loop {
            match self.put_manifest(name, content).await {
                Err(error) if error.is_transient() && attempt < self.registry.config.attempts => {
                    tokio::time::sleep(backoff(&self.registry.config, attempt)).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn put_manifest(&self, name: &Reference, content: &Content) -> Result<(), Error> {
        let url = self.session.url(&format!("manifests/{}", name.tag().unwrap_or_default()))?;
        let document = bytes::Bytes::copy_from_slice(&content.document);
        let response = self
            .session
            .request(Method::PUT, &url, &|builder| {
                Ok(builder.header(CONTENT_TYPE, &content.manifest.media_type).body(document.clone()))
            })
            .await?;
        let told = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let expected = &content.manifest.digest;
        match told.filter(|told| *told != expected.as_str()) {
            Some(other) => Err(Error::OtherDigest {
                reference: name.familiar(),
                expected: expected.clone(),
                actual: other.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Runs what blocks on the disk where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, image::Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?.map_err(Error::from)
}
