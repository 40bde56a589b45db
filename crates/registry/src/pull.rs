//! Pulling an image.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use image::manifest::{Descriptor, ManifestError, check_layer_count};
use image::{Draft, ImageStore, Ingest};
use oci::{Digest, ImageConfig, Platform, Reference};

use crate::blob::{LayerDownload, fetch_config};
use crate::error::Error;
use crate::manifest::{Chosen, choose, tags};
use crate::network::{Attempts, Host};
use crate::progress::{Progress, ProgressSink};
use crate::session::{Access, Session};
use crate::{Credentials, Registry};

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image. Without tag and digest it is the tag `latest`.
    pub reference: Reference,
    /// For which platform; `None` is this machine's.
    pub platform: Option<Platform>,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image's ID.
    pub image: Digest,
    /// What the name stands for in the registry: the digest of a manifest or index.
    pub digest: Digest,
    /// Whether it was there before.
    pub status: Status,
}

/// Whether a pull changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The name stands for another image now, or for one at all.
    Downloaded,
    /// The name stood for this image before.
    UpToDate,
}

impl Registry {
    /// Pulls an image into `store` and gives it its name.
    ///
    /// Dropping the future cancels the pull; nothing of it stays.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or sends something that is not what it should be. Nothing of the
    /// image stays then.
    pub async fn pull(
        &self,
        store: &ImageStore,
        request: PullRequest,
        progress: ProgressSink,
    ) -> Result<Pulled, Error> {
        let request = PullRequest { reference: request.reference.or_latest(), ..request };
        let mut pulled = self.pull_anywhere(store, &request, &progress, Extent::One).await?;
        pulled.pop().ok_or(Error::Cancelled)
    }

    /// Pulls all tags of a repository, as [`Registry::pull`] does one. Those that are not for the platform are left out.
    ///
    /// # Errors
    /// As for [`Registry::pull`]. Tags that were pulled by then stay.
    pub async fn pull_all(
        &self,
        store: &ImageStore,
        request: PullRequest,
        progress: ProgressSink,
    ) -> Result<Vec<Pulled>, Error> {
        self.pull_anywhere(store, &request, &progress, Extent::All).await
    }

    /// Goes from host to host until one has everything.
    async fn pull_anywhere(
        &self,
        store: &ImageStore,
        request: &PullRequest,
        progress: &ProgressSink,
        extent: Extent,
    ) -> Result<Vec<Pulled>, Error> {
        let mut attempts = Attempts::new(&self.config, &request.reference)?;
        while let Some(host) = attempts.next() {
            match self.pull_from(&host, store, request, progress, extent).await {
                Err(error) => attempts.failed(&host, error)?,
                pulled => return pulled,
            }
        }
        Err(attempts.exhausted())
    }

    async fn pull_from(
        &self,
        host: &Host,
        store: &ImageStore,
        request: &PullRequest,
        progress: &ProgressSink,
        extent: Extent,
    ) -> Result<Vec<Pulled>, Error> {
        let PullRequest { reference, platform, credentials } = request;
        let credentials = credentials.clone();
        let session = Session::connect(&self.config, host, reference, credentials, Access::Pull).await?;
        let pull = Pull { registry: self, store, session: &session, progress };
        let all = match extent {
            Extent::One => vec![pull.one(reference, platform.clone()).await?],
            Extent::All => pull.all(reference, platform.clone()).await?,
        };
        let is_new = all.iter().any(|pulled| pulled.status == Status::Downloaded);
        pull.tell_status(reference, if is_new { Status::Downloaded } else { Status::UpToDate });
        Ok(all)
    }
}

/// How much of a repository is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    One,
    All,
}

struct Pull<'a> {
    registry: &'a Registry,
    store: &'a ImageStore,
    session: &'a Session<'a>,
    progress: &'a ProgressSink,
}

