//! Manifests and indexes by themselves, for whoever keeps no images: looking them up, and putting others in their place. Also
//! layers by themselves, as they belong to what is kept of builds.

use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use image::manifest::{Descriptor, Document, Manifest, PlatformSpec};
use image::{ImageStore, Ingest, LayerContent};
use oci::{Digest, Platform, Reference};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::blob::{LayerDownload, fetch_config};
use crate::error::Error;
use crate::manifest::{Fetched, Parse, fetch, fetch_as, key_of};
use crate::network::Attempts;
use crate::progress::ProgressSink;
use crate::push::{Form, Push, PutManifest};
use crate::retry::Retry;
use crate::session::{Access, Session};
use crate::upload::{BlobUpload, Source};
use crate::{Config, Credentials, Registry};

/// Images of a list that are looked up at the same time.
const PARALLEL: usize = 4;

/// What a name stands for in its registry, and the way to what it names.
pub struct Found<'a> {
    registry: &'a Registry,
    session: Session<'a>,
    reference: Reference,
    document: Fetched,
}

/// The manifest of one image in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageDocument {
    /// What it was found by; an image of a list, by its digest as well.
    pub reference: Reference,
    /// What it is, with its platform: by the list, or else by its configuration.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A repository that is written to.
pub struct Writer<'a> {
    config: &'a Config,
    session: Session<'a>,
}

/// What became of the wish that a registry take a blob over from another repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// It has it now.
    Yes,
    /// It wants to be sent it.
    No,
}

impl Registry {
    /// Looks up what a name stands for, in the first place that has it. Without tag and digest it is the tag `latest`.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or sends something that is not what it should be.
    pub async fn look_up(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Found<'_>, Error> {
        self.look_up_as(reference, credentials, Document::parse).await
    }

    /// As [`Registry::look_up`], of what need not be an image.
    ///
    /// # Errors
    /// As there.
    pub async fn look_up_any(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Found<'_>, Error> {
        self.look_up_as(reference, credentials, Document::parse_any).await
    }

    async fn look_up_as(
        &self,
        reference: &Reference,
        credentials: Option<Credentials>,
        parse: Parse,
    ) -> Result<Found<'_>, Error> {
        let reference = reference.clone().or_latest();
        let mut attempts = Attempts::new(&self.config, &reference)?;
        while let Some(host) = attempts.next() {
            let credentials = credentials.clone();
            let found = async {
                let session =
                    Session::connect(&self.config, &host, &reference, credentials, Access::Pull).await?;
                let key = key_of(&reference);
                let document = fetch_as(&session, &reference, &key, reference.digest(), parse).await?;
                Ok((session, document))
            };
            match found.await {
                Ok((session, document)) => {
                    return Ok(Found { registry: self, session, reference, document });
                }
                Err(error) => attempts.failed(&host, error)?,
            }
        }
        Err(attempts.exhausted())
    }

    /// Opens a repository for writing, also of blobs from these other repositories of the same registry.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub async fn writer(
        &self,
        reference: &Reference,
        sources: &[String],
        credentials: Option<Credentials>,
    ) -> Result<Writer<'_>, Error> {
        let session = Session::for_push(&self.config, reference, sources, credentials).await?;
        Ok(Writer { config: &self.config, session })
    }
}

