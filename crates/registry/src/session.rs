//! A conversation with one registry about one repository.

use std::error::Error as StdError;
use std::io;
use std::sync::{Mutex, PoisonError};

use oci::Reference;
use reqwest::header::{ACCEPT, AUTHORIZATION, RANGE, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use crate::Config;
use crate::auth::{Challenge, Credentials, answer};
use crate::error::{ApiError, Error};
use crate::network::{Security, endpoints};
use crate::tls;

/// Bytes that an error's text may have.
const MAX_ERROR: u64 = 1 << 20;

/// How a repository is reached.
pub(crate) struct Session<'a> {
    config: &'a Config,
    client: Client,
    base: Url,
    repository: Reference,
    credentials: Option<Credentials>,
    authorization: Mutex<Option<String>>,
}

/// What is asked for.
pub(crate) struct Request<'a> {
    /// Below the repository: `manifests/latest`, `blobs/sha256:…`.
    pub(crate) path: &'a str,
    /// Media types that are understood.
    pub(crate) accept: &'a [&'a str],
    /// The first byte that is wanted.
    pub(crate) from: u64,
}

impl<'a> Session<'a> {
    /// Finds out where the registry answers and what it wants.
    pub(crate) async fn connect(
        config: &'a Config,
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Self, Error> {
        let endpoints = endpoints(config, reference.domain())?;
        let security = if endpoints.len() > 1 { Security::Insecure } else { Security::Verified };
        let client = tls::client(config, reference.domain(), security)?;
        let mut last = None;
        for base in endpoints {
            match ping(&client, &base).await {
                Ok(challenges) => {
                    let repository = reference.repository();
                    let authorization = Mutex::new(None);
                    let session = Self { config, client, base, repository, credentials, authorization };
                    if !challenges.is_empty() {
                        session.authorize(&challenges).await?;
                    }
                    return Ok(session);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Host(reference.domain().into())))
    }

    /// Sends a request, with what the registry wants of authentication, once more with a new token where the old one is
    /// refused.
    pub(crate) async fn get(&self, request: &Request<'_>) -> Result<Response, Error> {
        let response = self.send(request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.check(response).await;
        }
        let challenges = challenges(&response);
        let is_denied = challenges.iter().any(
            |challenge| matches!(challenge, Challenge::Bearer { error: Some(error), .. } if error == "insufficient_scope"),
        );
        if challenges.is_empty() || is_denied {
            return self.check(response).await;
        }
        self.authorize(&challenges).await?;
        let response = self.send(request).await?;
        self.check(response).await
    }

    fn scope(&self) -> String {
        format!("repository:{}:pull", self.repository.path())
    }

    async fn authorize(&self, challenges: &[Challenge]) -> Result<(), Error> {
        let scope = self.scope();
        let header = answer(self.config, &self.client, challenges, self.credentials.as_ref(), &scope).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        Ok(())
    }

    async fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let path = format!("{}/{}", self.repository.path(), request.path);
        let url = self.base.join(&path).map_err(|_| Error::Host(self.repository.domain().into()))?;
        let mut builder = self.client.get(url.clone());
        for media_type in request.accept {
            builder = builder.header(ACCEPT, *media_type);
        }
        if request.from > 0 {
            builder = builder.header(RANGE, format!("bytes={}-", request.from));
        }
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(header) = authorization {
            builder = builder.header(AUTHORIZATION, header);
        }
        builder.send().await.map_err(|error| network_error("Get", url.as_str(), &error))
    }

    async fn check(&self, response: Response) -> Result<Response, Error> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let challenges = challenges(&response);
        let body = limited_body(response, "error message", MAX_ERROR).await.unwrap_or_default();
        Err(api_error(status, &challenges, &body))
    }
}

/// Whether the registry is there; what it wants if it wants something.
async fn ping(client: &Client, base: &Url) -> Result<Vec<Challenge>, Error> {
    let response =
        client.get(base.clone()).send().await.map_err(|error| network_error("Get", base.as_str(), &error))?;
    if response.status() == StatusCode::UNAUTHORIZED {
        return Ok(challenges(&response));
    }
    // What the registry thinks of this path does not matter as long as it answers; requests tell the rest.
    Ok(Vec::new())
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE);
    headers.iter().filter_map(|header| header.to_str().ok()).flat_map(Challenge::parse).collect()
}

