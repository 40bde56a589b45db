//! What is known of a build so far.

use std::collections::{BTreeMap, HashMap};

use api::build::BuildEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::logs::Tail;

/// A build as its events tell it.
#[derive(Debug, Default)]
pub(in super::super) struct Trace {
    pub(super) steps: BTreeMap<u32, Step>,
    /// The numbers of steps in the order in which they are shown: as they began.
    pub(super) order: Vec<u32>,
    pub(super) warnings: Vec<Warning>,
    /// The lines of the Dockerfile that the error is about.
    pub(super) excerpt: String,
    /// What this machine's clock is ahead of the engine's.
    pub(super) ahead: Option<i64>,
    /// When the first step began, by this machine's clock.
    pub(super) began: Option<i64>,
}

/// A step, which is a vertex of the engine's graph.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) name: String,
    /// By the engine's clock.
    pub(super) started: Option<i64>,
    /// By the engine's clock.
    pub(super) completed: Option<i64>,
    pub(super) is_cached: bool,
    /// Why its result was not there.
    pub(super) missed: Option<String>,
    pub(super) error: String,
    pub(super) items: Vec<Item>,
    by_name: HashMap<String, usize>,
    pub(super) logs: Tail,
}

/// Something that a step does.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) current: i64,
    pub(super) total: i64,
    pub(super) is_done: bool,
    /// By this machine's clock.
    pub(super) began: i64,
    /// By this machine's clock, when it was told of last.
    pub(super) told: i64,
}

/// What a check has found.
#[derive(Debug, Clone)]
pub(super) struct Warning {
    pub(super) message: String,
    pub(super) url: String,
    pub(super) detail: String,
    pub(super) excerpt: String,
}

impl Trace {
    /// Takes an event that comes now.
    pub(in super::super) fn apply(&mut self, event: &BuildEvent, now: i64) {
        match event {
            BuildEvent::Vertex { id, name, .. } => self.step(*id).name.clone_from(name),
            BuildEvent::Started { id, time } => self.start(*id, *time, now),
            BuildEvent::Cached { id } => {
                self.show(*id);
                self.step(*id).is_cached = true;
            }
            BuildEvent::Missed { id, reason } => self.step(*id).missed = Some(reason.clone()),
            BuildEvent::Status { id, item, current, total, is_done } => {
                self.show(*id);
                self.step(*id).update(item, (*current, *total, *is_done), now);
            }
            BuildEvent::Log { id, data, .. } => {
                self.show(*id);
                let ahead = self.ahead.unwrap_or(0);
                let step = self.step(*id);
                let at = step.started.map_or(0, |started| now - ahead - started).max(0);
                step.logs.push(at, &STANDARD.decode(data).unwrap_or_default());
            }
            BuildEvent::Warning { message, url, detail, excerpt } => self.warnings.push(Warning {
                message: message.clone(),
                url: url.clone(),
                detail: detail.clone(),
                excerpt: excerpt.clone(),
            }),
            BuildEvent::Completed { id, time, error } => {
                self.show(*id);
                let step = self.step(*id);
                step.completed = Some(*time);
                step.error.clone_from(error);
            }
            BuildEvent::Excerpt { text } => self.excerpt.clone_from(text),
            BuildEvent::Checked { .. } | BuildEvent::Result { .. } => {}
        }
    }

    fn start(&mut self, id: u32, time: i64, now: i64) {
        self.show(id);
        self.ahead.get_or_insert(now - time);
        self.began.get_or_insert(now);
        self.step(id).started.get_or_insert(time);
    }

    fn step(&mut self, id: u32) -> &mut Step {
        self.steps.entry(id).or_default()
    }

    fn show(&mut self, id: u32) {
        if !self.order.contains(&id) {
            self.order.push(id);
        }
    }

    /// The number by which people know a step: 1 for the one that began first.
    pub(super) fn number(&self, id: u32) -> usize {
        self.order.iter().position(|other| *other == id).map_or(0, |index| index + 1)
    }

    /// Steps in the order in which they began.
    pub(super) fn shown(&self) -> impl Iterator<Item = (u32, &Step)> {
        self.order.iter().filter_map(|id| Some((*id, self.steps.get(id)?)))
    }

    /// How long a step has taken, in nanoseconds.
    pub(super) fn duration(&self, step: &Step, now: i64) -> i64 {
        let Some(started) = step.started else { return 0 };
        let end = match step.completed {
            Some(completed) => completed,
            None if step.is_cached => started,
            None => now - self.ahead.unwrap_or(0),
        };
        (end - started).max(0)
    }

    /// How many steps are done, and how many there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.steps.values().filter(|step| step.is_done()).count(), self.steps.len())
    }
}

impl Step {
    fn update(&mut self, name: &str, (current, total, is_done): (i64, i64, bool), now: i64) {
        let index = *self.by_name.entry(name.to_owned()).or_insert_with(|| {
            let item = Item { name: name.to_owned(), current, total, is_done, began: now, told: now };
            self.items.push(item);
            self.items.len() - 1
        });
        let item = &mut self.items[index];
        if item.is_done && !is_done {
            // The same again, as after a connection that broke.
            item.began = now;
        }
        (item.current, item.total, item.is_done, item.told) = (current, total, is_done, now);
    }

    pub(super) fn item(&self, name: &str) -> Option<&Item> {
        self.by_name.get(name).map(|index| &self.items[*index])
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_cached || self.completed.is_some()
    }

    /// Whether it ended because the build did.
    pub(super) fn is_canceled(&self) -> bool {
        self.error.ends_with("canceled") || self.error.ends_with("cancelled")
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.error.is_empty() && !self.is_canceled()
    }
}
