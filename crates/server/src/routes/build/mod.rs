//! Building images.
//!
//! What fails before the first line of the answer is a status; what fails later is told in the body. A client that leaves
//! cancels its build.

mod classic;
mod events;
mod host;
mod prune;
mod request;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use api::build::{BuildMessage, REQUEST_TYPE};
use api::image::ProgressMessage;
use build::{Built, Event, Host, Progress};
use futures_util::{Stream, StreamExt as _, stream};
use http::{StatusCode, header};
use tokio::sync::{mpsc, oneshot};

use super::Api;
use super::images::tell;
use crate::error::Error;
use crate::http::{Call, Response, empty, json_lines};

use classic::Classic;
use events::Own;
use host::EngineHost;
pub(super) use prune::describe;
use request::{Asked, Style};

/// Builds that can be cancelled, by the IDs that their clients gave them.
#[derive(Clone, Debug, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>);

impl Running {
    /// Told when the build of this ID is cancelled; a build without an ID cannot be.
    fn begin(&self, id: &str) -> Option<oneshot::Receiver<()>> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, build| !build.is_closed());
        (!id.is_empty()).then(|| {
            let (cancel, cancelled) = oneshot::channel();
            running.insert(id.to_owned(), cancel);
            cancelled
        })
    }

    fn cancel(&self, id: &str) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(build) = running.remove(id) {
            // It may have ended by itself.
            let _ = build.send(());
        }
    }
}

impl Api {
    pub(super) async fn build(&self, call: Call) -> Result<Response, Error> {
        let declared = call.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_own = declared.is_some_and(|declared| declared.trim() == REQUEST_TYPE);
        let host = Arc::new(EngineHost::new(
            self.engine.clone(),
            self.registries.client().clone(),
            call.header("X-Registry-Config"),
        ));
        let asked = if is_own { self.read_own(call).await? } else { self.read_classic(call).await? };
        if let Some(report) = asked.report {
            return Ok(json_lines(stream::iter([events::checked(&report)])));
        }
        let cancelled = self.builds.begin(&asked.id);
        let building = Building::begin(self, asked, host, cancelled);
        building.into_response().await
    }

    /// Ends a build by its client's ID. One that is not there is no error, as with dockerd.
    pub(super) fn cancel_build(&self, call: &Call) -> Result<Response, Error> {
        let id = call.query().text("id");
        if id.is_empty() {
            return Err(Error::BadRequest("build ID not provided".to_owned()));
        }
        self.builds.cancel(&id);
        Ok(empty(StatusCode::OK))
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Built, build::Error>> + Send>>;

/// A build, and the client that watches it. Dropping it cancels the build.
struct Building {
    work: Option<Work>,
    events: mpsc::Receiver<Event>,
    view: View,
    /// What is to be sent next, the last first.
    lines: Vec<BuildMessage>,
    outcome: Option<Result<Built, build::Error>>,
    /// Whether the client was told of it.
    is_told: bool,
    on_success: Box<dyn Fn(&Built) + Send>,
}

/// How the client is told.
enum View {
    Classic(Box<Classic>),
    Own(Own),
}

impl View {
    fn event(&mut self, event: Event) -> Vec<BuildMessage> {
        match self {
            Self::Classic(classic) => plain(classic.event(event)),
            Self::Own(own) => own.event(event),
        }
    }

    fn end(&mut self, outcome: &Result<Built, build::Error>) -> Vec<BuildMessage> {
        match self {
            Self::Classic(classic) => plain(classic.end(outcome)),
            Self::Own(own) => own.end(outcome),
        }
    }
}

fn plain(messages: Vec<ProgressMessage>) -> Vec<BuildMessage> {
    messages.into_iter().map(|message| BuildMessage { message, event: None }).collect()
}

impl Building {
    fn begin(api: &Api, asked: Asked, host: Arc<dyn Host>, cancelled: Option<oneshot::Receiver<()>>) -> Self {
        let (progress, events) = Progress::new();
        let view = match asked.style {
            Style::Classic { quiet } => View::Classic(Box::new(Classic::new(quiet))),
            Style::Own => View::Own(Own),
        };
        let (builder, request) = (api.builder.clone(), asked.request);
        let work = async move {
            let cancelled = async {
                match cancelled {
                    Some(cancelled) => cancelled.await.is_ok(),
                    None => false,
                }
            };
            tokio::select! {
                built = builder.build(request, host, progress) => built,
                true = cancelled => Err(build::Error::Canceled),
            }
        };
        let engine = api.engine.clone();
        let on_success = Box::new(move |built: &Built| {
            for name in &built.names {
                tell(&engine, "tag", &built.id, &name.familiar());
            }
        });
        Self {
            work: Some(Box::pin(work)),
            events,
            view,
            lines: Vec::new(),
            outcome: None,
            is_told: false,
            on_success,
        }
    }

    async fn into_response(mut self) -> Result<Response, Error> {
        let first = match self.next_line().await {
            Some(line) if line.message.error.is_empty() => line,
            line => match self.outcome.take() {
                Some(Err(error)) if self.is_plain() => return Err(error.into()),
                _ => line.unwrap_or_default(),
            },
        };
        Ok(json_lines(stream::iter([first]).chain(self.into_lines())))
    }

    /// Own clients get errors as messages: an excerpt belongs to them.
    fn is_plain(&self) -> bool {
        matches!(self.view, View::Classic(_))
    }

    fn into_lines(self) -> impl Stream<Item = BuildMessage> + Send {
        stream::unfold(self, async |mut building| Some((building.next_line().await?, building)))
    }

    async fn next_line(&mut self) -> Option<BuildMessage> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Some(line);
            }
            let mut lines = self.next_lines().await?;
            lines.reverse();
            self.lines = lines;
        }
    }

    /// What comes next; nothing after the end.
    async fn next_lines(&mut self) -> Option<Vec<BuildMessage>> {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Some(self.view.event(event)),
                outcome = work => {
                    self.work = None;
                    self.outcome = Some(outcome);
                }
            }
        }
        if let Ok(event) = self.events.try_recv() {
            return Some(self.view.event(event));
        }
        let outcome = self.outcome.as_ref().filter(|_| !self.is_told)?;
        self.is_told = true;
        if let Ok(built) = outcome {
            (self.on_success)(built);
        }
        Some(self.view.end(outcome))
    }
}
