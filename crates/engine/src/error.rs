//! What can go wrong in the engine, by what a client can do about it.

use std::io;
use std::path::PathBuf;

use shim::{Failure, FailureKind};

/// Why the engine did not do what it was asked. The texts are Docker's where people or programs match on them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this ID, name or prefix.
    #[error("No such container: {reference}")]
    ContainerNotFound {
        /// What was asked for.
        reference: String,
    },
    /// Several containers' IDs begin so.
    #[error("multiple IDs found with provided prefix: {prefix}")]
    AmbiguousPrefix {
        /// The beginning.
        prefix: String,
    },
    /// No exec has this ID.
    #[error("No such exec instance: {id}")]
    ExecNotFound {
        /// What was asked for.
        id: String,
    },
    /// No volume has this name.
    #[error("get {name}: no such volume")]
    VolumeNotFound {
        /// What was asked for.
        name: String,
    },
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// The container's ID.
        owner: String,
    },
    /// The container has no process.
    #[error("container {id} is not running")]
    NotRunning {
        /// Its ID.
        id: String,
    },
    /// The container has no place in the network.
    #[error("container {id} is not connected to the network {network}")]
    NotConnected {
        /// Its ID.
        id: String,
        /// The network's name.
        network: String,
    },
    /// The other end of a link has no process.
    #[error("Cannot link to a non running container: {target} AS {link}")]
    LinkedNotRunning {
        /// Its name with a slash.
        target: String,
        /// The link's name, `/owner/alias`.
        link: String,
    },
    /// The other end of a link is on other networks only.
    #[error("Cannot link to {target}, as it does not belong to the default network")]
    LinkedElsewhere {
        /// Its name with a slash.
        target: String,
    },
    /// The container is frozen.
    #[error("container {id} is paused, unpause the container before {action}")]
    Paused {
        /// Its ID.
        id: String,
        /// What was asked.
        action: &'static str,
    },
    /// The container's state does not allow what was asked.
    #[error("{message}")]
    Conflict {
        /// Which container, and why, as Docker words it.
        message: String,
    },
    /// The container is in the wanted state already: not a failure, but told apart (304).
    #[error("container {id} is already {state}")]
    NotModified {
        /// Its ID.
        id: String,
        /// The state.
        state: &'static str,
    },
    /// A field of the request has a value that cannot be used.
    #[error("{message}")]
    InvalidParameter {
        /// Which field, and why, as Docker words it.
        message: String,
    },
    /// Something was asked for that this engine does not do.
    #[error("{what} is not supported by this engine")]
    Unsupported {
        /// The field and its value.
        what: String,
    },
    /// The container's program could not be started.
    #[error(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: \
         unable to start container process: {}", failure.message
    )]
    Start {
        /// What the supervisor says.
        failure: Failure,
    },
    /// A further process could not be started.
    #[error(
        "OCI runtime exec failed: exec failed: unable to start container process: {}", failure.message
    )]
    Exec {
        /// What the supervisor says.
        failure: Failure,
    },
    /// The supervisor refused something.
    #[error("{action} container {id}: {}", failure.message)]
    Supervisor {
        /// What was tried.
        action: &'static str,
        /// The container's ID.
        id: String,
        /// What the supervisor says.
        failure: Failure,
    },
    /// The supervisor could not be started or reached.
    #[error("{action} supervisor of container {id}: {reason}")]
    SupervisorLost {
        /// What was tried.
        action: &'static str,
        /// The container's ID.
        id: String,
        /// Why.
        reason: String,
    },
    /// The log driver keeps nothing that could be read.
    #[error("configured logging driver does not support reading")]
    LogsNotReadable,
    /// An image is missing or cannot be used.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A network refused something.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A container's networks could not be joined.
    #[error("failed to set up container networking: {0}")]
    Networking(#[source] network::Error),
    /// Names of containers could not be made known.
    #[error(transparent)]
    Names(#[from] dns::WriteError),
    /// Records could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file or folder of the engine could not be used.
    #[error("{action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A new volume could not be filled.
    #[error("failed to populate volume: {what}: {source}")]
    Volume {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program of the host could not be run.
    #[error("run {program}: {reason}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Why, or what it wrote.
        reason: String,
    },
}

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidParameter { message: message.into() }
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// The exit code of a process that could not be started for this reason, as a shell would report it.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Start { failure } | Self::Exec { failure } => match failure.kind {
                FailureKind::CommandNotFound => 127,
                FailureKind::NotExecutable => 126,
                _ => 128,
            },
            _ => 128,
        }
    }
}
