//! Why an image could not be pulled or pushed, in Docker's words.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::Config;

/// Why an image could not be pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry does not let us have the repository, or there is none.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login': {cause}"
    )]
    Denied {
        /// The repository's familiar name.
        name: String,
        /// What the registry said.
        cause: ApiError,
    },
    /// The repository has no such tag or digest.
    #[error("manifest for {reference} not found: {cause}")]
    ManifestUnknown {
        /// The familiar reference.
        reference: String,
        /// What the registry said.
        cause: ApiError,
    },
    /// The registry has no such repository.
    #[error("repository {name} not found: {cause}")]
    NameUnknown {
        /// The repository's familiar name.
        name: String,
        /// What the registry said.
        cause: ApiError,
    },
    /// The registry does not know somebody.
    #[error("login attempt to {url} failed with status: {status}")]
    Login {
        /// Where.
        url: String,
        /// What it said.
        status: String,
    },
    /// No image here has a name in the repository that is to be pushed.
    #[error("An image does not exist locally with the tag: {0}")]
    NotLocal(String),
    /// No image here has the tag that is to be pushed.
    #[error("tag does not exist: {0}")]
    NoTag(String),
    /// All tags of a repository are to be pushed, and there is none.
    #[error("no tags to push for {0}")]
    NoTags(String),
    /// The registry lists a tag that cannot be one.
    #[error("invalid tag {0:?} in the registry's list")]
    Tag(String),
    /// The registry lists more tags than anybody has.
    #[error("more than {0} tags in the registry's list")]
    TooManyTags(usize),
    /// What is to be pushed is named by a digest.
    #[error("cannot push a digest reference")]
    PushByDigest,
    /// A name stands for a list of images where one image is wanted.
    #[error("{0} is a manifest list")]
    List(String),
    /// A name stands for no list of images where one is wanted.
    #[error("{0} is no manifest list")]
    NoList(String),
    /// What is looked for is an address.
    #[error("invalid repository name: repository name ({0}) should not have a scheme")]
    SearchTerm(String),
    /// More results are wanted than a registry gives.
    #[error("limit {limit} is outside the range of [1, {most}]")]
    SearchLimit {
        /// What is wanted.
        limit: u32,
        /// What is possible.
        most: u32,
    },
    /// The registry knows nothing of searches.
    #[error("Unexpected status code 404: the registry {0} has no search")]
    NoSearch(String),
    /// The registry does not search.
    #[error("Unexpected status code {0}")]
    SearchStatus(u16),
    /// The registry has not answered in time.
    #[error("search in {registry}: no answer within {} seconds", limit.as_secs())]
    SearchTime {
        /// The registry.
        registry: String,
        /// How long it had.
        limit: Duration,
    },
    /// There is nothing to be had at a URL.
    #[error("failed to GET {url} with status {status}")]
    Download {
        /// The URL, without what may be secret in it.
        url: String,
        /// What its server said.
        status: String,
    },
    /// What is to be downloaded has an address that cannot be used.
    #[error("invalid URL {url:?}: {reason}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry has something else than what was sent.
    #[error("the registry has {actual} under {reference} instead of {expected}")]
    OtherDigest {
        /// The familiar reference.
        reference: String,
        /// The digest of what was sent.
        expected: oci::Digest,
        /// The digest that the registry tells.
        actual: String,
    },
    /// The registry says where to upload to, and that makes no sense or must not be.
    #[error("upload location {location:?}: {reason}")]
    Location {
        /// What it said.
        location: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The registry refused with an error of its own.
    #[error("{0}")]
    Api(ApiError),
    /// The registry answered with a status that means nothing here.
    #[error("received unexpected HTTP status: {0}")]
    Status(String),
    /// The registry could not be reached or stopped answering.
    #[error("{method} {url:?}: {reason}")]
    Network {
        /// `Get`, `Head`, `Post`, `Patch`, `Put` or `Delete`.
        method: &'static str,
        /// What was asked for.
        url: String,
        /// Why there is no answer.
        reason: String,
    },
    /// No manifest is for the platform that was asked for.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(String),
    /// The registry asks to be left alone for a while.
    #[error("{cause}")]
    Busy {
        /// For how long.
        pause: Duration,
        /// What it said.
        cause: Box<Error>,
    },
    /// The file that says where a registry's content is cannot be used.
    #[error("{path}: {reason}")]
    HostsFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// What the registry sent is too big.
    #[error("{what} exceeds the limit of {limit} bytes")]
    TooBig {
        /// What was sent.
        what: &'static str,
        /// Bytes it may have.
        limit: u64,
    },
    /// The registry wants authentication of a kind that is not supported, or names a place that must not have credentials.
    #[error("registry authentication: {0}")]
    Authentication(String),
    /// The name of the registry is no host.
    #[error("invalid registry host {0:?}")]
    Host(String),
    /// A file of certificates cannot be used.
    #[error("certificates in {path}: {reason}")]
    Certificates {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The client could not be set up.
    #[error("set up HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// Indexes that contain each other, or are nested without end.
    #[error("manifest lists are nested more than {0} deep")]
    Nesting(usize),
    /// The image itself cannot be taken.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A part of the work was ended from outside.
    #[error("the transfer was cancelled")]
    Cancelled,
}

/// What kind of failure it is, for whoever maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such image, or it is not for us.
    NotFound,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// What was asked for or what was sent makes no sense.
    Invalid,
    /// The registry or the network failed; later may be better.
    Unavailable,
    /// This side failed.
    System,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Denied { .. }
            | Self::ManifestUnknown { .. }
            | Self::NameUnknown { .. }
            | Self::NotLocal(_)
            | Self::NoTag(_)
            | Self::NoTags(_)
            | Self::NoPlatform(_) => ErrorKind::NotFound,
            Self::Api(error) if error.code == "UNAUTHORIZED" => ErrorKind::Unauthorized,
            Self::Authentication(_) => ErrorKind::Unauthorized,
            Self::Login { status, .. } if status.starts_with("401") => ErrorKind::Unauthorized,
            Self::TooBig { .. }
            | Self::Tag(_)
            | Self::TooManyTags(_)
            | Self::Host(_)
            | Self::Nesting(_)
            | Self::List(_)
            | Self::NoList(_)
            | Self::SearchTerm(_)
            | Self::SearchLimit { .. }
            | Self::Url { .. }
            | Self::PushByDigest => ErrorKind::Invalid,
            Self::Download { status, .. } if status.starts_with("404") => ErrorKind::NotFound,
            Self::Api(_)
            | Self::NoSearch(_)
            | Self::SearchStatus(_)
            | Self::SearchTime { .. }
            | Self::Download { .. }
            | Self::Login { .. }
            | Self::Status(_)
            | Self::Network { .. }
            | Self::Location { .. }
            | Self::OtherDigest { .. } => ErrorKind::Unavailable,
            Self::Image(error) => match error.kind() {
                image::ErrorKind::NotFound => ErrorKind::NotFound,
                image::ErrorKind::Invalid | image::ErrorKind::Conflict => ErrorKind::Invalid,
                image::ErrorKind::System => ErrorKind::System,
            },
            Self::Busy { cause, .. } => cause.kind(),
            Self::Certificates { .. } | Self::HostsFile { .. } | Self::Client(_) | Self::Cancelled => {
                ErrorKind::System
            }
        }
    }

    /// Whether another host that has the same content may do better.
    pub(crate) fn may_be_better_elsewhere(&self) -> bool {
        self.kind() != ErrorKind::System
    }

    /// How long to wait before the attempt after this one: what the registry asks for, or else more each time.
    pub(crate) fn pause(&self, config: &Config, attempt: u32) -> Duration {
        let growing = config.backoff.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
        match self {
            Self::Busy { pause, .. } => (*pause).clamp(growing, growing.max(config.longest_pause)),
            _ => growing.min(config.longest_pause),
        }
    }

    /// Whether the registry knows nothing of an upload any more, or not what we know of it, so that it begins again.
    pub(crate) fn is_lost_upload(&self) -> bool {
        match self {
            Self::Status(status) => status.starts_with("416"),
            Self::Api(error) => matches!(
                error.code.as_str(),
                "BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID" | "RANGE_INVALID" | "NOT_FOUND"
            ),
            _ => false,
        }
    }

    /// Whether the same may succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Busy { .. } => true,
            Self::Status(status) => status.starts_with('5'),
            Self::Api(error) => matches!(error.code.as_str(), "TOOMANYREQUESTS" | "UNAVAILABLE" | "UNKNOWN"),
            _ => false,
        }
    }
}

/// An error as registries write it (distribution specification, "Error Codes").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiError {
    /// `MANIFEST_UNKNOWN`, `DENIED`, …
    #[serde(default)]
    pub code: String,
    /// Its text.
    #[serde(default)]
    pub message: String,
}

impl ApiError {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    pub(crate) fn denied() -> Self {
        Self::new("DENIED", "requested access to the resource is denied")
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new("UNAUTHORIZED", "authentication required")
    }
}

impl fmt::Display for ApiError {
    /// `manifest unknown: manifest unknown`: the code in words, and the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: String = self.code.to_ascii_lowercase().replace('_', " ");
        match (words.is_empty(), self.message.is_empty()) {
            (false, false) => write!(f, "{words}: {}", self.message),
            (true, _) => f.write_str(&self.message),
            (_, true) => f.write_str(&words),
        }
    }
}
