//! What can go wrong between a client and its engine.

use thiserror::Error;

use crate::Host;

/// A request that failed. The texts are those that `docker` prints.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody answers at the engine's address.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Connect {
        /// Where the engine should be.
        host: Host,
        /// Why it is not.
        #[source]
        source: std::io::Error,
    },
    /// The engine's socket may not be used.
    #[error("permission denied while trying to connect to the Docker daemon socket at {host}: {source}")]
    Permission {
        /// Where the engine is.
        host: Host,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The engine answered with an error.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// The HTTP status, 400 and above.
        status: u16,
        /// What the engine says.
        message: String,
    },
    /// The connection broke.
    #[error("error during connect: {method} {path}: {source}")]
    Transport {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the API says it is.
    #[error("invalid answer of the daemon to {path}: {reason}")]
    Answer {
        /// The request's path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine did not give up the connection for a raw stream.
    #[error("unable to upgrade to tcp, received {status}")]
    Upgrade {
        /// The HTTP status it sent instead.
        status: u16,
    },
    /// A body that is sent could not be read.
    #[error("{0}")]
    Body(#[source] std::io::Error),
}

impl Error {
    /// The HTTP status, if the engine answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Daemon { status, .. } | Self::Upgrade { status } => Some(*status),
            _ => None,
        }
    }

    /// Whether the engine does not know the object.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether no engine was reached.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}
