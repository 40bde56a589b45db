//! Connections, requests and the API version.

use std::sync::Mutex;

use api::{ApiVersion, ErrorResponse};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::{Error, Host};

pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// The most that is read from a connection at once.
const READ_BUFFER: usize = 1 << 20;

/// A client of one engine. Must be used inside a tokio runtime.
pub struct Client {
    host: Host,
    headers: Vec<(HeaderName, HeaderValue)>,
    version: Mutex<Negotiated>,
    idle: Mutex<Vec<SendRequest<Body>>>,
}

#[derive(Clone, Copy)]
struct Negotiated {
    version: ApiVersion,
    /// Whether the engine has answered with this version.
    confirmed: bool,
}

/// A request before it is bound to a connection, so that it can be sent again.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path below the version, with the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str, query: &str) -> Self {
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Self { method, path, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn get(path: &str, query: &str) -> Self {
        Self::new(Method::GET, path, query)
    }

    pub(crate) fn post(path: &str, query: &str) -> Self {
        Self::new(Method::POST, path, query)
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).expect("API models are always JSON").into();
        self.headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn transport_error(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Transport { method: self.method.to_string(), path: self.path.clone(), source: source.into() }
    }
}

impl Client {
    /// A client of the engine at `host`; nothing is connected yet.
    pub fn new(host: Host) -> Self {
        let version = Negotiated { version: ApiVersion::NEWEST, confirmed: false };
        Self { host, headers: Vec::new(), version: Mutex::new(version), idle: Mutex::default() }
    }

    /// Adds a header to every request. Names and values that HTTP does not allow are left out.
    pub fn add_header(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
            self.headers.push((name, value));
        }
    }

    /// Speaks this API version instead of negotiating one.
    pub fn set_version(&mut self, version: ApiVersion) {
        *self.version.get_mut().expect("not poisoned") = Negotiated { version, confirmed: true };
    }

    /// Where the engine is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The API version in use. It is final once a request was answered.
    pub fn version(&self) -> ApiVersion {
        self.negotiated().version
    }

    fn negotiated(&self) -> Negotiated {
        *self.version.lock().expect("not poisoned")
    }

    /// Sends a request and returns the answer if its status is below 400. An engine that refuses the version is
    /// asked again with the newest one that it names.
    pub(crate) async fn send(&self, call: &Call) -> Result<Reply<'_>, Error> {
        let sent = self.version();
        let reply = self.exchange(call, Full::new(call.body.clone())).await?;
        if reply.response.status() != StatusCode::BAD_REQUEST {
            return self.accept(call, reply).await;
        }
        let message = error_message(call, reply).await?;
        // Requests that are under way at the same time may all be refused.
        match supported_version(&message).filter(|version| *version != sent) {
            Some(version) => self.confirm(version),
            None => return Err(Error::Daemon { status: 400, message }),
        }
        let reply = self.exchange(call, Full::new(call.body.clone())).await?;
        self.accept(call, reply).await
    }

    /// Sends a request whose body is a stream, which can be sent only once.
    pub(crate) async fn send_stream<S>(&self, call: &Call, body: S) -> Result<Reply<'_>, Error>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        if !self.negotiated().confirmed {
            self.ping().await?;
        }
        let reply = self.exchange(call, StreamBody::new(body.map_ok(Frame::data))).await?;
        self.accept(call, reply).await
    }

    fn confirm(&self, version: ApiVersion) {
        *self.version.lock().expect("not poisoned") = Negotiated { version, confirmed: true };
    }

    async fn accept<'a>(&'a self, call: &Call, reply: Reply<'a>) -> Result<Reply<'a>, Error> {
        self.confirm(self.version());
        let status = reply.response.status().as_u16();
        if status < 400 {
            return Ok(reply);
        }
        let message = error_message(call, reply).await?;
        Err(Error::Daemon { status, message })
    }

    async fn exchange<B>(&self, call: &Call, body: B) -> Result<Reply<'_>, Error>
    where
        B: http_body_util::BodyExt<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = self.request(call, body.map_err(std::io::Error::other).boxed())?;
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await.map_err(|error| call.transport_error(error))?;
        Ok(Reply { client: self, connection, response })
    }

    fn request(&self, call: &Call, body: Body) -> Result<Request<Body>, Error> {
        let host = match &self.host {
            Host::Unix(_) => "docker",
            Host::Tcp(authority) => authority,
        };
        let mut builder = Request::builder()
            .method(&call.method)
            .uri(format!("/v{}{}", self.version(), call.path))
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("Corten-Client/", env!("CARGO_PKG_VERSION"), " (linux)"));
        for (name, value) in self.headers.iter().chain(&call.headers) {
            builder = builder.header(name, value);
        }
        builder
            .body(body)
            .map_err(|error| Error::Answer { path: call.path.clone(), reason: error.to_string() })
    }

    /// A connection that is ready for a request: an idle one, or a new one.
    async fn connection(&self) -> Result<SendRequest<Body>, Error> {
        loop {
            let idle = self.idle.lock().expect("not poisoned").pop();
            match idle {
                None => return self.connect().await,
                Some(mut connection) => {
                    if connection.ready().await.is_ok() {
                        return Ok(connection);
                    }
                }
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Error> {
        match &self.host {
            Host::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.connect_error(error))?;
                self.handshake(TokioIo::new(stream)).await
            }
            Host::Tcp(authority) => {
                let stream =
                    TcpStream::connect(authority).await.map_err(|error| self.connect_error(error))?;
                // Keystrokes of a terminal must not wait for each other.
                let _ = stream.set_nodelay(true);
                self.handshake(TokioIo::new(stream)).await
            }
        }
    }

    /// Uses a connection that the caller has made already.
    ///
    /// # Errors
    /// If the socket cannot be used with this runtime.
    pub async fn adopt(&self, stream: std::os::unix::net::UnixStream) -> Result<(), Error> {
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(stream))
            .map_err(|error| self.connect_error(error))?;
        let connection = self.handshake(TokioIo::new(stream)).await?;
        self.idle.lock().expect("not poisoned").push(connection);
        Ok(())
    }

    fn connect_error(&self, source: std::io::Error) -> Error {
        match source.kind() {
            std::io::ErrorKind::PermissionDenied => Error::Permission { host: self.host.clone(), source },
            _ => Error::Connect { host: self.host.clone(), source },
        }
    }

    async fn handshake<T>(&self, io: T) -> Result<SendRequest<Body>, Error>
    where
        T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    {
        let (sender, connection) =
            Builder::new().max_buf_size(READ_BUFFER).handshake(io).await.map_err(|error| Error::Connect {
                host: self.host.clone(),
                source: std::io::Error::other(error),
            })?;
        // The task ends when the sender and the last body are dropped; its error reaches whoever waits for these.
        tokio::spawn(async move { connection.with_upgrades().await.ok() });
        Ok(sender)
    }

    /// The body of the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let body = self.bytes(call.clone()).await?;
        api::json::from_slice(&body)
            .map_err(|error| Error::Answer { path: call.path, reason: error.to_string() })
    }

    /// The whole body of the answer.
    pub(crate) async fn bytes(&self, call: Call) -> Result<Bytes, Error> {
        self.send(&call).await?.collect(&call).await
    }

    /// Sends a request whose answer has nothing to say.
    pub(crate) async fn empty(&self, call: Call) -> Result<(), Error> {
        self.bytes(call).await.map(drop)
    }
}

