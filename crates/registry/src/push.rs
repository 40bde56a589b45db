//! Pushing an image.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures_util::{StreamExt, TryStreamExt, stream};
use image::manifest::Descriptor;
use image::{Content, ImageStore, IndexContent, LayerContent, Selection};
use oci::{Digest, Platform, Reference};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use crate::error::Error;
use crate::progress::{Meter, Outcome, Progress, ProgressSink};
use crate::retry::Retry;
use crate::session::Session;
use crate::upload::{self, BlobUpload, Source};
use crate::{Config, Credentials, Registry};

/// Other repositories from which a registry is asked to take a blob over, in all.
const MAX_SOURCES: usize = 8;

/// What is to be pushed.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// The image, by tag; a repository alone is all tags in it.
    pub reference: Reference,
    /// Only the image for this platform; `None` is all there is under the name.
    pub platform: Option<Platform>,
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
        let PushRequest { reference, platform, credentials } = request;
        progress(Progress::message(format!("The push refers to repository [{}]", reference.name())));
        let images = images(store, &reference)?;
        let sources = sources(store, &reference, &images);
        let session = Session::for_push(&self.config, &reference, &sources, credentials).await?;
        let push = Push { config: &self.config, store, session: &session, progress: &progress };
        let mut pushed = Vec::with_capacity(images.len());
        for (name, _) in images {
            pushed.push(push.run(&name, platform.clone()).await?);
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

pub(crate) struct Push<'a> {
    pub(crate) config: &'a Config,
    pub(crate) store: &'a ImageStore,
    pub(crate) session: &'a Session<'a>,
    pub(crate) progress: &'a ProgressSink,
}

