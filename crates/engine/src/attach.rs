//! Connecting clients to a container's standard streams.
//!
//! A client asks over HTTP and its connection then turns into a raw stream. The engine hands that connection itself to the
//! supervisor: output does not pass through the engine, and a client stays attached when the engine is restarted.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use api::container::AttachOptions;
use api::exec::ExecStartRequest;
use api::stream::{self, Stream};
use shim::log::follow::{self, Follow};
use shim::log::{Frames, ReadOptions, Render};
use shim::{Attach, Framing, Target};
use tokio::sync::oneshot;

use crate::container::{AttachSlot, Command, Container};
use crate::engine::Engine;
use crate::error::Error;
use crate::exec::{self, Exec};
use crate::shared::Shared;
use crate::state::Status;
use crate::{detach_keys, logs};

/// A client that may attach once its connection is a raw stream. Dropping it gives up.
#[derive(Debug)]
pub struct AttachTicket {
    tty: bool,
    framing: Framing,
    history: Option<shim::Log>,
    streams: (bool, bool),
    socket: Option<oneshot::Sender<OwnedFd>>,
}

/// A client that may run an exec once its connection is a raw stream.
#[derive(Debug)]
pub struct ExecTicket {
    shared: Arc<Shared>,
    container: Arc<Container>,
    exec: Arc<Exec>,
    console: Option<[u32; 2]>,
}

impl Engine {
    /// Announces a client. From now on a start waits for it, so that it misses no output.
    ///
    /// # Errors
    ///
    /// The container does not exist, or its state does not allow it.
    pub async fn attach(&self, reference: &str, options: &AttachOptions) -> Result<AttachTicket, Error> {
        self.announce(reference, options, Framing::Multiplexed).await
    }

    /// The same for a client that gets the output as it is, also without a terminal: one with a websocket, whose messages
    /// are frames enough.
    ///
    /// # Errors
    ///
    /// As [`Engine::attach`].
    pub async fn attach_unframed(
        &self,
        reference: &str,
        options: &AttachOptions,
    ) -> Result<AttachTicket, Error> {
        self.announce(reference, options, Framing::Raw).await
    }

    async fn announce(
        &self,
        reference: &str,
        options: &AttachOptions,
        without_terminal: Framing,
    ) -> Result<AttachTicket, Error> {
        let container = self.find(reference)?;
        let id = || container.id().to_owned();
        match container.published().state.status {
            Status::Paused => return Err(Error::Paused { id: id(), action: "attach" }),
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    id()
                )));
            }
            _ => {}
        }
        let tty = container.settings.config.tty;
        let framing = if tty { Framing::Raw } else { without_terminal };
        let keys = detach_keys::parse(options.detach_keys.as_deref().unwrap_or_default())?;
        let history = if options.logs { Some(logs::log_of(&self.shared, &container)?) } else { None };
        let socket = if options.stream {
            let (sender, socket) = oneshot::channel();
            let attach = Attach {
                target: Target::Init,
                stdin: options.stdin && container.settings.config.open_stdin,
                stdout: options.stdout,
                stderr: options.stderr,
                framing,
                detach_keys: keys,
            };
            container.tell(Command::Attach(AttachSlot { attach, socket })).await;
            Some(sender)
        } else {
            None
        };
        Ok(AttachTicket { tty, framing, history, streams: (options.stdout, options.stderr), socket })
    }

    /// Checks that an exec can be started, before its client's connection becomes a raw stream.
    ///
    /// # Errors
    ///
    /// It does not exist, was started before, or its container does not run.
    pub fn exec_attach(&self, id: &str, request: &ExecStartRequest) -> Result<ExecTicket, Error> {
        let exec = self.shared.execs.find(id)?;
        let container = self.find(&exec.container_id)?;
        exec::check_startable(&exec)?;
        exec::check_running(&container)?;
        Ok(ExecTicket { shared: Arc::clone(&self.shared), container, exec, console: request.console_size })
    }
}

impl AttachTicket {
    /// Whether the container has a terminal, so that its output comes as it is, without frames.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Hands the client's connection over: a stream socket on which nothing is pending in this process.
    pub async fn connect(self, socket: OwnedFd) {
        let Self { framing, history, streams: (stdout, stderr), socket: slot, .. } = self;
        let socket = match history {
            None => socket,
            Some(log) => match write_history(log, socket, framing, stdout, stderr).await {
                Some(socket) => socket,
                None => return,
            },
        };
        if let Some(slot) = slot {
            // The container may be gone; the client then sees the end.
            let _ = slot.send(socket);
        }
    }
}

impl ExecTicket {
    /// Whether the exec has a terminal.
    pub fn tty(&self) -> bool {
        self.exec.request.tty
    }

    /// Runs the exec with the client's connection. What goes wrong is told on that connection, as Docker does.
    pub async fn start(self, socket: OwnedFd) {
        let own = socket.as_fd().try_clone_to_owned();
        let started =
            exec::start(&self.shared, &self.container, &self.exec, self.console, Some(socket)).await;
        if let (Err(error), Ok(own)) = (started, own) {
            tell_failure(own, &error, self.tty());
        }
    }
}

/// A few hundred bytes on a fresh connection never block.
fn tell_failure(socket: OwnedFd, error: &Error, tty: bool) {
    let text = format!("{error}\r\n");
    let mut message = Vec::new();
    if !tty {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        message.extend_from_slice(&stream::header(Stream::Stderr, length));
    }
    message.extend_from_slice(text.as_bytes());
    let mut client = UnixStream::from(socket);
    if let Err(error) = client.write_all(&message) {
        tracing::debug!(%error, "client of a failed exec is gone");
    }
}

/// Writes what the log has so far; gives the connection back unless the client has gone.
async fn write_history(
    log: shim::Log,
    socket: OwnedFd,
    framing: Framing,
    stdout: bool,
    stderr: bool,
) -> Option<OwnedFd> {
    let options = ReadOptions { stdout, stderr, ..ReadOptions::default() };
    let frames = if framing == Framing::Multiplexed { Frames::Records } else { Frames::Absent };
    let rendering = Render { frames, ..Render::default() };
    let mut pieces = follow::stream(log, options, rendering, Follow::<std::future::Ready<()>>::No);
    let mut client = UnixStream::from(socket);
    client.set_nonblocking(false).ok()?;
    while let Some(Ok(piece)) = pieces.recv().await {
        let written = tokio::task::spawn_blocking(move || client.write_all(&piece).map(|()| client)).await;
        client = written.ok()?.ok()?;
    }
    Some(client.into())
}
