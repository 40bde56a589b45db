//! Reading a container's log.

use api::container::LogsOptions;
use shim::log::follow::{self, Follow};
use shim::log::{Frames, LogError, ReadOptions, Render};
use tokio::sync::mpsc;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::Error;
use crate::logging;
use crate::shared::Shared;

/// A log on its way to a client.
#[derive(Debug)]
pub struct LogStream {
    /// Whether the container has a terminal, so that the pieces carry no frames.
    pub tty: bool,
    /// The pieces, in order; each is some whole records.
    pub pieces: mpsc::Receiver<Result<Vec<u8>, LogError>>,
}

impl Engine {
    /// Reads a container's log, and with `follow` what it writes until it ends. Output of a terminal has no frames in any
    /// case.
    ///
    /// # Errors
    ///
    /// The container does not exist or keeps no log, or no stream was asked for.
    pub fn logs(&self, reference: &str, options: &LogsOptions, frames: Frames) -> Result<LogStream, Error> {
        let container = self.find(reference)?;
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let log = log_of(&self.shared, &container)?;
        let nanoseconds = |time: api::Time| i64::try_from(time.0.as_nanosecond()).unwrap_or(i64::MAX);
        let read = ReadOptions {
            since: options.since.map(nanoseconds),
            until: options.until.map(nanoseconds),
            tail: options.tail,
            stdout: options.stdout,
            stderr: options.stderr,
        };
        let tty = container.settings.config.tty;
        let frames = if tty { Frames::Absent } else { frames };
        let rendering = Render { frames, timestamps: options.timestamps, details: options.details };
        let mut published = container.subscribe();
        let follow = if options.follow && published.borrow().state.status.counts_as_running() {
            Follow::Until(async move {
                // The container's task may be gone with the container, which is an end too.
                let _ = published.wait_for(|state| !state.state.status.counts_as_running()).await;
            })
        } else {
            Follow::No
        };
        Ok(LogStream { tty, pieces: follow::stream(log, read, rendering, follow) })
    }
}

/// The log of a container, for reading.
pub(crate) fn log_of(shared: &Shared, container: &Container) -> Result<shim::Log, Error> {
    let published = container.published();
    match logging::log(&container.settings, &published.name, &shared.files(container.id()))? {
        shim::Log::None => Err(Error::LogsNotReadable),
        log => Ok(log),
    }
}
