//! Why a build failed.

use std::path::PathBuf;

use oci::Digest;

/// An error of whoever does a part of the work.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile asks for what cannot be.
    #[error("{error}")]
    Dockerfile {
        /// What is wrong.
        error: Box<dockerfile::Error>,
        /// The lines in question, as text with marks; may be empty.
        excerpt: String,
    },
    /// A name that cannot be one.
    #[error("invalid tag {name:?}: {source}")]
    Tag {
        /// As it was given.
        name: String,
        /// Why not.
        source: oci::ReferenceError,
    },
    /// A command failed.
    #[error("process \"{command}\" did not complete successfully: exit code: {code}")]
    Command {
        /// Program and arguments.
        command: String,
        /// Its exit code.
        code: i32,
        /// Whether a process was killed because memory was short.
        out_of_memory: bool,
    },
    /// A command could not be run.
    #[error("failed to run \"{command}\": {source}")]
    Run {
        /// Program and arguments.
        command: String,
        /// Why.
        source: Failure,
    },
    /// What a file operation could not do.
    #[error(transparent)]
    Files(#[from] crate::files::Error),
    /// A file at an address cannot be had.
    #[error(transparent)]
    Http(#[from] crate::context::http::Error),
    /// A repository cannot be had.
    #[error(transparent)]
    Git(#[from] crate::context::git::Error),
    /// What is to be fetched has no address.
    #[error("unable to prepare context: {0:?} is neither the address of a file nor that of a repository")]
    Remote(String),
    /// A context that is not there.
    #[error("no build context was given")]
    NoContext,
    /// What only whoever builds can allow.
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
    /// A secret that a command needs.
    #[error("secret {0}: not found")]
    Secret(String),
    /// An SSH agent that a command needs.
    #[error("unset ssh forward key {0}")]
    Ssh(String),
    /// Something that this builder does not do.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// An `--annotation` that cannot be.
    #[error("{0}")]
    Annotation(String),
    /// A `--cache-from` or `--cache-to` that cannot be.
    #[error("--{flag} type={kind}: {reason}")]
    CacheOption {
        /// Which of the two.
        flag: &'static str,
        /// Its type.
        kind: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Results cannot be brought to where they were to go.
    #[error("failed to export cache to {place}: {source}")]
    CacheExport {
        /// Where to.
        place: String,
        /// Why not.
        source: Failure,
    },
    /// The image store failed.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The layers of an image or stage cannot be read together.
    #[error("read the files of {what}: {source}")]
    Tree {
        /// Of which vertex.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the builder's own.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A layer of a result is gone while it is used.
    #[error("layer {0} is gone")]
    LayerGone(Digest),
    /// It was cancelled.
    #[error("the build was canceled")]
    Canceled,
    /// An error that several vertices share.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// The lines of the Dockerfile that it is about, as text with marks; empty where there are none.
    pub fn excerpt(&self) -> &str {
        match self {
            Self::Dockerfile { excerpt, .. } => excerpt,
            Self::Shared(error) => error.excerpt(),
            _ => "",
        }
    }
}
