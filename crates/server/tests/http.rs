//! What clients see of HTTP, on a real socket and byte by byte, with a handler that knows no containers.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http::StatusCode;
use server::error::Error;
use server::http::{
    Acceptor, Call, Handler, Response, attach_websocket, empty, hijack, json, json_lines, serve,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

struct Probe;

impl Handler for Probe {
    async fn handle(&self, mut call: Call) -> Result<Response, Error> {
        match call.path() {
            "/version-seen" => Ok(json(StatusCode::OK, &call.version().to_string())),
            "/segments" | "/segments/a%2Fb" => Ok(json(StatusCode::OK, &call.segments())),
            "/body" => Ok(json(StatusCode::OK, &call.json_or_default::<serde_json::Value>().await?)),
            "/nothing" => Ok(empty(StatusCode::NO_CONTENT)),
            "/never" => Ok(json_lines(stream::pending::<()>())),
            "/hijack" => hijack(call, "application/vnd.docker.raw-stream", shout),
            "/ws" => attach_websocket(call, shout).await,
            _ => Err(Error::PageNotFound),
        }
    }
}

/// Sends back in capitals what it reads, and says goodbye at the end of what it reads.
async fn shout(socket: OwnedFd) {
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(true).unwrap();
    let mut socket = tokio::net::UnixStream::from_std(socket).unwrap();
    let mut buffer = [0; 1024];
    loop {
        match socket.read(&mut buffer).await.unwrap() {
            0 => break,
            length => socket.write_all(&buffer[..length].to_ascii_uppercase()).await.unwrap(),
        }
    }
    socket.write_all(b"bye").await.unwrap();
}

struct Server {
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
    connections: TaskTracker,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let connections = TaskTracker::new();
        let entered = runtime.enter();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        drop(entered);
        runtime.spawn(serve(Acceptor::Unix(listener), Arc::new(Probe), connections.clone(), stopped));
        Self { folder, _runtime: runtime, stop, connections }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("s")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends a request that is the last of its connection, and reads the whole answer. `rest` is what follows the headers
    /// that all have: more of them, an empty line and a body, or nothing.
    fn ask(&self, method: &str, path: &str, rest: &str) -> String {
        let mut stream = self.connect();
        let end = if rest.is_empty() { "\r\n" } else { "" };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}{end}");
        // In one piece, and not a byte too many: a server may close once it has the whole request.
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Reads up to and with the empty line after the headers.
fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn version_in_the_path_is_the_clients() {
    let server = Server::start();
    assert_eq!(body(&server.ask("GET", "/v1.24/version-seen", "")), "\"1.24\"\n");
    assert_eq!(body(&server.ask("GET", "/version-seen", "")), "\"1.50\"\n");
}

#[test]
fn version_that_is_not_served_is_refused_in_dockers_words() {
    let server = Server::start();
    let old = server.ask("GET", "/v1.10/version-seen", "");
    assert!(old.starts_with("HTTP/1.1 400 "), "{old}");
    assert_eq!(
        body(&old),
        "{\"message\":\"client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\"}\n"
    );
    let new = server.ask("GET", "/v1.99/version-seen", "");
    assert!(
        body(&new).contains("client version 1.99 is too new. Maximum supported API version is 1.50"),
        "{new}"
    );
}

#[test]
fn every_answer_has_the_common_headers() {
    let server = Server::start();
    for path in ["/nothing", "/not-there", "/v1.10/nothing"] {
        let answer = server.ask("GET", path, "");
        for header in ["Api-Version: 1.50", "Docker-Experimental: false", "Ostype: linux", "Server: Corten/"]
        {
            assert!(answer.contains(header), "{header} in {answer}");
        }
    }
    assert_eq!(body(&server.ask("GET", "/not-there", "")), "{\"message\":\"page not found\"}\n");
}

#[test]
fn escaped_slash_stays_in_its_segment() {
    let server = Server::start();
    assert_eq!(body(&server.ask("GET", "/segments/a%2Fb", "")), "[\"segments\",\"a/b\"]\n");
}

#[test]
fn head_is_answered_without_body() {
    let server = Server::start();
    let answer = server.ask("HEAD", "/version-seen", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(body(&answer), "");
}

#[test]
fn json_body_is_checked() {
    let server = Server::start();
    let post = |kind: &str, text: &str| {
        server.ask(
            "POST",
            "/body",
            &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
        )
    };
    assert!(body(&post("application/json; charset=utf-8", "{\"a\":1}")).starts_with("{\"a\":1}"));
    assert!(
        post("text/plain", "{}")
            .contains("unsupported Content-Type header (text/plain): must be 'application/json'")
    );
    assert!(post("application/json", "{} {}").contains("unexpected content after JSON"));
    assert!(post("application/json", "{").contains("got EOF while reading request body"));
    assert!(body(&server.ask("POST", "/body", "")).starts_with("null"));
}

#[test]
fn body_in_chunks_is_read_whole() {
    let server = Server::start();
    let rest = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    assert!(body(&server.ask("POST", "/body", rest)).starts_with("[1,2]"));
}

#[test]
fn head_of_a_stream_comes_before_its_body() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Content-Type: application/json"), "{head}");
}

#[test]
fn upgraded_connection_is_the_clients_own_with_half_close() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .write_all(b"POST /v1.44/hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    assert!(
        head.contains("Upgrade: tcp") && head.contains("Content-Type: application/vnd.docker.raw-stream"),
        "{head}"
    );
    stream.write_all(b"hello ").unwrap();
    stream.write_all(b"there ").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "HELLO THERE bye");
}

#[test]
fn upgraded_connection_outlives_the_server() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .write_all(b"POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        .unwrap();
    read_head(&mut stream);
    server.stop.send_replace(true);
    server.connections.close();
    let ended = async { tokio::time::timeout(Duration::from_secs(5), server.connections.wait()).await };
    server._runtime.block_on(ended).expect("no connection is left that the server waits for");
    stream.write_all(b"still ").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "STILL bye");
}

#[test]
fn input_sent_with_the_request_is_not_lost() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .write_all(b"POST /hijack HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ")
        .unwrap();
    read_head(&mut stream);
    stream.write_all(b"late ").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "EARLY LATE bye");
}

#[test]
fn client_without_upgrade_header_gets_a_stream_that_ends_with_the_connection() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"POST /hijack HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    let head = read_head(&mut stream);
    assert!(head.contains(" 200 OK") && !head.to_lowercase().contains("transfer-encoding"), "{head}");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "ABCbye");
}

#[test]
fn websocket_carries_the_same_stream() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    // A masked text frame of two bytes (RFC 6455, section 5.2); a mask of zeros changes nothing.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame, [0x82, 2, b'H', b'I']);
}

#[test]
fn connection_is_kept_for_the_next_request() {
    let server = Server::start();
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(read_head(&mut stream).starts_with("HTTP/1.1 204 No Content"));
    }
}
