//! Answers.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::Body;

/// An answer.
pub type Response = http::Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer of JSON.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let mut response = Response::new(Body::from(Bytes::from(api::json::to_line(value))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A body of JSON values, each sent as a line when it is there.
pub fn json_lines<T: Serialize>(values: impl Stream<Item = T> + Send + 'static) -> Response {
    stream("application/json", values.map(|value| Ok(Bytes::from(api::json::to_line(&value)))))
}

/// A body that is sent as it comes. The headers are sent at once.
pub fn stream(
    content_type: &'static str,
    parts: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::parts(parts));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
