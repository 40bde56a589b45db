//! A conversation with one registry about one repository.

use std::error::Error as StdError;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oci::Reference;
use reqwest::header::{ACCEPT, AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use url::Url;

use crate::Config;
use crate::auth::{Asked, Challenge, Credentials, answer};
use crate::error::{ApiError, Error};
use crate::network::{Host, Security, hosts, security_of};
use crate::tls::{self, Purpose};

/// Bytes that an error's text may have.
const MAX_ERROR: u64 = 1 << 20;

/// How a repository is reached.
pub(crate) struct Session<'a> {
    config: &'a Config,
    client: Client,
    uploads: Option<Client>,
    base: Url,
    namespace: Option<String>,
    repository: Reference,
    credentials: Option<Credentials>,
    scopes: Vec<String>,
    authorization: Mutex<Option<String>>,
}

/// What is to be done with a repository.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access<'s> {
    /// Read it.
    Pull,
    /// Write it, with blobs that are in these other repositories of the registry.
    Push(&'s [String]),
}

impl Access<'_> {
    /// What a token is asked for (distribution, "Token Scope").
    fn scopes(self, repository: &str) -> Vec<String> {
        match self {
            Self::Pull => vec![format!("repository:{repository}:pull")],
            Self::Push(sources) => {
                let sources = sources.iter().map(|source| format!("repository:{source}:pull"));
                std::iter::once(format!("repository:{repository}:pull,push")).chain(sources).collect()
            }
        }
    }
}

