//! One container: its settings, its published state, and the task that owns both.
//!
//! ```text
//!               Start                    first process ends
//!   created ------------> running <----> paused        |
//!      ^                   ^  |  Pause/Unpause          v
//!      |  start failed     |  +---------------> exited or restarting
//!      +-------------------+                     |          |
//!                          |      Start          |          | delay is over
//!                          +---------------------+----------+
//!   any but running --Remove--> removing --> (gone)
//! ```
//!
//! The task is the only writer. Requests reach it as [`Command`]s; what it does is seen through [`Published`], which
//! readers take without waiting for it.

mod command;
mod networks;
mod published;
mod stop;
mod supervision;
mod task;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use command::{AttachSlot, Command, Reply, StopRequest};
pub(crate) use published::Published;
pub(crate) use published::{Live, Run};
pub(crate) use supervision::{Found, find, remove_run_dir, start};
pub(crate) use task::Task;

use crate::error::Error;
use crate::settings::Settings;

/// A container, as the rest of the engine holds it.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) settings: Arc<Settings>,
    published: watch::Receiver<Arc<Published>>,
    commands: mpsc::Sender<Command>,
}

impl Container {
    pub(crate) fn new(
        settings: Arc<Settings>,
        published: watch::Receiver<Arc<Published>>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self { settings, published, commands }
    }

    pub(crate) fn id(&self) -> &str {
        &self.settings.id
    }

    /// The state as last published.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }

    /// A receiver that sees every later state, or the newest of several.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.clone()
    }

    /// The supervisor of a container that runs or is paused.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`].
    pub(crate) fn live(&self) -> Result<Live, Error> {
        let published = self.published();
        published.live.clone().ok_or_else(|| Error::NotRunning { id: self.id().to_owned() })
    }

    /// Sends a command and waits for what comes of it. Dropping the future does not undo the command.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::ContainerNotFound { reference: self.id().to_owned() };
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Sends a command that is not answered; lost if the container is gone.
    pub(crate) async fn tell(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }
}