impl Push<'_> {
    /// Brings what a name stands for, as far as it is here.
    async fn run(&self, name: &Reference, platform: Option<Platform>) -> Result<Pushed, Error> {
        let tag = name.tag().unwrap_or_default();
        let (store, wanted) = (self.store.clone(), name.clone());
        let selection = blocking(move || store.select(&wanted, platform.as_ref())).await?;
        let (pushed, instead_of) = match selection {
            Selection::Image { content, instead_of } => (self.image(name, content, tag).await?, instead_of),
            Selection::Index(index) => (self.index(name, index).await?, None),
        };
        let (digest, size) = (pushed.digest.clone(), pushed.size);
        (self.progress)(Progress::message(format!("{tag}: digest: {digest} size: {size}")));
        let pushed_tag = Pushed { tag: tag.to_owned(), digest, size };
        (self.progress)(Progress::outcome(Outcome::Pushed(pushed_tag.clone())));
        if let Some(original_index) = instead_of {
            (self.progress)(Progress::outcome(Outcome::Instead {
                manifest_pushed_instead_of_index: true,
                original_index,
                selected_manifest: pushed,
            }));
        }
        Ok(pushed_tag)
    }

    /// Brings all images of an index, and then the index.
    async fn index(&self, name: &Reference, whole: IndexContent) -> Result<Descriptor, Error> {
        let IndexContent { index, document, images } = whole;
        for content in &images {
            self.blobs(&content.layers, Some(&content.config), Form::AsItIs).await?;
            let digest = content.manifest.digest.as_str();
            self.document(name, digest, &content.manifest, &content.document).await?;
        }
        self.document(name, name.tag().unwrap_or_default(), &index, &document).await?;
        let (store, name, pushed) = (self.store.clone(), name.clone(), index.clone());
        blocking(move || store.set_index_pushed(&pushed, &name)).await?;
        Ok(index)
    }

    /// Brings one image under a tag or digest.
    async fn image(&self, name: &Reference, content: Content, tag: &str) -> Result<Descriptor, Error> {
        // What a registry has as plain tars stays that, so that digests stay.
        let form = if self.store.is_from_registry(&content) { Form::AsItIs } else { Form::Compressed };
        let forms = self.blobs(&content.layers, Some(&content.config), form).await?;
        let is_as_stored = content.layers.iter().zip(&forms).all(|(layer, form)| layer.blob == *form);
        let content = if is_as_stored { content } else { content.with_layers(forms) };
        self.document(name, tag, &content.manifest, &content.document).await?;
        let manifest = content.manifest.clone();
        let (store, name) = (self.store.clone(), name.clone());
        blocking(move || store.set_pushed(&content, &name)).await?;
        Ok(manifest)
    }

    /// Brings layers and the configuration, the topmost layer first, as dockerd does. The result is what each layer became, in
    /// the same order.
    pub(crate) async fn blobs(
        &self,
        all: &[LayerContent],
        config: Option<&Descriptor>,
        form: Form,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut layers: Vec<&LayerContent> = Vec::new();
        for layer in all.iter().rev() {
            if !layers.iter().any(|other| other.blob.digest == layer.blob.digest) {
                layers.push(layer);
            }
        }
        let parallel = self.config.parallel_uploads.max(1);
        for layer in &layers {
            (self.progress)(Progress::step(layer.diff_id.short(), "Preparing"));
        }
        for layer in layers.iter().skip(parallel) {
            (self.progress)(Progress::step(layer.diff_id.short(), "Waiting"));
        }
        // A list, because the compiler cannot tell of a closure over borrowed layers that its futures are `Send`.
        let mut uploads: Vec<Upload<'_>> = Vec::new();
        for layer in layers {
            match layer.is_plain() && form == Form::Compressed {
                true => uploads.push(Box::pin(self.plain_layer(layer))),
                false => uploads.push(Box::pin(self.stored_layer(layer))),
            }
        }
        if let Some(config) = config {
            uploads.push(Box::pin(self.document_blob(config)));
        }
        let done: Vec<Uploaded> = stream::iter(uploads).buffer_unordered(parallel).try_collect().await?;
        let form = |layer: &LayerContent| {
            let found = done.iter().find(|(stored, _)| *stored == layer.blob.digest);
            found.map_or_else(|| layer.blob.clone(), |(_, form)| form.clone())
        };
        Ok(all.iter().map(form).collect())
    }

    async fn document_blob(&self, blob: &Descriptor) -> Result<Uploaded, Error> {
        self.upload(Source::Store(self.store), blob, None, None).run().await?;
        Ok((blob.digest.clone(), blob.clone()))
    }

    async fn stored_layer(&self, layer: &LayerContent) -> Result<Uploaded, Error> {
        let LayerContent { blob, diff_id } = layer;
        let meter = Meter::new(self.progress, diff_id.short(), "Pushing", blob.size);
        let source = self.source_of(diff_id);
        let outcome = self.upload(Source::Store(self.store), blob, source, Some(meter)).run().await?;
        self.tell(diff_id, outcome);
        Ok((blob.digest.clone(), blob.clone()))
    }

    /// A layer that is stored as a plain tar goes compressed, and is compressed only where the registry has not what it
    /// becomes.
    async fn plain_layer(&self, layer: &LayerContent) -> Result<Uploaded, Error> {
        let LayerContent { blob, diff_id } = layer;
        let source = self.source_of(diff_id);
        if let Some(known) = self.store.known_compressed(diff_id) {
            let upload = self.upload(Source::Store(self.store), &known, source.clone(), None);
            if let Some(outcome) = upload.find().await? {
                self.tell(diff_id, outcome);
                return Ok((blob.digest.clone(), known));
            }
        }
        let mut meter = Meter::new(self.progress, diff_id.short(), "Compressing", blob.size);
        let (store, id) = (self.store.clone(), diff_id.clone());
        let compressed = blocking(move || store.compress_layer(&id, &mut |bytes| meter.add(bytes))).await?;
        let form = compressed.blob().clone();
        let meter = Meter::new(self.progress, diff_id.short(), "Pushing", form.size);
        let outcome = self.upload(Source::File(compressed.path()), &form, source, Some(meter)).run().await?;
        self.tell(diff_id, outcome);
        Ok((blob.digest.clone(), form))
    }

    fn upload<'u>(
        &'u self,
        content: Source<'u>,
        blob: &'u Descriptor,
        source: Option<String>,
        meter: Option<Meter>,
    ) -> BlobUpload<'u> {
        BlobUpload::new(self.config, self.session, content, blob, source, meter)
    }

    /// Another repository of the registry that has the layer.
    fn source_of(&self, diff_id: &Digest) -> Option<String> {
        let repository = self.session.repository();
        let sources = self.store.repositories_with(diff_id, repository.domain());
        sources.into_iter().find(|source| source != repository.path())
    }

    /// Only layers are shown.
    fn tell(&self, diff_id: &Digest, outcome: upload::Outcome) {
        let status = match outcome {
            upload::Outcome::Exists => "Layer already exists".to_owned(),
            upload::Outcome::Mounted(source) => format!("Mounted from {source}"),
            upload::Outcome::Uploaded => "Pushed".to_owned(),
            upload::Outcome::Foreign => "Skipped foreign layer".to_owned(),
        };
        (self.progress)(Progress::step(diff_id.short(), &status));
    }

    async fn document(
        &self,
        name: &Reference,
        key: &str,
        descriptor: &Descriptor,
        document: &[u8],
    ) -> Result<(), Error> {
        let put = PutManifest { session: self.session, name, key, descriptor, document };
        put.run(self.config).await
    }
}

/// How layers go that are stored as plain tars.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the manifest that goes with them names them.
    AsItIs,
    /// Compressed; the manifest is made of what they become.
    Compressed,
}

/// A blob on its way; those of plain and stored layers are not the same future.
type Upload<'a> = Pin<Box<dyn Future<Output = Result<Uploaded, Error>> + Send + 'a>>;

/// The digest that a blob is stored by, and what it is in the registry.
type Uploaded = (Digest, Descriptor);

/// A manifest or index that goes to a registry.
pub(crate) struct PutManifest<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) name: &'a Reference,
    /// The tag or digest that it gets.
    pub(crate) key: &'a str,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) document: &'a [u8],
}

impl PutManifest<'_> {
    pub(crate) async fn run(&self, config: &Config) -> Result<(), Error> {
        let mut retry = Retry::new(config);
        loop {
            match self.put().await {
                Err(error) => retry.after(error).await?,
                done => return done,
            }
        }
    }

    async fn put(&self) -> Result<(), Error> {
        let url = self.session.url(&format!("manifests/{}", self.key))?;
        let document = bytes::Bytes::copy_from_slice(self.document);
        let response = self
            .session
            .request(Method::PUT, &url, &|builder| {
                Ok(builder.header(CONTENT_TYPE, &self.descriptor.media_type).body(document.clone()))
            })
            .await?;
        let told = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let expected = &self.descriptor.digest;
        match told.filter(|told| *told != expected.as_str()) {
            Some(other) => Err(Error::OtherDigest {
                reference: self.name.familiar(),
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
