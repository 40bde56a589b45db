//! What waits for the end of a run, and when patience ends.

use tokio::time::Instant;

use super::command::{Reply, StopRequest};

/// What is done once the first process has ended.
#[derive(Debug)]
pub(crate) enum AfterExit {
    /// Answer whoever asked for the end.
    Tell(Reply<()>),
    /// Start again, then answer.
    Start(Reply<()>),
    /// Remove, then answer.
    Remove { volumes: bool, reply: Reply<()> },
}

/// A stop that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopping {
    /// When `SIGKILL` is sent; `None` is never.
    pub(crate) deadline: Option<Instant>,
}

impl Stopping {
    pub(crate) fn new(request: &StopRequest) -> Self {
        Self { deadline: request.grace.map(|grace| Instant::now() + grace) }
    }

    /// Of two stops the more impatient counts.
    pub(crate) fn join(self, other: Self) -> Self {
        let deadline = match (self.deadline, other.deadline) {
            (Some(first), Some(second)) => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        Self { deadline }
    }
}
