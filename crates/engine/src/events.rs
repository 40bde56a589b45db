//! What happened in the engine, told to whoever listens and kept for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use api::event::{Actor, Event, EventOptions};
use api::{StringMap, Time};
use tokio::sync::broadcast;

use crate::time;

/// How many past events are kept; Docker's number.
const KEPT: usize = 256;
/// How far a listener may fall behind before it loses events.
const BACKLOG: usize = 1024;

/// The keys by which events can be filtered.
const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// Where events go.
#[derive(Debug)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    past: Mutex<VecDeque<Arc<Event>>>,
}

/// A listener: first the past that it asked for, then what comes.
#[derive(Debug)]
pub struct Listener {
    past: VecDeque<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
    options: EventOptions,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// The engine itself.
    Daemon,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, past: Mutex::default() }
    }
}

impl Events {
    /// Tells that `action` happened to `id`.
    pub fn publish(&self, kind: Kind, action: impl Into<String>, id: &str, attributes: StringMap) {
        let now = time::now();
        let action = action.into();
        let mut event = Event {
            kind: kind.as_str().to_owned(),
            action: action.clone(),
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: now / 1_000_000_000,
            time_nano: now,
            ..Event::default()
        };
        // The fields of the first API, which clients of containers and images still read.
        if matches!(kind, Kind::Container | Kind::Image) {
            event.status = action;
            event.id = id.to_owned();
            event.from = event.actor.attributes.get("image").cloned().unwrap_or_default();
        }
        let event = Arc::new(event);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(Arc::clone(&event));
        // Sent under the lock, so that a listener misses nothing and gets nothing twice. Without listeners it is an error.
        let _ = self.sender.send(event);
    }

    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// A filter that does not exist.
    pub fn listen(&self, options: EventOptions) -> Result<Listener, api::filters::Error> {
        options.filters.validate(FILTERS)?;
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        // Without a start only what comes is told, except that an end in the past asks for the past.
        let wanted = options.since.is_some() || options.until.is_some_and(|until| until <= Time::now());
        let past = if wanted { past.clone() } else { VecDeque::new() };
        Ok(Listener { past, receiver, options })
    }
}

impl Listener {
    /// The next event that was asked for; `None` once the end that was asked for is reached.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        while let Some(event) = self.past.pop_front() {
            if self.is_in_time(&event) && matches(&event, &self.options) {
                return Some(event);
            }
        }
        let end = self.options.until;
        tokio::select! {
            event = next_live(&mut self.receiver, &self.options) => event,
            () = until(end) => None,
        }
    }

    fn is_in_time(&self, event: &Event) -> bool {
        let time = Time::from_nanoseconds(event.time_nano);
        self.options.since.is_none_or(|since| time >= since)
            && self.options.until.is_none_or(|until| time <= until)
    }
}

async fn next_live(
    receiver: &mut broadcast::Receiver<Arc<Event>>,
    options: &EventOptions,
) -> Option<Arc<Event>> {
    loop {
        match receiver.recv().await {
            Ok(event) if matches(&event, options) => return Some(event),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "a listener was too slow for events")
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}

async fn until(end: Option<Time>) {
    match end {
        None => std::future::pending().await,
        Some(end) => {
            let left = end.0.duration_since(jiff::Timestamp::now());
            tokio::time::sleep(left.try_into().unwrap_or_default()).await;
        }
    }
}

fn matches(event: &Event, options: &EventOptions) -> bool {
    let filters = &options.filters;
    let attributes = &event.actor.attributes;
    // `exec_start: sh` is found by `exec_start` too.
    let action = event.action.split(':').next().unwrap_or_default();
    let about = |key: &str| {
        !filters.contains(key)
            || (event.kind == key
                && (filters.matches_prefix(key, &event.actor.id)
                    || attributes.get("name").is_some_and(|name| filters.matches_exactly(key, name))))
    };
    filters.matches_exactly("type", &event.kind)
        && (filters.matches_exactly("event", &event.action) || filters.matches_exactly("event", action))
        && filters.matches_exactly("scope", &event.scope)
        && filters.matches_map("label", attributes)
        && ["container", "network", "volume", "daemon"].into_iter().all(about)
        && is_of_image(event, filters)
}

/// An image is meant by its own events and by those of its containers, with or without a tag.
fn is_of_image(event: &Event, filters: &api::Filters) -> bool {
    let attribute = if event.kind == "image" { "name" } else { "image" };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    let untagged = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
    let id = if event.kind == "image" { event.actor.id.as_str() } else { name };
    [id, name, untagged].into_iter().any(|text| filters.matches_exactly("image", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(filters: &[(&str, &str)]) -> EventOptions {
        let mut options = EventOptions { since: Some(Time::zero()), ..EventOptions::default() };
        for (key, value) in filters {
            options.filters.add(*key, *value);
        }
        options
    }

    fn events() -> Events {
        let events = Events::default();
        let attributes = |name: &str| {
            StringMap::from([("name".into(), name.into()), ("image".into(), "busybox:1".into())])
        };
        events.publish(Kind::Container, "create", "abc", attributes("web"));
        events.publish(Kind::Container, "exec_start: sh -c x", "abc", attributes("web"));
        events.publish(Kind::Network, "connect", "net", StringMap::from([("name".into(), "bridge".into())]));
        events
    }

    async fn actions(filters: &[(&str, &str)]) -> Vec<String> {
        let events = events();
        let mut listener = events.listen(options(filters)).unwrap();
        drop(events);
        let mut actions = Vec::new();
        while let Some(event) = listener.next().await {
            actions.push(event.action.clone());
        }
        actions
    }

    #[tokio::test]
    async fn past_events_are_told_by_filter() {
        assert_eq!(actions(&[]).await.len(), 3);
        assert_eq!(actions(&[("container", "web")]).await.len(), 2);
        assert_eq!(actions(&[("event", "exec_start")]).await, ["exec_start: sh -c x"]);
        assert_eq!(actions(&[("image", "busybox")]).await.len(), 2);
        assert_eq!(actions(&[("type", "network")]).await, ["connect"]);
    }

    #[test]
    fn unknown_filter_is_refused() {
        assert!(events().listen(options(&[("colour", "red")])).is_err());
    }
}