/// What makes a request whole: headers, a body. Called again when it has to be sent again.
pub(crate) type Complete<'c> = &'c (dyn Fn(RequestBuilder) -> Result<RequestBuilder, Error> + Sync);

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
    /// Connects to where a repository can be written, also with blobs of these other ones. Credentials are for the registry
    /// itself only.
    pub(crate) async fn for_push(
        config: &'a Config,
        reference: &Reference,
        sources: &[String],
        credentials: Option<Credentials>,
    ) -> Result<Self, Error> {
        let hosts = hosts(config, reference.domain())?;
        let host = hosts.iter().find(|host| host.capabilities.push);
        let host = host.ok_or_else(|| Error::Host(reference.domain().to_owned()))?;
        let credentials = credentials.filter(|_| host.is_own);
        Self::connect(config, host, reference, credentials, Access::Push(sources)).await
    }

    /// Finds out where the host answers and what it wants.
    pub(crate) async fn connect(
        config: &'a Config,
        host: &Host,
        reference: &Reference,
        credentials: Option<Credentials>,
        access: Access<'_>,
    ) -> Result<Self, Error> {
        // They are for the registry, not for its mirrors.
        let credentials = credentials.filter(|_| host.is_own);
        let client = |purpose| tls::client(config, host, purpose);
        let uploads = matches!(access, Access::Push(_)).then(|| client(Purpose::Uploads)).transpose()?;
        let (client, scopes) = (client(Purpose::Requests)?, access.scopes(reference.path()));
        let mut last = None;
        for base in host.bases.iter().cloned() {
            match ping(&client, &base).await {
                Ok(challenges) => {
                    let repository = reference.repository();
                    let authorization = Mutex::new(None);
                    let session = Self {
                        config,
                        client,
                        uploads,
                        base,
                        namespace: host.namespace.clone(),
                        repository,
                        credentials,
                        scopes,
                        authorization,
                    };
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

    /// Gets something of the repository.
    pub(crate) async fn get(&self, request: &Request<'_>) -> Result<Response, Error> {
        let complete = |mut builder: RequestBuilder| {
            for media_type in request.accept {
                builder = builder.header(ACCEPT, *media_type);
            }
            if request.from > 0 {
                builder = builder.header(RANGE, format!("bytes={}-", request.from));
            }
            Ok(builder)
        };
        let response = self.exchange(&self.client, Method::GET, &self.url(request.path)?, &complete).await?;
        self.check(response).await
    }

    /// Sends a request without a body worth mentioning. An answer that is no success is an error.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &Url,
        complete: Complete<'_>,
    ) -> Result<Response, Error> {
        let response = self.exchange(&self.client, method, url, complete).await?;
        self.check(response).await
    }

    /// Sends a request with a body that may take long. An answer that is no success is an error.
    pub(crate) async fn upload(
        &self,
        method: Method,
        url: &Url,
        complete: Complete<'_>,
    ) -> Result<Response, Error> {
        let client = self.uploads.as_ref().unwrap_or(&self.client);
        let response = self.exchange(client, method, url, complete).await?;
        let check = tokio::time::timeout(self.config.idle_timeout, self.check(response));
        check.await.unwrap_or(Err(Error::Cancelled))
    }

    pub(crate) fn config(&self) -> &Config {
        self.config
    }

    /// The repository alone.
    pub(crate) fn repository(&self) -> &Reference {
        &self.repository
    }

    /// Where something of the repository is: `manifests/latest`, `blobs/sha256:…`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        let path = format!("{}/{path}", self.repository.path());
        let mut url = self.base.join(&path).map_err(|_| Error::Host(self.repository.domain().into()))?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// Where an upload goes on, by the registry's word. It may be another host, which gets no credentials, but not one
    /// without encryption where the registry itself has it.
    pub(crate) fn location(&self, response: &Response) -> Result<Url, Error> {
        let header = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let refused = |reason| Error::Location { location: header.unwrap_or_default().into(), reason };
        let url = response.url().join(header.ok_or_else(|| refused("the registry names none"))?);
        let url = url.map_err(|_| refused("it is no URL"))?;
        let is_insecure = || self.is_own(&url) || security_of(self.config, &url) == Security::Insecure;
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.base.scheme() == "http" && is_insecure() => Ok(url),
            _ => Err(refused("it is not encrypted")),
        }
    }

    /// Whether the registry is spoken to by TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether a URL is the registry's own, so that it may get credentials.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends a request, with what the registry wants of authentication, once more with a new token where the old one is
    /// refused.
    async fn exchange(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        complete: Complete<'_>,
    ) -> Result<Response, Error> {
        let response = self.send(client, method.clone(), url, complete).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(url) {
            return Ok(response);
        }
        let challenges = challenges(&response);
        if challenges.is_empty() || is_denied(&challenges) {
            return Ok(response);
        }
        self.authorize(&challenges).await?;
        self.send(client, method, url, complete).await
    }

    async fn authorize(&self, challenges: &[Challenge]) -> Result<(), Error> {
        let credentials = self.credentials.as_ref();
        let asked = Asked { scopes: &self.scopes, wants_identity: false };
        let granted = answer(self.config, &self.client, challenges, credentials, &asked).await?;
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted.header);
        Ok(())
    }

    async fn send(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        complete: Complete<'_>,
    ) -> Result<Response, Error> {
        let name = go_name(&method);
        let mut builder = complete(client.request(method, url.clone()))?;
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(header) = authorization.filter(|_| self.is_own(url)) {
            builder = builder.header(AUTHORIZATION, header);
        }
        builder.send().await.map_err(|error| network_error(name, url.as_str(), &error))
    }

    async fn check(&self, response: Response) -> Result<Response, Error> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let challenges = challenges(&response);
        let pause = asked_pause(&response);
        let body = limited_body(response, "error message", MAX_ERROR).await.unwrap_or_default();
        let error = api_error(status, &challenges, &body);
        Err(match pause.filter(|_| error.is_transient()) {
            Some(pause) => Error::Busy { pause, cause: Box::new(error) },
            None => error,
        })
    }
}

/// How long the registry asks to be left alone: `Retry-After`, in seconds (RFC 9110, section 10.2.3).
fn asked_pause(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A method as Go's `net/http` spells it in errors.
fn go_name(method: &Method) -> &'static str {
    match *method {
        Method::HEAD => "Head",
        Method::POST => "Post",
        Method::PATCH => "Patch",
        Method::PUT => "Put",
        Method::DELETE => "Delete",
        _ => "Get",
    }
}

fn is_denied(challenges: &[Challenge]) -> bool {
    challenges.iter().any(
        |challenge| matches!(challenge, Challenge::Bearer { error: Some(error), .. } if error == "insufficient_scope"),
    )
}

/// Whether the registry is there; what it wants if it wants something.
pub(crate) async fn ping(client: &Client, base: &Url) -> Result<Vec<Challenge>, Error> {
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
    let said =
        serde_json::from_slice::<Errors>(body).ok().and_then(|errors| errors.errors.into_iter().next());
    match (status, said) {
        _ if is_denied(challenges) => Error::Api(ApiError::denied()),
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
