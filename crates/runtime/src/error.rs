//! What can go wrong between a configuration and its running process.

use std::path::PathBuf;

use shim::{Failure, FailureKind};
use sys::Errno;

/// A failure to create, start or enter a container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration asks for something that is not implemented.
    #[error("{field} is not supported")]
    Unsupported {
        /// The configuration's field, e.g. `linux.intelRdt`.
        field: String,
    },
    /// The configuration is wrong.
    #[error("invalid {field}: {reason}")]
    Invalid {
        /// The configuration's field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Kernel {
        /// The step and its subject, e.g. `set hostname`.
        step: String,
        /// Its answer.
        source: Errno,
    },
    /// A mount could not be made.
    #[error("error mounting {source_name:?} to rootfs at {destination:?}: {step}: {source}{detail}")]
    Mount {
        /// What was to be mounted.
        source_name: PathBuf,
        /// Where, inside the container.
        destination: PathBuf,
        /// The step that failed.
        step: &'static str,
        /// The kernel's answer.
        source: Errno,
        /// What the file system said besides, with a leading separator; often empty.
        detail: String,
    },
    /// The container's process reported a failure.
    #[error("{}", .0.message)]
    Process(Failure),
    /// The container's process ended without a report.
    #[error("container process ended unexpectedly while {stage}")]
    Ended {
        /// What it was doing as far as its parent knows.
        stage: &'static str,
    },
}

impl Error {
    /// The kind of failure, as clients tell them apart.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unsupported { .. } | Self::Invalid { .. } => FailureKind::Invalid,
            Self::Kernel { .. } | Self::Mount { .. } | Self::Ended { .. } => FailureKind::System,
            Self::Process(failure) => failure.kind,
        }
    }

    /// As it is told to the engine.
    pub fn to_failure(&self) -> Failure {
        Failure { kind: self.kind(), message: self.to_string() }
    }
}
