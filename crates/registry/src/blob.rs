//! Downloading blobs: as one stream of bytes, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use image::manifest::{Descriptor, MAX_CONFIG_SIZE};
use image::{Ingest, PartialBlob};
use oci::Digest;
use reqwest::{Response, StatusCode};

use crate::Config;
use crate::error::{Error, ErrorKind};
use crate::in_flight::Turn;
use crate::pipe::{Sender, pipe};
use crate::progress::{Meter, Progress, ProgressSink};
use crate::pull::blocking;
use crate::retry::Retry;
use crate::session::{Request, Session, limited_body, network_error};

/// A small blob as a whole, not verified.
async fn fetch_document(session: &Session<'_>, config: &Config, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let limit = blob.size.min(MAX_CONFIG_SIZE);
    let path = format!("blobs/{}", blob.digest);
    let mut retry = Retry::new(config);
    loop {
        let fetched = async {
            let response = session.get(&Request { path: &path, accept: &[], from: 0 }).await?;
            limited_body(response, "image configuration", limit).await
        };
        match fetched.await {
            Err(error) => retry.after(error).await?,
            done => return done,
        }
    }
}

/// The configuration of an image, verified.
pub(crate) async fn fetch_config(
    session: &Session<'_>,
    config: &Config,
    blob: &Descriptor,
) -> Result<Vec<u8>, Error> {
    let content = fetch_document(session, config, blob).await?;
    match blob.digest.verifies(&content) {
        true => Ok(content),
        false => {
            let (expected, actual) = (blob.digest.clone(), Digest::of(&content));
            Err(image::Error::Digest { what: "image config", expected, actual }.into())
        }
    }
}

/// A layer on its way.
pub(crate) struct LayerDownload<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) config: &'a Config,
    pub(crate) sink: &'a ProgressSink,
    pub(crate) blob: &'a Descriptor,
    pub(crate) diff_id: &'a Digest,
}

impl LayerDownload<'_> {
    /// Brings the layer unless another pull does, which is waited for.
    pub(crate) async fn run_once(&self, ingest: &Arc<Ingest>, turn: Arc<Turn>) -> Result<(), Error> {
        let _turn = match turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                (self.sink)(Progress::step(self.id(), "Waiting"));
                turn.lock().await
            }
        };
        if ingest.lease_layer(self.diff_id) {
            (self.sink)(Progress::step(self.id(), "Pull complete"));
            return Ok(());
        }
        self.run(ingest).await
    }

    /// Downloads, verifies and unpacks the layer. Dropping the future ends it: the unpacker sees the end of its stream.
    async fn run(&self, ingest: &Arc<Ingest>) -> Result<(), Error> {
        let (holder, digest, size) = (Arc::clone(ingest), self.blob.digest.clone(), self.blob.size);
        let partial = blocking(move || holder.partial_blob(&digest, size)).await?;
        let is_resumed = partial.length() > 0;
        match self.bring(ingest, partial).await {
            // What an earlier engine left may not be what it brought: a power cut can come between.
            Err(error @ Error::Image(_)) if is_resumed && error.kind() != ErrorKind::System => {
                tracing::info!(layer = self.id(), %error, "what was left of a download is of no use");
                let (holder, digest) = (Arc::clone(ingest), self.blob.digest.clone());
                let partial = blocking(move || holder.partial_blob(&digest, 0)).await?;
                self.bring(ingest, partial).await
            }
            other => other,
        }
    }

    async fn bring(&self, ingest: &Arc<Ingest>, partial: PartialBlob) -> Result<(), Error> {
        let (sender, mut receiver) = pipe();
        let begun = partial.length();
        let unpacking = {
            let ingest = Arc::clone(ingest);
            let (blob, diff_id) = (self.blob.clone(), self.diff_id.clone());
            let mut meter = Meter::new(self.sink, self.id(), "Extracting", blob.size);
            tokio::task::spawn_blocking(move || {
                let progress = &mut |bytes| meter.add(bytes);
                ingest.resume_layer(&partial, &blob, &diff_id, &mut receiver, progress)
            })
        };
        let downloaded = self.download(sender, begun).await;
        let unpacked = unpacking.await.map_err(|_| Error::Cancelled)?;
        match (downloaded, unpacked) {
            // The unpacker knows only that the stream broke.
            (Err(error), _) => Err(error),
            (Ok(()), Err(error)) => Err(error.into()),
            (Ok(()), Ok(())) => {
                (self.sink)(Progress::step(self.id(), "Pull complete"));
                Ok(())
            }
        }
    }

    fn id(&self) -> &str {
        self.blob.digest.short()
    }

    /// Sends all bytes after the first ones, going on where a broken connection stopped.
    async fn download(&self, sender: Sender, mut received: u64) -> Result<(), Error> {
        let mut meter = Meter::new(self.sink, self.id(), "Downloading", self.blob.size);
        if received > 0 {
            meter.add(received);
        }
        let mut attempt = 1;
        while received < self.blob.size || self.blob.size == 0 {
            let before = received;
            match self.attempt(&sender, &mut received, &mut meter).await {
                Ok(()) => break,
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    // A connection that brought something earns a new count.
                    attempt = if received > before { 1 } else { attempt + 1 };
                    if attempt > self.config.attempts {
                        return Err(error);
                    }
                    tracing::debug!(layer = self.id(), %error, "download goes on with a new connection");
                    self.wait(error.pause(self.config, attempt)).await;
                }
            }
        }
        if received == self.blob.size {
            (self.sink)(Progress::step(self.id(), "Verifying Checksum"));
            (self.sink)(Progress::step(self.id(), "Download complete"));
        }
        sender.finish().await;
        Ok(())
    }

    async fn wait(&self, delay: Duration) {
        if delay >= Duration::from_secs(1) {
            let seconds = delay.as_secs();
            let plural = if seconds == 1 { "" } else { "s" };
            (self.sink)(Progress::step(self.id(), &format!("Retrying in {seconds} second{plural}")));
        }
        tokio::time::sleep(delay).await;
    }

    async fn attempt(&self, sender: &Sender, received: &mut u64, meter: &mut Meter) -> Result<(), Error> {
        let path = format!("blobs/{}", self.blob.digest);
        let mut response = self.session.get(&Request { path: &path, accept: &[], from: *received }).await?;
        let mut skip = *received - resumed_at(&response, *received);
        let url = response.url().to_string();
        while let Some(mut chunk) =
            response.chunk().await.map_err(|error| network_error("Get", &url, &error))?
        {
            let skipped = skip.min(chunk.len() as u64);
            chunk.advance(skipped as usize);
            skip -= skipped;
            if chunk.is_empty() {
                continue;
            }
            *received += chunk.len() as u64;
            meter.add(chunk.len() as u64);
            if !sender.send(chunk).await || *received > self.blob.size {
                return Ok(()); // the unpacker has seen enough, and says why
            }
        }
        if *received < self.blob.size {
            let reason = format!("unexpected EOF after {received} of {} bytes", self.blob.size);
            return Err(Error::Network { method: "Get", url, reason });
        }
        Ok(())
    }
}

/// At which byte an answer begins: where it was asked to, or at the first one.
fn resumed_at(response: &Response, wanted: u64) -> u64 {
    let starts = format!("bytes {wanted}-");
    let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    let is_partial = response.status() == StatusCode::PARTIAL_CONTENT;
    if is_partial && range.is_none_or(|range| range.starts_with(&starts)) { wanted } else { 0 }
}
