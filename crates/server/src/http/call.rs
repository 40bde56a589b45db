//! A request, taken apart.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll};

use api::ApiVersion;
use api::query::Query;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, header};
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::error::Error;

/// The most that a JSON body may have; what is streamed has no limit.
const MAX_JSON: usize = 32 * 1024 * 1024;

/// A request.
pub struct Call {
    pub(super) parts: Parts,
    pub(super) body: Incoming,
    version: ApiVersion,
    path_start: usize,
}

impl Call {
    /// A request whose path, without the version, begins at `path_start`.
    pub(super) fn new(parts: Parts, body: Incoming, version: ApiVersion, path_start: usize) -> Self {
        Self { parts, body, version, path_start }
    }

    /// The API version that the client speaks.
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The path without the version.
    pub fn path(&self) -> &str {
        &self.parts.uri.path()[self.path_start..]
    }

    /// The decoded parts of the path: `/containers/a%2Fb/json` is `containers`, `a/b`, `json`.
    pub fn segments(&self) -> Vec<Cow<'_, str>> {
        let path = self.path();
        path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect()
    }

    /// The parameters.
    pub fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query().unwrap_or_default())
    }

    /// Reads a JSON body; no body is the default value.
    ///
    /// # Errors
    /// Where the body is not JSON, is not said to be, or has the wrong shape.
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, Error> {
        let bytes = self.json_bytes().await?;
        match bytes.is_empty() {
            true => Ok(T::default()),
            false => Ok(api::json::from_slice(&bytes)?),
        }
    }

    /// Reads the bytes of a JSON body.
    ///
    /// # Errors
    /// Where the body is not said to be JSON, is too big, or the client leaves.
    pub async fn json_bytes(&mut self) -> Result<Bytes, Error> {
        if self.body.is_end_stream() {
            return Ok(Bytes::new());
        }
        self.check_json()?;
        let mut whole = BytesMut::new();
        while let Some(part) = self.next_part().await? {
            if whole.is_empty() && self.body.is_end_stream() {
                return Ok(part);
            }
            if whole.len() + part.len() > MAX_JSON {
                return Err(Error::BadRequest("the request body is too large".to_owned()));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }

    /// The body as it comes.
    pub fn into_body(self) -> Upload {
        Upload(self.body)
    }

    async fn next_part(&mut self) -> Result<Option<Bytes>, Error> {
        let upload = &mut self.body;
        std::future::poll_fn(|context| poll_bytes(Pin::new(upload), context))
            .await
            .transpose()
            .map_err(|source| Error::BadRequest(format!("read the request body: {source}")))
    }

    fn check_json(&self) -> Result<(), Error> {
        let declared = self.parts.headers.get(header::CONTENT_TYPE);
        let declared = declared.map(|value| value.to_str().unwrap_or("?")).unwrap_or_default();
        let media_type = declared.split(';').next().unwrap_or_default().trim();
        match media_type.eq_ignore_ascii_case("application/json") {
            true => Ok(()),
            false => Err(Error::BadRequest(format!(
                "unsupported Content-Type header ({declared}): must be 'application/json'"
            ))),
        }
    }
}

/// A body as blocking code reads it.
pub type Reader = SyncIoBridge<StreamReader<Upload, Bytes>>;

/// A body that is read while it comes.
pub struct Upload(Incoming);

impl futures_util::Stream for Upload {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll_bytes(Pin::new(&mut self.0), context).map_err(std::io::Error::other)
    }
}

impl Upload {
    /// For code that blocks.
    pub fn into_reader(self) -> Reader {
        SyncIoBridge::new(StreamReader::new(self))
    }
}

/// Does something with a body. Where that fails, the rest is read all the same: a client that is still sending would not see the
/// answer. If it leaves, nobody wants one. Blocks.
pub fn read_with<T, E>(reader: &mut Reader, work: impl FnOnce(&mut Reader) -> Result<T, E>) -> Result<T, E> {
    let result = work(reader);
    if result.is_err() {
        let _ = std::io::copy(reader, &mut std::io::sink());
    }
    result
}

fn poll_bytes(
    mut body: Pin<&mut Incoming>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match std::task::ready!(body.as_mut().poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }
}

/// Decodes `%xx`; what is not UTF-8 or not hexadecimal stays as it is.
fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_bytes_are_decoded_once() {
        assert_eq!(decode("a%2Fb"), "a/b");
        assert_eq!(decode("%25%32%46"), "%2F");
        assert_eq!(decode("sha256%3aab"), "sha256:ab");
    }

    #[test]
    fn broken_escapes_stay() {
        for text in ["%", "%2", "%zz", "a%", "%ff"] {
            assert_eq!(decode(text), text);
        }
    }
}
