//! What can go wrong between a configuration and its running process.

use std::fmt;
use std::path::PathBuf;

use shim::{Failure, FailureKind};
use sys::Errno;

use crate::cgroup::CgroupError;
use crate::seccomp::SeccompError;

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
    /// The user or group is not known inside the container, or no valid number.
    #[error("{0}")]
    User(String),
    /// The program is not there (exit code 127).
    #[error("{0}")]
    CommandNotFound(String),
    /// The program cannot be executed (exit code 126).
    #[error("{0}")]
    NotExecutable(String),
    /// The container, or what was to be entered, has ended.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Kernel {
        /// The step and its subject, e.g. `set hostname`.
        step: String,
        /// Its answer.
        source: Reason,
    },
    /// A mount could not be made.
    #[error("error mounting {mounted:?} to rootfs at {destination:?}: {step}: {source}{detail}")]
    Mount {
        /// What was to be mounted.
        mounted: PathBuf,
        /// Where, inside the container.
        destination: PathBuf,
        /// The step that failed.
        step: &'static str,
        /// The kernel's answer.
        source: Reason,
        /// What the file system said besides, with a leading separator; often empty.
        detail: String,
    },
    /// A hook failed.
    #[error("error running {kind} hook #{index}: {reason}")]
    Hook {
        /// Which kind, e.g. `createRuntime`.
        kind: &'static str,
        /// Which of them, from 0.
        index: usize,
        /// What happened.
        reason: String,
    },
    /// The control groups refused.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The system call filter cannot be compiled or loaded.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
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
            Self::CommandNotFound(_) => FailureKind::CommandNotFound,
            Self::NotExecutable(_) => FailureKind::NotExecutable,
            Self::NotRunning(_) => FailureKind::Conflict,
            Self::Unsupported { .. } | Self::Invalid { .. } | Self::User(_) => FailureKind::Invalid,
            Self::Mount { .. } | Self::Hook { .. } => FailureKind::Invalid,
            Self::Seccomp(SeccompError::Load(_)) => FailureKind::System,
            Self::Seccomp(_) => FailureKind::Invalid,
            Self::Kernel { .. } | Self::Ended { .. } | Self::Cgroup(_) => FailureKind::System,
            Self::Process(failure) => failure.kind,
        }
    }

    /// As it is told to the engine.
    pub fn to_failure(&self) -> Failure {
        Failure { kind: self.kind(), message: self.to_string() }
    }

    pub(crate) fn unsupported(field: impl Into<String>) -> Self {
        Self::Unsupported { field: field.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }
}

/// The kernel's answer, worded as Docker's users know it: lowercase and without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sys::errno::text(self.0))
    }
}

impl std::error::Error for Reason {}

/// Adds the step to what the kernel answered.
pub(crate) trait Step<T> {
    fn step(self, step: &str) -> Result<T, Error>;
    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Step<T> for sys::Result<T> {
    fn step(self, step: &str) -> Result<T, Error> {
        self.step_with(|| step.to_owned())
    }

    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|errno| Error::Kernel { step: step(), source: Reason(errno) })
    }
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, step: &str) -> Result<T, Error> {
        self.map_err(sys::process::errno).step(step)
    }

    fn step_with(self, step: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(sys::process::errno).step_with(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_worded_as_docker_words_it() {
        assert_eq!(Reason(Errno::NOENT).to_string(), "no such file or directory");
        assert_eq!(Reason(Errno::ACCESS).to_string(), "permission denied");
        assert_eq!(Reason(Errno::ISDIR).to_string(), "is a directory");
    }
}
