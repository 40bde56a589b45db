//! Builds that are told for tests, with a clock of their own.

use api::build::BuildEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::terminal::Size;
use super::{Trace, View};

/// When scripts begin.
const BEGIN: i64 = 1_700_000_000_000_000_000;
/// What this machine's clock is ahead of the engine's.
const AHEAD: i64 = 3_600_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// Events, each with the time at which it comes.
pub(super) struct Script {
    events: Vec<(i64, BuildEvent)>,
    now: i64,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { events: Vec::new(), now: BEGIN }
    }

    fn add(mut self, event: BuildEvent) -> Self {
        self.events.push((self.now, event));
        self
    }

    /// The next event comes so many milliseconds later.
    pub(super) fn after(mut self, milliseconds: i64) -> Self {
        self.now += milliseconds * MILLISECOND;
        self
    }

    pub(super) fn vertices(self, names: &[&str]) -> Self {
        let add = |script: Self, (id, name): (usize, &&str)| {
            script.add(BuildEvent::Vertex { id: id as u32, name: (*name).to_owned(), inputs: Vec::new() })
        };
        names.iter().enumerate().fold(self, add)
    }

    pub(super) fn started(self, id: u32) -> Self {
        let time = self.now - AHEAD;
        self.add(BuildEvent::Started { id, time })
    }

    pub(super) fn cached(self, id: u32) -> Self {
        self.add(BuildEvent::Cached { id })
    }

    pub(super) fn missed(self, id: u32, reason: &str) -> Self {
        self.add(BuildEvent::Missed { id, reason: reason.to_owned() })
    }

    pub(super) fn status(self, id: u32, item: &str, current: i64, total: i64, is_done: bool) -> Self {
        self.add(BuildEvent::Status { id, item: item.to_owned(), current, total, is_done })
    }

    pub(super) fn log(self, id: u32, text: &str) -> Self {
        self.bytes(id, text.as_bytes())
    }

    pub(super) fn bytes(self, id: u32, bytes: &[u8]) -> Self {
        self.add(BuildEvent::Log { id, stream: 1, data: STANDARD.encode(bytes) })
    }

    pub(super) fn completed(self, id: u32) -> Self {
        self.failed(id, "")
    }

    pub(super) fn failed(self, id: u32, error: &str) -> Self {
        let time = self.now - AHEAD;
        self.add(BuildEvent::Completed { id, time, error: error.to_owned() })
    }

    pub(super) fn warning(self, message: &str, url: &str, excerpt: &str) -> Self {
        self.add(BuildEvent::Warning {
            message: message.to_owned(),
            url: url.to_owned(),
            detail: "Detail".to_owned(),
            excerpt: excerpt.to_owned(),
        })
    }

    pub(super) fn excerpt(self, text: &str) -> Self {
        self.add(BuildEvent::Excerpt { text: text.to_owned() })
    }

    pub(super) fn result(self, config: &str) -> Self {
        self.add(BuildEvent::Result { config: config.to_owned(), manifest: None, names: Vec::new() })
    }

    /// All that the view writes.
    pub(super) fn play(self, view: &mut impl View) -> Vec<u8> {
        let mut trace = Trace::default();
        let mut out = Vec::new();
        for (now, event) in &self.events {
            out.extend(view.tick(&trace, *now, Size { columns: 80, rows: 24 }));
            trace.apply(event, *now);
            out.extend(view.event(event, &trace, *now));
        }
        out.extend(view.end(&trace, self.now));
        out
    }

    /// What is known at the end.
    pub(super) fn trace(&self) -> Trace {
        let mut trace = Trace::default();
        self.events.iter().for_each(|(now, event)| trace.apply(event, *now));
        trace
    }

    /// The time at the end.
    pub(super) fn now(&self) -> i64 {
        self.now
    }
}
