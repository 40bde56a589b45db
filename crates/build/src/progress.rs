//! What a build tells on its way: one log, from which every view is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dockerfile::plan::Plan;
use jiff::Timestamp;
use registry::ProgressSink;
use tokio::sync::mpsc;

/// Events that may wait for whoever shows them; then the build waits.
const QUEUE: usize = 1024;

/// Something that happened. Vertices have numbers from 0 on, in the order in which they are told.
#[derive(Clone, Debug)]
pub enum Event {
    /// There is such a vertex.
    Vertex {
        /// Its number.
        id: u32,
        /// What people see.
        name: String,
        /// The vertices that it needs.
        inputs: Vec<u32>,
    },
    /// What is going to be done. The plan's first vertex has this number.
    Planned {
        /// The plan.
        plan: Arc<Plan>,
        /// The number of its first vertex.
        first: u32,
    },
    /// A vertex begins.
    Started {
        /// Which.
        id: u32,
        /// When.
        time: Timestamp,
    },
    /// Its result was there.
    Cached {
        /// Which.
        id: u32,
    },
    /// Its result was not there, and why.
    Missed {
        /// Which.
        id: u32,
        /// Why.
        reason: String,
    },
    /// How far something is.
    Status {
        /// Which vertex.
        id: u32,
        /// What it does.
        item: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all; 0 where that is not known.
        total: u64,
        /// Whether it is done.
        is_done: bool,
    },
    /// A command begins, in a container of this ID.
    Running {
        /// Which vertex.
        id: u32,
        /// Of which container.
        container: String,
    },
    /// Output of a command.
    Log {
        /// Which vertex.
        id: u32,
        /// 1 or 2.
        stream: u8,
        /// The bytes.
        data: Vec<u8>,
    },
    /// It has ended.
    Completed {
        /// Which.
        id: u32,
        /// When.
        time: Timestamp,
        /// What identifies its result; `None` where it failed.
        result: Option<oci::Digest>,
        /// Why it failed.
        error: Option<String>,
    },
}

/// Where events go. Clones are one log.
#[derive(Clone, Debug)]
pub struct Progress {
    sender: mpsc::Sender<Event>,
    next: Arc<AtomicU32>,
}

impl Progress {
    /// A log, and where it is read.
    pub fn new() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, next: Arc::default() }, receiver)
    }

    /// Tells an event, and waits until there is room for it. Nobody listens once the client has left.
    pub(crate) async fn tell(&self, event: Event) {
        let _ = self.sender.send(event).await;
    }

    /// Tells how far something is, unless nobody has time to hear it.
    pub(crate) fn try_tell(&self, event: Event) {
        let _ = self.sender.try_send(event);
    }

    /// Where a transfer from or to a registry is told of, as what a vertex does.
    pub(crate) fn of_transfer(&self, vertex: u32) -> ProgressSink {
        let progress = self.clone();
        Arc::new(move |told: registry::Progress| {
            let detail = told.detail.unwrap_or_default();
            let status = told.status.as_str();
            let is_done =
                matches!(status, "Pull complete" | "Already exists" | "Pushed" | "Layer already exists");
            let item = format!("{} {status}", told.id.as_deref().unwrap_or_default()).trim().to_owned();
            let (current, total) = (detail.current, detail.total);
            progress.try_tell(Event::Status { id: vertex, item, current, total, is_done });
        })
    }

    /// A new vertex that is no part of a plan.
    pub(crate) async fn vertex(&self, name: &str) -> u32 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Vertex { id, name: name.to_owned(), inputs: Vec::new() }).await;
        id
    }

    /// Tells all vertices of a plan, and the number of the first one.
    pub(crate) async fn plan(&self, plan: &Arc<Plan>) -> u32 {
        let count = u32::try_from(plan.vertices.len()).unwrap_or(u32::MAX);
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let number = |at: usize| first + u32::try_from(at).unwrap_or_default();
        for (at, vertex) in plan.vertices.iter().enumerate() {
            let inputs = vertex.inputs.iter().map(|input| number(input.vertex.0)).collect();
            self.tell(Event::Vertex { id: number(at), name: vertex.name.clone(), inputs }).await;
        }
        self.tell(Event::Planned { plan: Arc::clone(plan), first }).await;
        first
    }

    pub(crate) async fn started(&self, id: u32) {
        self.tell(Event::Started { id, time: Timestamp::now() }).await;
    }

    pub(crate) async fn completed(&self, id: u32, result: Option<oci::Digest>, error: Option<String>) {
        self.tell(Event::Completed { id, time: Timestamp::now(), result, error }).await;
    }
}