impl Found<'_> {
    /// Whether it came by TLS.
    pub fn is_encrypted(&self) -> bool {
        self.session.is_encrypted()
    }

    /// Whether it is a list of images.
    pub fn is_list(&self) -> bool {
        matches!(self.document.document, Document::Index(_))
    }

    /// The image that the name stands for.
    ///
    /// # Errors
    /// When it is a list, or its configuration cannot be had.
    pub async fn image(&self) -> Result<ImageDocument, Error> {
        self.described(self.reference.clone(), &self.document, None).await
    }

    /// All images of the list that the name stands for, in its order.
    ///
    /// # Errors
    /// When it is no list, or one of the images cannot be had or is itself a list.
    pub async fn images(&self) -> Result<Vec<ImageDocument>, Error> {
        let Document::Index(index) = &self.document.document else {
            return Err(Error::NoList(self.reference.to_string()));
        };
        let images = index.manifests.iter().map(|entry| self.entry(entry));
        stream::iter(images).buffered(PARALLEL).try_collect().await
    }

    async fn entry(&self, entry: &Descriptor) -> Result<ImageDocument, Error> {
        let reference = self.reference.and_digest(entry.digest.clone());
        let found = fetch(&self.session, &reference, entry.digest.as_str(), Some(&entry.digest)).await?;
        // What a list says of a platform counts for more than what the image says.
        self.described(reference, &found, Some(entry.platform.clone().unwrap_or_default())).await
    }

    async fn described(
        &self,
        reference: Reference,
        found: &Fetched,
        platform: Option<PlatformSpec>,
    ) -> Result<ImageDocument, Error> {
        let Document::Manifest(manifest) = &found.document else {
            return Err(Error::List(reference.to_string()));
        };
        let config = fetch_config(&self.session, &self.registry.config, &manifest.config).await?;
        let own = || serde_json::from_slice(&config).unwrap_or_default();
        let platform = Some(platform.unwrap_or_else(own));
        let descriptor = Descriptor { platform, ..found.descriptor.clone() };
        Ok(ImageDocument { reference, descriptor, content: found.content.clone() })
    }

    /// The digest that the name stands for.
    pub fn digest(&self) -> &Digest {
        &self.document.descriptor.digest
    }

    /// The manifest that the name stands for, of a list the one for a platform, with its configuration.
    ///
    /// # Errors
    /// When there is none for the platform, or the registry does not give it.
    pub async fn manifest(&self, platform: &Platform) -> Result<(Manifest, Vec<u8>), Error> {
        let manifest = match &self.document.document {
            Document::Manifest(manifest) => manifest.clone(),
            Document::Index(index) => {
                let chosen = index.select(platform);
                let entry = chosen.first().ok_or_else(|| Error::NoPlatform(platform.to_string()))?;
                let (key, digest) = (entry.digest.as_str(), Some(&entry.digest));
                let found =
                    fetch_as(&self.session, &self.reference, key, digest, Document::parse_any).await?;
                match found.document {
                    Document::Manifest(manifest) => manifest,
                    Document::Index(_) => return Err(Error::Nesting(1)),
                }
            }
        };
        let config = fetch_config(&self.session, &self.registry.config, &manifest.config).await?;
        Ok((manifest, config))
    }

    /// Brings a layer, unless it is there.
    ///
    /// # Errors
    /// When the registry does not give it, or it is not what its digests say.
    pub async fn layer(
        &self,
        ingest: &Arc<Ingest>,
        blob: &Descriptor,
        diff_id: &Digest,
        progress: &ProgressSink,
    ) -> Result<(), Error> {
        let (session, config) = (&self.session, &self.registry.config);
        let download = LayerDownload { session, config, sink: progress, blob, diff_id };
        download.run_once(ingest, self.registry.in_flight.lock(diff_id)).await
    }
}

impl Writer<'_> {
    /// Brings layers, those that are stored as plain tars compressed, and tells what each of them became.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or a layer is not there.
    pub async fn layers(
        &self,
        store: &ImageStore,
        layers: &[LayerContent],
        progress: &ProgressSink,
    ) -> Result<Vec<Descriptor>, Error> {
        let push = Push { config: self.config, store, session: &self.session, progress };
        push.blobs(layers, None, Form::Compressed).await
    }

    /// Brings a blob that is in a file.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or the file cannot be read.
    pub async fn file(&self, blob: &Descriptor, path: &Path) -> Result<(), Error> {
        let upload = BlobUpload::new(self.config, &self.session, Source::File(path), blob, None, None);
        upload.run().await.map(drop)
    }

    /// Asks the registry to take a blob over from another of its repositories.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub async fn mount(&self, blob: &Digest, source: &str) -> Result<Mounted, Error> {
        let mut retry = Retry::new(self.config);
        loop {
            match self.mount_once(blob, source).await {
                Err(error) => retry.after(error).await?,
                done => return done,
            }
        }
    }

    async fn mount_once(&self, blob: &Digest, source: &str) -> Result<Mounted, Error> {
        let mut url = self.session.url("blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", blob.as_str()).append_pair("from", source);
        let empty = |builder: RequestBuilder| Ok(builder.header(CONTENT_LENGTH, 0));
        let response = self.session.request(Method::POST, &url, &empty).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Mounted::Yes);
        }
        let location = self.session.location(&response)?;
        // Nobody goes on with the upload that was begun instead; registries forget it by themselves, too.
        let _ = self.session.request(Method::DELETE, &location, &|builder| Ok(builder)).await;
        Ok(Mounted::No)
    }

    /// Puts a manifest or index under a tag or digest.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or has something else afterwards.
    pub async fn put(&self, name: &Reference, descriptor: &Descriptor, document: &[u8]) -> Result<(), Error> {
        let key = key_of(name);
        PutManifest { session: &self.session, name, key: &key, descriptor, document }.run(self.config).await
    }
}