/// An answer, and the connection it comes from.
pub(crate) struct Reply<'a> {
    client: &'a Client,
    connection: SendRequest<Body>,
    pub(crate) response: Response<Incoming>,
}

impl Reply<'_> {
    /// Reads the whole body, after which the connection serves further requests.
    pub(crate) async fn collect(self, call: &Call) -> Result<Bytes, Error> {
        let body = self.response.into_body().collect().await.map_err(|error| call.transport_error(error))?;
        self.client.idle.lock().expect("not poisoned").push(self.connection);
        Ok(body.to_bytes())
    }

    /// The answer alone: its body may take long, so the connection ends with it.
    pub(crate) fn into_response(self) -> Response<Incoming> {
        self.response
    }
}

async fn error_message(call: &Call, reply: Reply<'_>) -> Result<String, Error> {
    let status = reply.response.status();
    let body = reply.collect(call).await?;
    Ok(match serde_json::from_slice::<ErrorResponse>(&body) {
        Ok(error) if !error.message.is_empty() => error.message.trim_end().to_owned(),
        _ if body.is_empty() => format!("request returned {status} for API route and version {}", call.path),
        _ => String::from_utf8_lossy(&body).trim_end().to_owned(),
    })
}

/// The rest of an answer whose connection was given up.
pub(crate) async fn collect(call: &Call, response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = response.into_body().collect().await.map_err(|error| call.transport_error(error))?;
    Ok(body.to_bytes())
}

/// The newest version an engine says it speaks, from its refusal of a newer one.
fn supported_version(message: &str) -> Option<ApiVersion> {
    let rest = message.split_once("Maximum supported API version is ")?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// A name or ID as one segment of a path: what would end the segment is escaped.
pub fn segment(text: &str) -> String {
    encode(text, |byte| matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

/// An image's name as part of a path: its slashes, colons and at signs stay.
pub(crate) fn image_path(text: &str) -> String {
    encode(text, |byte| matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/' | b':' | b'@'))
}

fn encode(text: &str, keep: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || keep(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_found_in_a_refusal() {
        let text = "client version 1.50 is too new. Maximum supported API version is 1.41";
        assert_eq!(supported_version(text), Some(ApiVersion::new(1, 41)));
        assert_eq!(supported_version("something else"), None);
    }

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(segment("../a b?c"), "..%2Fa%20b%3Fc");
        assert_eq!(image_path("host:5000/a@sha256:b"), "host:5000/a@sha256:b");
    }
}
