//! Waiting for a container to end or to be gone.

use std::sync::Arc;

use api::container::{WaitCondition, WaitResponse};
use tokio::sync::watch;

use crate::container::Published;
use crate::engine::Engine;
use crate::error::Error;

/// A wait that has begun: nothing that happens from now on is missed.
#[derive(Debug)]
pub struct Waiter {
    receiver: watch::Receiver<Arc<Published>>,
    condition: WaitCondition,
    exits_before: u64,
}

impl Engine {
    /// Begins to wait.
    ///
    /// # Errors
    ///
    /// There is no such container.
    pub fn wait(&self, reference: &str, condition: WaitCondition) -> Result<Waiter, Error> {
        let receiver = self.find(reference)?.subscribe();
        let exits_before = receiver.borrow().state.exits;
        Ok(Waiter { receiver, condition, exits_before })
    }
}

impl Waiter {
    /// Waits, and gives the exit code. Dropping the future has no effect.
    pub async fn finish(mut self) -> WaitResponse {
        let (condition, exits_before) = (self.condition, self.exits_before);
        let met = |published: &Arc<Published>| {
            published.removed
                || match condition {
                    WaitCondition::NotRunning => !published.state.status.counts_as_running(),
                    WaitCondition::NextExit => published.state.exits > exits_before,
                    WaitCondition::Removed => false,
                }
        };
        // An error says that the container's task is gone with the engine: what it said last counts then too.
        let _ = self.receiver.wait_for(met).await;
        let last = Arc::clone(&self.receiver.borrow());
        WaitResponse { error: None, status_code: i64::from(last.state.exit_code) }
    }
}
