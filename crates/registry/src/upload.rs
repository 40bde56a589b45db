//! Uploading one blob: not at all where the registry has it, else over as many connections as it takes.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream;
use image::ImageStore;
use image::manifest::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use tokio::io::AsyncReadExt;
use url::Url;

use crate::Config;
use crate::error::Error;
use crate::progress::Meter;
use crate::session::Session;

/// Blobs up to this length go in one request; longer ones so that an upload can go on after a broken connection.
const MONOLITHIC: u64 = 4 << 20;
/// How much of a blob is read at once.
const CHUNK: usize = 256 << 10;
/// For how long a registry may be busy with what it has got as a whole.
const STORE_LIMIT: Duration = Duration::from_secs(300);

/// Where the bytes of a blob are.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// In the store.
    Store(&'a ImageStore),
    /// In a file of its own.
    File(&'a Path),
}

impl Source<'_> {
    fn open(self, blob: &Descriptor) -> Result<File, image::Error> {
        match self {
            Self::Store(store) => store.open_blob(blob),
            Self::File(path) => File::open(path).map_err(|source| {
                let (action, path) = ("open", path.to_owned());
                image::Error::Io { action, path, source }
            }),
        }
    }
}

/// What became of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The registry had it.
    Exists,
    /// The registry took it over from this repository.
    Mounted(String),
    /// It was sent.
    Uploaded,
    /// It is had elsewhere, and the registry does not want it.
    Foreign,
}

/// A blob on its way.
pub(crate) struct BlobUpload<'a> {
    config: &'a Config,
    session: &'a Session<'a>,
    content: Source<'a>,
    blob: &'a Descriptor,
    source: Option<String>,
    sent: Arc<Sent>,
}

/// Where an upload is.
struct Position {
    location: Url,
    offset: u64,
}

impl<'a> BlobUpload<'a> {
    pub(crate) fn new(
        config: &'a Config,
        session: &'a Session<'a>,
        content: Source<'a>,
        blob: &'a Descriptor,
        source: Option<String>,
        meter: Option<Meter>,
    ) -> Self {
        let sent = Arc::new(Sent { bytes: AtomicU64::new(0), meter: meter.map(Mutex::new) });
        Self { config, session, content, blob, source, sent }
    }

    /// Whether the registry has the blob, here or in the other repository, so that its content is not needed.
    pub(crate) async fn find(&self) -> Result<Option<Outcome>, Error> {
        if self.exists().await? {
            return Ok(Some(Outcome::Exists));
        }
        if self.source.is_none() {
            return Ok(None);
        }
        match self.begin().await? {
            Begun::Mounted(source) => Ok(Some(Outcome::Mounted(source))),
            Begun::At(location) => {
                // Another upload begins when there is something to send; registries forget this one by themselves.
                let _ = self.session.request(Method::DELETE, &location, &|builder| Ok(builder)).await;
                Ok(None)
            }
        }
    }

