//! The way of Docker's classic builder, for other engines: parameters, a tar, and text that comes back.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::build::BuildOptions;
use bytes::Bytes;
use client::Lines;
use futures_util::{Stream, StreamExt as _, stream};

use super::archive::Source;
use super::context::{Context, Place};
use super::request::always_sent;
use super::{Build, Built};
use crate::failure::{Failure, io_text};
use crate::progress::{self, Sink};
use crate::text::decimal_size;
use crate::upload::read_stream;

/// A Dockerfile that is not in its context is sent under this name, which is ignored.
const SENT_AS: &str = ".dockerfile.corten";
const IGNORE_FILE: &str = ".dockerignore";

impl Build<'_> {
    pub(super) async fn classic(&self) -> Result<Built, Failure> {
        let (name, source) = self.archive()?;
        let remote = match &self.context.place {
            Place::Remote(address) => address.as_str(),
            _ => "",
        };
        let options = self.asked.options(&name, remote)?;
        let sent = Arc::new(AtomicU64::new(0));
        let lines = self.send_classic(&options, source, &sent).await?;
        let is_shown = matches!(self.mode, super::Mode::Plain | super::Mode::Terminal);
        let size = sent.load(Ordering::Relaxed);
        if is_shown && size > 0 {
            self.app
                .line(&format!("Sending build context to Docker daemon  {}", decimal_size(size as f64, 4)))?;
        }
        let sink = if is_shown { Sink::Stdout } else { Sink::Nowhere };
        match progress::show_build(lines, sink).await? {
            Some(id) => Ok(Built { id, manifest: None }),
            None => Err(Failure::message("the engine did not say which image it has built")),
        }
    }

    async fn send_classic(
        &self,
        options: &BuildOptions,
        source: Option<Source>,
        sent: &Arc<AtomicU64>,
    ) -> Result<Lines, Failure> {
        let (client, credentials) = (self.client, &self.credentials);
        Ok(match (&self.context.place, source) {
            (Place::Stdin(start), _) => {
                let body = counted(stdin_stream(start.clone())?, Arc::clone(sent));
                client.build_classic(options, Some(body), credentials).await?
            }
            (_, Some(source)) => {
                let body = counted(source.stream(), Arc::clone(sent));
                client.build_classic(options, Some(body), credentials).await?
            }
            (_, None) => {
                let none = None::<stream::Empty<std::io::Result<Bytes>>>;
                client.build_classic(options, none, credentials).await?
            }
        })
    }

    /// The Dockerfile's path in the archive, and what the archive is made of.
    fn archive(&self) -> Result<(String, Option<Source>), Failure> {
        match &self.context.place {
            Place::Stdin(_) => Ok((self.context.name.clone(), None)),
            Place::Remote(_) if self.context.dockerfile.is_some() => Err(Failure::message(
                "-f - with a remote context is not supported by this engine, only by Corten's",
            )),
            Place::Remote(_) => Ok((self.context.name.clone(), None)),
            Place::Empty => {
                let extra = vec![(self.context.name.clone(), self.text())];
                Ok((self.context.name.clone(), Some(Source { extra, ..Source::default() })))
            }
            Place::Folder(root) => self.folder(root),
        }
    }

    fn folder(&self, root: &Path) -> Result<(String, Option<Source>), Failure> {
        let Context { inside, ignore, .. } = &self.context;
        let matcher = self.matcher()?;
        let always = always_sent(inside.as_ref());
        let (name, extra) = match inside {
            Some(path) => {
                let name = path.to_str().ok_or_else(|| {
                    Failure::message(format!("the path of the Dockerfile is not UTF-8: {}", path.display()))
                })?;
                (name.to_owned(), Vec::new())
            }
            None => {
                let ignore = format!("{}\n{SENT_AS}\n", ignore.as_deref().unwrap_or(IGNORE_FILE));
                let ignore = (IGNORE_FILE.to_owned(), ignore.into_bytes());
                (SENT_AS.to_owned(), vec![(SENT_AS.to_owned(), self.text()), ignore])
            }
        };
        Ok((name, Some(Source { root: Some(root.to_owned()), matcher, always, extra })))
    }

    fn text(&self) -> Vec<u8> {
        self.context.dockerfile.clone().unwrap_or_default().into_bytes()
    }
}

/// What standard input had and has.
pub(super) fn stdin_stream(
    start: Vec<u8>,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static, Failure> {
    let stdin = rustix::stdio::stdin().as_fd().try_clone_to_owned().map_err(|error| {
        Failure::message(format!("failed to read context from STDIN: {}", io_text(&error)))
    })?;
    Ok(stream::once(async { Ok(Bytes::from(start)) }).chain(read_stream(File::from(stdin))))
}

/// The same, with its bytes counted.
fn counted(
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    body.inspect(move |chunk| {
        if let Ok(bytes) = chunk {
            sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    })
}
