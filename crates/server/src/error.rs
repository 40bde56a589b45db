//! What goes wrong with a request, and the one table of HTTP statuses.

use std::io;

use api::{ApiVersion, ErrorResponse};
use http::StatusCode;
use shim::FailureKind;

use crate::http::{Response, empty, json};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path, with this method, is not one of the API's.
    #[error("page not found")]
    PageNotFound,
    /// The client's version is too old.
    #[error(
        "client version {0} is too old. Minimum supported API version is {oldest}, please upgrade your client to a newer version",
        oldest = ApiVersion::OLDEST
    )]
    VersionTooOld(ApiVersion),
    /// The client's version is too new.
    #[error("client version {0} is too new. Maximum supported API version is {newest}", newest = ApiVersion::NEWEST)]
    VersionTooNew(ApiVersion),
    /// A part of the API that is not there.
    #[error("{0} is not supported by this engine")]
    Unsupported(&'static str),
    /// The request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// A parameter was not understood.
    #[error(transparent)]
    Query(#[from] api::query::Error),
    /// Filters were not understood.
    #[error(transparent)]
    Filters(#[from] api::filters::Error),
    /// The body was not understood.
    #[error(transparent)]
    Json(#[from] api::json::Error),
    /// Credentials were not understood.
    #[error(transparent)]
    Auth(#[from] api::auth::Error),
    /// A name of an image is none.
    #[error(transparent)]
    Reference(#[from] oci::ReferenceError),
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A build failed.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// What a build is to be made of is not there.
    #[error("{0}")]
    NoContext(String),
    /// The images refused or failed.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The layers of an image cannot be read together.
    #[error("read the layers of an image: {0}")]
    Tree(#[source] io::Error),
    /// A registry refused or failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A registry does not know somebody.
    #[error(transparent)]
    Login(registry::Error),
    /// The networks refused or failed.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A socket could not be made.
    #[error("make a socket: {0}")]
    Socket(#[source] io::Error),
    /// The work ended without an answer.
    #[error("internal error: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::PageNotFound => StatusCode::NOT_FOUND,
            Self::VersionTooOld(_)
            | Self::VersionTooNew(_)
            | Self::BadRequest(_)
            | Self::Query(_)
            | Self::Filters(_)
            | Self::Json(_)
            | Self::Auth(_)
            | Self::Reference(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Login(_) => StatusCode::UNAUTHORIZED,
            Self::Engine(error) => engine_status(error),
            Self::Build(error) => build_status(error),
            Self::NoContext(_) => StatusCode::NOT_FOUND,
            Self::Image(error) => image_status(error),
            Self::Registry(error) => registry_status(error),
            Self::Network(error) => network_status(error),
            Self::Socket(_) | Self::Task(_) | Self::Tree(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer that tells it.
    pub fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::NOT_MODIFIED {
            return empty(status);
        }
        let message = full_text(&self);
        if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            tracing::error!(%message, "a request failed");
        }
        json(status, &ErrorResponse { message })
    }
}

/// The text of an error and of what caused it, where the error does not tell that itself.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}

fn engine_status(error: &engine::Error) -> StatusCode {
    use engine::Error as E;
    match error {
        E::ContainerNotFound { .. } | E::ExecNotFound { .. } | E::VolumeNotFound { .. } => {
            StatusCode::NOT_FOUND
        }
        E::AmbiguousPrefix { .. } | E::InvalidParameter { .. } => StatusCode::BAD_REQUEST,
        E::NameInUse { .. } | E::NotRunning { .. } | E::Paused { .. } | E::Conflict { .. } => {
            StatusCode::CONFLICT
        }
        E::NotModified { .. } => StatusCode::NOT_MODIFIED,
        E::Unsupported { .. } | E::LogsNotReadable => StatusCode::NOT_IMPLEMENTED,
        E::Start { failure } | E::Exec { failure } | E::Supervisor { failure, .. } => {
            failure_status(failure.kind)
        }
        E::Image(error) => image_status(error),
        E::Network(error) | E::Networking(error) => network_status(error),
        E::SupervisorLost { .. }
        | E::NotConnected { .. }
        | E::LinkedNotRunning { .. }
        | E::LinkedElsewhere { .. }
        | E::Store(_)
        | E::Names(_)
        | E::File { .. }
        | E::Volume { .. }
        | E::Program { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn failure_status(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::CommandNotFound | FailureKind::NotExecutable | FailureKind::Invalid => {
            StatusCode::BAD_REQUEST
        }
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::Conflict => StatusCode::CONFLICT,
        FailureKind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn image_status(error: &image::Error) -> StatusCode {
    match error.kind() {
        image::ErrorKind::NotFound => StatusCode::NOT_FOUND,
        image::ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        image::ErrorKind::Conflict => StatusCode::CONFLICT,
        image::ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn build_status(error: &build::Error) -> StatusCode {
    use build::Error as E;
    match error {
        E::Dockerfile { .. }
        | E::Tag { .. }
        | E::Remote(_)
        | E::NoContext
        | E::Unsupported(_)
        | E::CacheOption { .. }
        | E::Annotation(_) => StatusCode::BAD_REQUEST,
        E::Image(error) => image_status(error),
        E::Shared(error) => build_status(error),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A registry's refusal of credentials is an internal error to dockerd's clients, which must not ask for a login here.
fn registry_status(error: &registry::Error) -> StatusCode {
    match error.kind() {
        registry::ErrorKind::NotFound => StatusCode::NOT_FOUND,
        registry::ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        registry::ErrorKind::Unauthorized
        | registry::ErrorKind::Unavailable
        | registry::ErrorKind::System => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn network_status(error: &network::Error) -> StatusCode {
    use network::Error as E;
    match error {
        E::NotFound(_) => StatusCode::NOT_FOUND,
        E::Ambiguous(..)
        | E::AddressOutOfRange(_)
        | E::InvalidSetting { .. }
        | E::InvalidOption { .. }
        | E::NoAddressForPort { .. }
        | E::InvalidNetwork(_) => StatusCode::BAD_REQUEST,
        E::Unsupported { .. } | E::Predefined(_) | E::PredefinedRemoval(_) | E::ActiveEndpoints { .. } => {
            StatusCode::FORBIDDEN
        }
        E::NameTaken(_) | E::ParentTaken { .. } => StatusCode::CONFLICT,
        E::Publish { source, .. } => network_status(source),
        E::UnsupportedDriver(_) => StatusCode::NOT_IMPLEMENTED,
        E::AlreadyConnected { .. }
        | E::AddressInUse(_)
        | E::AddressesExhausted { .. }
        | E::SubnetsExhausted
        | E::SubnetOverlaps(_)
        | E::PortAllocated { .. }
        | E::PortUnavailable { .. }
        | E::KernelFeature { .. }
        | E::File { .. }
        | E::Link { .. }
        | E::Namespace { .. }
        | E::Firewall { .. }
        | E::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_client_is_told_which_version_it_needs() {
        let error = Error::VersionTooOld(ApiVersion::new(1, 10));
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            error.to_string(),
            "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
    }

    #[test]
    fn state_that_is_there_already_is_no_error() {
        let error = engine::Error::NotModified { id: "a".into(), state: "started" };
        assert_eq!(Error::Engine(error).into_response().status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn cause_is_told_once() {
        let error = Error::Socket(io::Error::other("no more"));
        assert_eq!(full_text(&error), "make a socket: no more");
    }
}
