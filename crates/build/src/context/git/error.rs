//! Why a repository could not be had.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a repository could not be had. Addresses are shown without passwords.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such program.
    #[error("unable to find 'git': executable file not found in $PATH")]
    NoProgram,
    /// It could not be started.
    #[error("start git: {0}")]
    Start(#[source] io::Error),
    /// It failed.
    #[error("failed to {action} {url}: git stderr:\n{stderr}: {status}")]
    Git {
        /// What it was to do.
        action: &'static str,
        /// The repository.
        url: String,
        /// What it said, or the end of that.
        stderr: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long.
    #[error("failed to {action} {url}: git did not end within {} seconds", limit.as_secs())]
    Time {
        /// What it was to do.
        action: &'static str,
        /// The repository.
        url: String,
        /// How long it had.
        limit: Duration,
    },
    /// It said more than it can have to say.
    #[error("failed to {action} {url}: git said more than {limit} bytes")]
    TooMuch {
        /// What it was to do.
        action: &'static str,
        /// The repository.
        url: String,
        /// Bytes that it may say.
        limit: u64,
    },
    /// An address that cannot be used.
    #[error("invalid git remote {url:?}: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A reference that cannot be one.
    #[error("invalid git ref {0:?}")]
    Reference(String),
    /// A checksum that cannot be one.
    #[error("invalid checksum {0} for Git URL, expected hex commit hash")]
    InvalidChecksum(String),
    /// A commit is to be fetched by a checksum that is none, or not whole.
    #[error("{0}")]
    ByCommit(String),
    /// The server names no branch as the usual one.
    #[error("could not find default branch for repository: {0}")]
    NoDefault(String),
    /// The server does not know a reference.
    #[error("repository does not contain ref {reference}, output: {output:?}")]
    NoReference {
        /// The reference.
        reference: String,
        /// What the server knows.
        output: String,
    },
    /// The server does not have a commit.
    #[error("repository {url} does not contain commit {commit}")]
    NoCommit {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// The commit is another one.
    #[error("expected checksum to match {expected}, got {actual}")]
    Checksum {
        /// What it has to begin with.
        expected: String,
        /// What it is; for a tag also the commit it stands for.
        actual: String,
    },
    /// The wanted folder is not in the repository.
    #[error("failed to open subdir {folder}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be made, moved or removed.
    #[error("{action} {path:?}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A part of the work was ended from outside.
    #[error("the fetch was cancelled")]
    Cancelled,
}

impl Error {
    /// Whether the server sends no part of its history.
    pub(super) fn is_about_depth(&self) -> bool {
        matches!(self, Self::Git { stderr, .. } if stderr.contains("--depth") || stderr.contains("shallow"))
    }

    /// Whether the server knows the repository, and does not give out this commit or reference alone.
    pub(super) fn is_refusal(&self) -> bool {
        let texts = [
            "not our ref",
            "unadvertised object",
            "couldn't find remote ref",
            "not advertised",
            "does not support shallow",
        ];
        matches!(self, Self::Git { stderr, .. } if texts.iter().any(|text| stderr.contains(text)))
    }
}
