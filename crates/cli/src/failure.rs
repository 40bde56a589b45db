//! Why a command ends without success: the one place where errors become messages and exit codes.

use thiserror::Error;

pub(crate) use sys::errno::io_text;

/// The end of a command that did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Everything was said already, or the code is a container's own.
    #[error("exit status {0}")]
    Exit(u8),
    /// A message, and the exit code that goes with it.
    #[error("{text}")]
    Message {
        /// What is printed, without a line end.
        text: String,
        /// The exit code.
        code: u8,
    },
    /// What the engine or the connection to it says.
    #[error(transparent)]
    Engine(#[from] client::Error),
}

impl Failure {
    /// A message with exit code 1.
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message { text: text.into(), code: 1 }
    }

    /// A message with an exit code of its own.
    pub(crate) fn coded(text: impl Into<String>, code: u8) -> Self {
        Self::Message { text: text.into(), code }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Exit(code) | Self::Message { code, .. } => *code,
            Self::Engine(_) => 1,
        }
    }

    /// What to print on standard error, if anything is left to say.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Exit(_) => None,
            Self::Message { text, .. } => Some(text.clone()).filter(|text| !text.is_empty()),
            Self::Engine(error) => Some(error.to_string()),
        }
    }
}
