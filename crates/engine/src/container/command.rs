use std::os::fd::OwnedFd;
use std::time::Duration;

use api::network::EndpointSettings;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::health::Probe;

/// Where the answer to a command goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a container's task can be asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Start(Reply<()>),
    /// Answered when the first process has ended.
    Stop(StopRequest, Reply<()>),
    /// Answered when the signal is sent; for `SIGKILL`, when the first process has ended.
    Kill(i32, Reply<()>),
    /// Stop where it runs, then start.
    Restart(StopRequest, Reply<()>),
    Pause(Reply<()>),
    Unpause(Reply<()>),
    Rename(String, Reply<()>),
    Remove {
        force: bool,
        volumes: bool,
        reply: Reply<()>,
    },
    /// A client that will attach; before a start it is waited for, so that it sees all output.
    Attach(AttachSlot),
    /// Another network to be connected to, at once where it runs.
    Connect {
        network: String,
        settings: Box<EndpointSettings>,
        reply: Reply<()>,
    },
    /// A network to be left, at once where it runs.
    Disconnect {
        network: String,
        /// Also where the container's namespace cannot be reached.
        force: bool,
        reply: Reply<()>,
    },
    /// A link of this alias to be forgotten.
    Unlink {
        alias: String,
        reply: Reply<()>,
    },
    /// A container that this one is linked to has other addresses.
    FollowLinks,
    /// What the start with the engine has waited for is there.
    StartWithEngine,
    /// What a health check found.
    Health(Probe),
}

/// How to end a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopRequest {
    /// The first signal; `None` is the container's own stop signal.
    pub(crate) signal: Option<i32>,
    /// How long to wait before `SIGKILL`; `None` is for ever.
    pub(crate) grace: Option<Duration>,
}

/// A client that attaches as soon as its connection has become a raw stream.
#[derive(Debug)]
pub(crate) struct AttachSlot {
    pub(crate) attach: shim::Attach,
    pub(crate) socket: oneshot::Receiver<OwnedFd>,
}
