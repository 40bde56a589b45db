//! Answers that arrive piece by piece.

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::connection::Call;

/// The body of an answer, as it arrives.
pub struct ByteStream {
    call: Call,
    multiplexed: Option<bool>,
    body: Incoming,
}

impl ByteStream {
    pub(crate) fn new(call: Call, response: Response<Incoming>) -> Self {
        let multiplexed = response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(content_is_multiplexed);
        Self { call, multiplexed, body: response.into_body() }
    }

    /// Whether the body consists of frames, if the engine says so (it does since API 1.42).
    pub fn multiplexed(&self) -> Option<bool> {
        self.multiplexed
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.call.transport_error(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

fn content_is_multiplexed(content_type: &str) -> Option<bool> {
    match content_type {
        api::stream::MULTIPLEXED_STREAM => Some(true),
        api::stream::RAW_STREAM => Some(false),
        _ => None,
    }
}

/// JSON objects, one after the other.
pub struct Lines {
    stream: ByteStream,
    buffer: BytesMut,
}

impl Lines {
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next object as it was sent; `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn next_raw(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = take_line(&mut self.buffer) {
                return Ok(Some(line));
            }
            match self.stream.next().await? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None => {
                    let rest = self.buffer.split().freeze();
                    return Ok(Some(rest).filter(|rest| !rest.trim_ascii().is_empty()));
                }
            }
        }
    }

    /// The next object; `None` at the end.
    ///
    /// # Errors
    /// If the connection breaks, or what arrives is not such an object.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some(line) = self.next_raw().await? else { return Ok(None) };
        let path = &self.stream.call.path;
        api::json::from_slice(&line)
            .map(Some)
            .map_err(|error| Error::Answer { path: path.clone(), reason: error.to_string() })
    }
}

/// Takes the first line that holds more than blanks.
fn take_line(buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        let end = buffer.iter().position(|byte| *byte == b'\n')?;
        let line = buffer.split_to(end + 1).freeze();
        if !line.trim_ascii().is_empty() {
            return Some(line.slice(..end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_skipped() {
        let mut buffer = BytesMut::from("\r\n{\"a\":1}\r\n{\"b\"");
        assert_eq!(take_line(&mut buffer).as_deref(), Some(&b"{\"a\":1}\r"[..]));
        assert_eq!(take_line(&mut buffer), None);
        assert_eq!(&buffer[..], b"{\"b\"");
    }
}
