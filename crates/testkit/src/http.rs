//! HTTP over the engine's socket, close enough to the bytes to send what no proper client would.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// The key of the specification's example.
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server makes of [`WEBSOCKET_KEY`].
pub const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Makes requests to one engine, each on its own connection.
#[derive(Clone, Debug)]
pub struct Http {
    socket: PathBuf,
}

/// What the engine answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    reader: BufReader<UnixStream>,
}

impl Http {
    /// For the engine at this socket.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, "application/json", b"")
    }

    /// A POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, "application/json", body.to_string().as_bytes())
    }

    /// A DELETE.
    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, "application/json", b"")
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Response {
        let head = head(method, path, content_type, body.len());
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// Sends these very bytes, and reads one answer.
    pub fn raw(&self, bytes: &[u8]) -> Response {
        let stream = self.send(bytes);
        let (status, headers) = (stream.status, stream.headers.clone());
        Response { status, headers, body: stream.into_body() }
    }

    /// Makes a request and returns as soon as the answer's head is there.
    pub fn stream(&self, method: &str, path: &str, body: &[u8]) -> Stream {
        let head = head(method, path, "application/json", body.len());
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Makes a request that takes the connection over (`Upgrade: tcp`).
    pub fn hijack(&self, path: &str, body: &[u8]) -> Stream {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(&[head.as_bytes(), body].concat())
    }

    /// Opens a websocket (RFC 6455), whose frames the test reads and writes itself.
    pub fn websocket(&self, path: &str) -> Stream {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nOrigin: http://test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {WEBSOCKET_KEY}\r\n\r\n"
        );
        self.send(head.as_bytes())
    }

    /// Whether the engine answers; an error where nobody does. A process that a killed engine has forked may still have its
    /// socket: it takes the connection and never answers.
    pub(crate) fn answers_ping(&self) -> std::io::Result<bool> {
        let mut connection = UnixStream::connect(&self.socket)?;
        connection.set_read_timeout(Some(PING_LIMIT))?;
        connection.write_all(head("GET", "/_ping", "application/json", 0).as_bytes())?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    }

    fn send(&self, bytes: &[u8]) -> Stream {
        let mut connection = UnixStream::connect(&self.socket)
            .unwrap_or_else(|error| panic!("connect to {}: {error}", self.socket.display()));
        connection.set_read_timeout(Some(LIMIT)).expect("set a time limit");
        // A server may answer and close before it has read everything, which is fine: the answer counts.
        let _ = connection.write_all(bytes);
        read_head(BufReader::new(connection))
    }
}

impl Response {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `message` of an error.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", self.text());
        self
    }
}

impl Stream {
    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The connection, for an answer that took it over.
    pub fn connection(&mut self) -> &mut UnixStream {
        self.reader.get_mut()
    }

    /// The bytes after the head, as they come.
    pub fn reader(&mut self) -> &mut BufReader<UnixStream> {
        &mut self.reader
    }

    /// The next JSON document of a stream of documents, one a line, in a chunked body.
    pub fn next_json(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line).expect("read the answer") == 0 {
                return None;
            }
            if let Ok(value @ Value::Object(_)) = serde_json::from_str(line.trim()) {
                return Some(value);
            }
        }
    }

    fn into_body(mut self) -> Vec<u8> {
        if self.header("transfer-encoding") == Some("chunked") {
            return read_chunks(&mut self.reader);
        }
        let mut body = Vec::new();
        match self.header("content-length").map(|length| length.parse().expect("a length")) {
            Some(length) => self.reader.take(length).read_to_end(&mut body).expect("read the answer"),
            None if self.status == 204 || self.status == 304 => 0,
            None => self.reader.read_to_end(&mut body).expect("read the answer"),
        };
        body
    }
}

fn head(method: &str, path: &str, content_type: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn read_head(mut reader: BufReader<UnixStream>) -> Stream {
    let mut line = String::new();
    reader.read_line(&mut line).expect("read the status line");
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not an HTTP answer: {line:?}"));
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("read a header");
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Stream { status, headers, reader },
        }
    }
}

fn read_chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("read a chunk's length");
        let Ok(length @ 1..) = u64::from_str_radix(line.trim(), 16) else { return body };
        reader.take(length + 2).read_to_end(&mut body).expect("read a chunk");
        body.truncate(body.len().saturating_sub(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        let mut wire: &[u8] = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(read_chunks(&mut wire), b"abc0123456789");
    }
}