    pub(crate) async fn run(&self) -> Result<Outcome, Error> {
        let mut attempt = 1;
        let mut furthest = 0;
        let mut broken = None;
        loop {
            let error = match self.attempt(&mut broken).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.is_transient() => error,
                Err(error) if error.is_lost_upload() => {
                    broken = None;
                    error
                }
                Err(error) => return Err(error),
            };
            // A connection that brought the upload on earns a new count.
            let offset = broken.as_ref().map_or(0, |position: &Position| position.offset);
            attempt = if offset > furthest { 1 } else { attempt + 1 };
            furthest = furthest.max(offset);
            if attempt > self.config.attempts {
                return Err(error);
            }
            tracing::debug!(blob = %self.blob.digest, %error, "upload goes on with a new connection");
            tokio::time::sleep(error.pause(self.config, attempt)).await;
        }
    }

    /// One attempt, from where the last one broke off. `at` is where the next one is to begin.
    async fn attempt(&self, at: &mut Option<Position>) -> Result<Outcome, Error> {
        match at.take() {
            Some(position) => match self.position(&position.location).await {
                Ok(found) => *at = Some(found),
                Err(error) => {
                    *at = Some(position);
                    return Err(error);
                }
            },
            None => {
                if self.exists().await? {
                    return Ok(Outcome::Exists);
                }
                if self.is_foreign() {
                    return Ok(Outcome::Foreign);
                }
                match self.begin().await? {
                    Begun::Mounted(source) => return Ok(Outcome::Mounted(source)),
                    Begun::At(location) => *at = Some(Position { location, offset: 0 }),
                }
            }
        }
        let position = at.as_mut().expect("it was just set");
        if position.offset > 0 || self.blob.size > MONOLITHIC {
            while position.offset < self.blob.size {
                self.patch(position).await?;
            }
        }
        self.finish(position).await?;
        Ok(Outcome::Uploaded)
    }

    async fn exists(&self) -> Result<bool, Error> {
        let url = self.session.url(&format!("blobs/{}", self.blob.digest))?;
        match self.session.request(Method::HEAD, &url, &|builder| Ok(builder)).await {
            Ok(_) => Ok(true),
            // The answer to `HEAD` has no body that could say more.
            Err(Error::Api(error)) if error.code == "NOT_FOUND" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A layer that must not be distributed, by its type.
    fn is_foreign(&self) -> bool {
        let kind = &self.blob.media_type;
        let is_restricted = kind.contains(".foreign.") || kind.contains(".nondistributable.");
        is_restricted && self.blob.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    /// Asks for the blob of another repository, or else for a place to send it to.
    async fn begin(&self) -> Result<Begun, Error> {
        let mut url = self.session.url("blobs/uploads/")?;
        if let Some(source) = &self.source {
            url.query_pairs_mut().append_pair("mount", self.blob.digest.as_str()).append_pair("from", source);
        }
        let empty = |builder: RequestBuilder| Ok(builder.header(CONTENT_LENGTH, 0));
        let response = self.session.request(Method::POST, &url, &empty).await?;
        match (&self.source, response.status()) {
            (Some(source), StatusCode::CREATED) => Ok(Begun::Mounted(source.clone())),
            _ => Ok(Begun::At(self.session.location(&response)?)),
        }
    }

    /// Asks how much of an upload has arrived.
    async fn position(&self, location: &Url) -> Result<Position, Error> {
        let response = self.session.request(Method::GET, location, &|builder| Ok(builder)).await?;
        let offset = received(&response).filter(|offset| *offset <= self.blob.size).unwrap_or(0);
        let location = self.session.location(&response).unwrap_or_else(|_| location.clone());
        Ok(Position { location, offset })
    }

    /// Sends all that is missing, and learns how much of it has arrived.
    async fn patch(&self, position: &mut Position) -> Result<(), Error> {
        let Position { location, offset } = position;
        let (from, last) = (*offset, self.blob.size - 1);
        let complete = |builder: RequestBuilder| {
            // From the start on some registries take no range.
            let builder = match from {
                0 => builder,
                _ => builder.header(CONTENT_RANGE, format!("{from}-{last}")),
            };
            self.with_content(builder, from)
        };
        let response = self.watched(self.session.upload(Method::PATCH, location, &complete)).await?;
        let arrived = received(&response).unwrap_or(self.blob.size);
        if arrived <= from || arrived > self.blob.size {
            let (url, reason) = (location.to_string(), format!("the registry has {arrived} bytes of it"));
            return Err(Error::Network { method: "Patch", url, reason });
        }
        *position = Position { location: self.session.location(&response)?, offset: arrived };
        Ok(())
    }

    /// Names the blob, and sends all of it where nothing was sent yet.
    async fn finish(&self, position: &Position) -> Result<(), Error> {
        let mut url = position.location.clone();
        url.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        let complete = |builder: RequestBuilder| match position.offset {
            0 => self.with_content(builder, 0),
            _ => Ok(builder.header(CONTENT_LENGTH, 0)),
        };
        self.watched(self.session.upload(Method::PUT, &url, &complete)).await?;
        self.sent.set(self.blob.size);
        Ok(())
    }

    fn with_content(&self, builder: RequestBuilder, from: u64) -> Result<RequestBuilder, Error> {
        let mut file = self.content.open(self.blob)?;
        let failed =
            |source| image::Error::Io { action: "read blob", path: self.blob.digest.as_str().into(), source };
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        self.sent.set(from);
        let body = Body::wrap_stream(content(file, from, Arc::clone(&self.sent)));
        Ok(builder
            .header(CONTENT_LENGTH, self.blob.size - from)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body))
    }

    /// Ends an upload that the registry takes nothing of any more.
    async fn watched(
        &self,
        upload: impl Future<Output = Result<Response, Error>>,
    ) -> Result<Response, Error> {
        let mut upload = pin!(upload);
        let mut before = self.sent.get();
        loop {
            let limit = if before < self.blob.size { self.config.idle_timeout } else { STORE_LIMIT };
            if let Ok(result) = tokio::time::timeout(limit, &mut upload).await {
                return result;
            }
            let now = self.sent.get();
            if now == before {
                let url = self.session.url("blobs/uploads/")?.to_string();
                let reason = "net/http: timeout awaiting response: the registry took nothing for too long";
                return Err(Error::Network { method: "Put", url, reason: reason.into() });
            }
            before = now;
        }
    }
}

enum Begun {
    Mounted(String),
    At(Url),
}

/// How many bytes have arrived, by the registry's word: `Range: 0-<last>`.
fn received(response: &Response) -> Option<u64> {
    let range = response.headers().get("range")?.to_str().ok()?;
    let (first, last) = range.trim_start_matches("bytes=").split_once('-')?;
    let last: u64 = last.parse().ok()?;
    // An upload that has begun and has nothing yet is `0-0` to most registries, as is one with a single byte.
    (first == "0").then_some(if last == 0 { 0 } else { last + 1 })
}

/// How much was handed to the connection.
struct Sent {
    bytes: AtomicU64,
    meter: Option<Mutex<Meter>>,
}

impl Sent {
    fn get(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        if let Some(meter) = &self.meter {
            meter.lock().unwrap_or_else(PoisonError::into_inner).set(bytes);
        }
    }
}

/// The bytes of a blob from `at` on.
fn content(
    file: std::fs::File,
    at: u64,
    sent: Arc<Sent>,
) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    stream::try_unfold((file, at, sent), async |(mut file, at, sent)| {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let count = file.read_buf(&mut chunk).await?;
        let at = at + count as u64;
        sent.set(at);
        Ok((count > 0).then(|| (chunk.freeze(), (file, at, sent))))
    })
}
