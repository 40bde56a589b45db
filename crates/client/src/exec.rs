//! Further processes in running containers.

use api::IdResponse;
use api::container::ResizeOptions;
use api::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest};

use crate::connection::{Call, Client, segment};
use crate::{Error, Hijacked};

/// How an exec is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    /// Whether it has a terminal.
    pub tty: bool,
    /// Rows and columns of that terminal.
    pub console_size: Option<[u32; 2]>,
}

fn path(exec: &str, verb: &str) -> String {
    format!("/exec/{}/{verb}", segment(exec))
}

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// Prepares a process; the result is its exec ID.
    pub async fn create_exec(&self, container: &str, request: &ExecCreateRequest) -> Result<String, Error> {
        let path = format!("/containers/{}/exec", segment(container));
        let answer: IdResponse = self.json(Call::post(&path, "").json(request)).await?;
        Ok(answer.id)
    }

    /// Starts it and does not wait.
    pub async fn start_exec_detached(&self, exec: &str, start: ExecStart) -> Result<(), Error> {
        let body = ExecStartRequest { detach: true, tty: start.tty, console_size: start.console_size };
        self.empty(Call::post(&path(exec, "start"), "").json(&body)).await
    }

    /// Starts it, attached to its standard streams.
    pub async fn start_exec(&self, exec: &str, start: ExecStart) -> Result<Hijacked, Error> {
        let body = ExecStartRequest { detach: false, tty: start.tty, console_size: start.console_size };
        self.hijack(Call::post(&path(exec, "start"), "").json(&body)).await
    }

    /// What became of it.
    pub async fn inspect_exec(&self, exec: &str) -> Result<ExecInspect, Error> {
        self.json(Call::get(&path(exec, "json"), "")).await
    }

    /// Tells its terminal its size.
    pub async fn resize_exec(&self, exec: &str, options: ResizeOptions) -> Result<(), Error> {
        self.empty(Call::post(&path(exec, "resize"), &options.to_query())).await
    }
}