impl Pull<'_> {
    async fn one(&self, reference: &Reference, platform: Option<Platform>) -> Result<Pulled, Error> {
        let id = reference
            .digest()
            .map_or_else(|| reference.tag().unwrap_or_default().to_owned(), Digest::to_string);
        (self.progress)(Progress::about(&id, &format!("Pulling from {}", reference.path())));
        let wanted = platform.clone().unwrap_or_default();
        let chosen = choose(self.session, reference, &wanted).await?;
        let (image, status) = self.run(reference, &chosen).await?;
        if platform.is_some() && chosen.index.is_none() {
            self.warn_platform(reference, &image, &wanted).await?;
        }
        (self.progress)(Progress::message(format!("Digest: {}", chosen.digest)));
        Ok(Pulled { image, digest: chosen.digest, status })
    }

    /// All tags, except those that are not for the platform.
    async fn all(&self, reference: &Reference, platform: Option<Platform>) -> Result<Vec<Pulled>, Error> {
        let mut all = Vec::new();
        for tag in tags(self.session, reference).await? {
            let name = reference.with_tag(&tag).map_err(|_| Error::Tag(tag))?;
            match self.one(&name, platform.clone()).await {
                Ok(pulled) => all.push(pulled),
                Err(Error::NoPlatform(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn tell_status(&self, reference: &Reference, status: Status) {
        let familiar = reference.familiar();
        (self.progress)(Progress::message(match status {
            Status::Downloaded => format!("Status: Downloaded newer image for {familiar}"),
            Status::UpToDate => format!("Status: Image is up to date for {familiar}"),
        }));
    }

    async fn run(&self, reference: &Reference, chosen: &Chosen) -> Result<(Digest, Status), Error> {
        let id = chosen.manifest.config.digest.clone();
        let status = self.status(reference, &id);
        let config = self.config(&chosen.manifest.config).await?;
        let diff_ids = diff_ids(&config, &chosen.manifest.layers)?;
        let documents = chosen.documents.clone();
        let (store, config_digest) = (self.store.clone(), id.clone());
        let ingest = blocking(move || {
            let ingest = store.ingest()?;
            ingest.put_document("image config", &config_digest, &config)?;
            for (digest, content) in &documents {
                ingest.put_document("manifest", digest, content)?;
            }
            Ok(Arc::new(ingest))
        })
        .await?;
        self.layers(&ingest, &chosen.manifest.layers, &diff_ids).await?;
        let draft = self.draft(reference, chosen);
        // All downloads are over, so nobody else has it any more.
        let ingest = Arc::try_unwrap(ingest).map_err(|_| Error::Cancelled)?;
        let index = chosen.index.clone();
        blocking(move || match index {
            Some(index) => ingest.commit_listed(draft, index),
            None => ingest.commit(draft),
        })
        .await?;
        Ok((id, status))
    }

    fn status(&self, reference: &Reference, id: &Digest) -> Status {
        match self.store.resolve_all(&reference.to_string()) {
            Ok(images) if images.iter().any(|image| image.id == *id) => Status::UpToDate,
            _ => Status::Downloaded,
        }
    }

    fn draft(&self, reference: &Reference, chosen: &Chosen) -> Draft {
        let mut references = vec![reference.with_digest(chosen.digest.clone())];
        if reference.digest().is_none() {
            references.push(reference.clone());
        }
        Draft {
            config: chosen.manifest.config.digest.clone(),
            manifest: Some(chosen.descriptor.clone()),
            documents: chosen.documents.iter().map(|(digest, _)| digest.clone()).collect(),
            references,
        }
    }

    async fn config(&self, blob: &Descriptor) -> Result<Vec<u8>, Error> {
        if let Ok(content) = self.store.blob(&blob.digest) {
            return Ok(content);
        }
        fetch_config(self.session, &self.registry.config, blob).await
    }

    async fn layers(
        &self,
        ingest: &Arc<Ingest>,
        layers: &[Descriptor],
        diff_ids: &[Digest],
    ) -> Result<(), Error> {
        let mut missing: Vec<(&Descriptor, &Digest)> = Vec::new();
        for (blob, diff_id) in layers.iter().zip(diff_ids) {
            let short = blob.digest.short();
            if ingest.lease_layer(diff_id) {
                (self.progress)(Progress::step(short, "Already exists"));
            } else if !missing.iter().any(|(_, other)| *other == diff_id) {
                (self.progress)(Progress::step(short, "Pulling fs layer"));
                missing.push((blob, diff_id));
            }
        }
        let parallel = self.registry.config.parallel_downloads.max(1);
        for (blob, _) in missing.iter().skip(parallel) {
            (self.progress)(Progress::step(blob.digest.short(), "Waiting"));
        }
        // A list, because the compiler cannot tell of a closure over borrowed layers that its futures are `Send`.
        let mut downloads = Vec::with_capacity(missing.len());
        for (blob, diff_id) in missing {
            let (session, config, sink) = (self.session, &self.registry.config, self.progress);
            let download = LayerDownload { session, config, sink, blob, diff_id };
            let turn = self.registry.in_flight.lock(diff_id);
            downloads.push(async move { download.run_once(ingest, turn).await });
        }
        stream::iter(downloads).buffer_unordered(parallel).try_collect().await
    }

    /// Docker takes an image that is no list for whatever platform was asked for, and says so.
    async fn warn_platform(
        &self,
        reference: &Reference,
        id: &Digest,
        wanted: &Platform,
    ) -> Result<(), Error> {
        let found = self.store.image(id)?.config.platform();
        if !found.satisfies(wanted) {
            let name = reference.familiar();
            let text = format!(
                "WARNING: image with reference {name} was found but its platform ({found}) does not match the specified platform ({wanted})"
            );
            (self.progress)(Progress::message(text));
        }
        Ok(())
    }
}

fn diff_ids(config: &[u8], layers: &[Descriptor]) -> Result<Vec<Digest>, Error> {
    let malformed = |source| ManifestError::Malformed { what: "image configuration", source };
    let parsed: ImageConfig =
        serde_json::from_slice(config).map_err(|source| image::Error::from(malformed(source)))?;
    let diff_ids = parsed.rootfs.diff_ids;
    check_layer_count(layers.len(), diff_ids.len()).map_err(image::Error::from)?;
    Ok(diff_ids)
}

/// Runs what blocks on the disk where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, image::Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?.map_err(Error::from)
}