/// What a registry said by refusing.
pub(crate) fn api_error(status: StatusCode, challenges: &[Challenge], body: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<ApiError>,
    }
    let is_denied = challenges.iter().any(
        |challenge| matches!(challenge, Challenge::Bearer { error: Some(error), .. } if error == "insufficient_scope"),
    );
    let said =
        serde_json::from_slice::<Errors>(body).ok().and_then(|errors| errors.errors.into_iter().next());
    match (status, said) {
        _ if is_denied => Error::Api(ApiError::denied()),
        (_, Some(said)) if !said.code.is_empty() => Error::Api(said),
        (StatusCode::UNAUTHORIZED, _) => Error::Api(ApiError::unauthorized()),
        (StatusCode::FORBIDDEN, _) => Error::Api(ApiError::denied()),
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            Error::Api(ApiError::new("TOOMANYREQUESTS", "too many requests"))
        }
        (StatusCode::NOT_FOUND, _) => Error::Api(ApiError::new("NOT_FOUND", "not found")),
        _ => Error::Status(status.to_string()),
    }
}

/// The whole body, which must be small.
pub(crate) async fn limited_body(
    mut response: Response,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let url = response.url().to_string();
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(Error::TooBig { what, limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| network_error("Get", &url, &error))? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(Error::TooBig { what, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why there was no answer, in the words of Go's `net/http`, which people search for. Queries may carry secrets and are
/// left out.
pub(crate) fn network_error(method: &'static str, url: &str, error: &reqwest::Error) -> Error {
    let url = url.split('?').next().unwrap_or_default().to_owned();
    let reason = reason(&url, error);
    Error::Network { method, url, reason }
}

fn reason(url: &str, error: &reqwest::Error) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let port = parsed.as_ref().and_then(Url::port_or_known_default).unwrap_or_default();
    let mut causes = Vec::new();
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(current) = cause {
        causes.push(current);
        cause = current.source();
    }
    let kinds = causes.iter().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    for kind in kinds {
        let what = match kind {
            io::ErrorKind::ConnectionRefused => "connect: connection refused",
            io::ErrorKind::HostUnreachable => "connect: no route to host",
            io::ErrorKind::NetworkUnreachable => "connect: network is unreachable",
            io::ErrorKind::ConnectionReset => "read: connection reset by peer",
            _ => continue,
        };
        return format!("dial tcp {host}:{port}: {what}");
    }
    let texts: Vec<String> = causes.iter().map(|cause| cause.to_string()).collect();
    if texts.iter().any(|text| text.contains("dns error") || text.contains("failed to lookup")) {
        return format!("dial tcp: lookup {host}: no such host");
    }
    if error.is_timeout() && error.is_connect() {
        return format!("dial tcp {host}:{port}: i/o timeout");
    }
    if error.is_timeout() {
        return "net/http: timeout awaiting response: the registry sent nothing for too long".into();
    }
    if texts.iter().any(|text| text.contains("UnknownIssuer")) {
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority".into();
    }
    let refusal = if url.starts_with("https:") { refused_client(&texts) } else { None };
    refusal.unwrap_or_else(|| texts.last().cloned().unwrap_or_else(|| error.to_string()))
}

/// What a registry has against our certificate, or against our having none. It says so after its own half of the
/// handshake, so that the connection can be lost before its reason is read.
fn refused_client(texts: &[String]) -> Option<String> {
    /// The words of the HTTP library for a connection that went before a reply came.
    const LOST: [&str; 3] =
        ["connection was not ready", "connection closed", "stream closed because of a broken pipe"];
    let alert = texts.iter().find_map(|text| text.split_once("received fatal alert: "));
    let reason = match alert {
        Some((_, "CertificateRequired")) => "certificate required",
        Some((_, "BadCertificate")) => "bad certificate",
        Some((_, "UnknownCA")) => "unknown certificate authority",
        Some((_, other)) => other,
        None if texts.iter().any(|text| LOST.contains(&text.as_str())) => {
            "connection closed without an answer; the registry may want another certificate of its client"
        }
        None => return None,
    };
    Some(format!("remote error: tls: {reason}"))
}
