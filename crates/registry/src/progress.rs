//! What a pull tells while it is under way: the messages that Docker's clients draw their bars from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::manifest::Descriptor;
use serde::Serialize;

use crate::push::Pushed;

/// Where progress goes. Called from several threads; must not block.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// One message, with the field names of Docker's JSON stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What is happening: `Downloading`, `Pull complete`, …
    pub status: String,
    /// How far it is; empty where there is nothing to count.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// What it is about: the short digest of a layer, or the tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What came of it, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Outcome>,
}

/// What came of a push, as programs want it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "there are one or two in a push")]
pub enum Outcome {
    /// A tag that was pushed.
    Pushed(Pushed),
    /// One image went instead of an index that is not whole here.
    #[serde(rename_all = "camelCase")]
    Instead {
        /// Says which kind of outcome it is.
        manifest_pushed_instead_of_index: bool,
        /// The index.
        original_index: Descriptor,
        /// The image's manifest.
        selected_manifest: Descriptor,
    },
}

/// How far something is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Done.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// To be done.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Progress {
    /// A message about nothing in particular.
    pub(crate) fn message(status: String) -> Self {
        Self { status, detail: None, id: None, aux: None }
    }

    /// A message about something.
    pub(crate) fn about(id: &str, status: &str) -> Self {
        Self { status: status.into(), detail: None, id: Some(id.into()), aux: None }
    }

    /// A step of a layer, without bytes to count.
    pub(crate) fn step(id: &str, status: &str) -> Self {
        Self { status: status.into(), detail: Some(Detail::default()), id: Some(id.into()), aux: None }
    }

    /// What came of a push.
    pub(crate) fn outcome(aux: Outcome) -> Self {
        Self { status: String::new(), detail: Some(Detail::default()), id: None, aux: Some(aux) }
    }
}

/// How often the bytes of one layer are reported.
const INTERVAL: Duration = Duration::from_millis(100);

/// Counts the bytes of one step of a layer and reports them now and then.
pub(crate) struct Meter {
    sink: ProgressSink,
    id: Option<String>,
    status: &'static str,
    detail: Detail,
    reported: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(sink: &ProgressSink, id: &str, status: &'static str, total: u64) -> Self {
        Self { id: Some(id.into()), ..Self::of_all(sink, status, total) }
    }

    /// Counts the bytes of something that has no name, of which there is one.
    pub(crate) fn of_all(sink: &ProgressSink, status: &'static str, total: u64) -> Self {
        let detail = Detail { current: 0, total };
        Self { sink: Arc::clone(sink), id: None, status, detail, reported: None }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.set(self.detail.current + bytes);
    }

    /// An upload that begins again goes back.
    pub(crate) fn set(&mut self, current: u64) {
        self.detail.current = current;
        let is_due = self.reported.is_none_or(|then| then.elapsed() >= INTERVAL);
        if is_due || self.detail.current == self.detail.total {
            self.reported = Some(Instant::now());
            let (id, detail) = (self.id.clone(), Some(self.detail));
            (self.sink)(Progress { status: self.status.into(), detail, id, aux: None });
        }
    }
}
