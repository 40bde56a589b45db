//! A web server that answers as a test says, on the loopback address.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// For how long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that the head of a request may have.
const MAX_HEAD: usize = 64 << 10;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// The lines of the head after the first.
    pub headers: Vec<String>,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// What it gets.
#[derive(Clone, Debug)]
pub struct Answer {
    status: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    announced: Option<usize>,
}

impl Answer {
    /// A body with the status `200 OK`.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new("200 OK", body)
    }

    /// A body with this status.
    pub fn new(status: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), announced: None }
    }

    /// The way to another place.
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::new("302 Found", "").with_header("Location", location)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same, announced to be longer by so many bytes than what comes.
    #[must_use]
    pub fn cut_off_by(self, bytes: usize) -> Self {
        let announced = Some(self.body.len() + bytes);
        Self { announced, ..self }
    }

    fn write_to(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.announced.unwrap_or(self.body.len()));
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)
    }
}

/// The server; stopped when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one, without TLS, on a free port.
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
        let address = listener.local_addr().expect("the bound address");
        let (asked, is_done) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (log, end) = (Arc::clone(&asked), Arc::clone(&is_done));
        let thread = std::thread::spawn(move || serve(&listener, &answer, &log, &end));
        Self { address, asked, is_done, thread: Some(thread) }
    }

    /// `<host>:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// An address of HTTP.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::SeqCst);
        // Wakes the thread, which is waiting for a client.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|it| it.is_ok()), "the web server panicked");
        }
    }
}

/// One client after the other: none keeps its connection.
fn serve(
    listener: &TcpListener,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    log: &Mutex<Vec<Asked>>,
    end: &AtomicBool,
) {
    for stream in listener.incoming() {
        if end.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Some(asked) = read(&stream) else { continue };
        let answer = answer(&asked);
        log.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        // A client may leave when it has seen enough.
        if answer.write_to(&stream).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// The head of a request; `None` for what is none, such as the beginning of TLS.
fn read(mut stream: &TcpStream) -> Option<Asked> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&buffer[..count]);
        if !head[0].is_ascii_uppercase() || head.len() > MAX_HEAD {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    Some(Asked { target, headers: lines.filter(|line| !line.is_empty()).map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(server: &Server, request: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).expect("connect");
        stream.write_all(request.as_bytes()).expect("ask");
        let mut text = String::new();
        // A connection that is closed on what was not read ends so.
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn answers_are_those_of_the_test() {
        let server = Server::start(|asked| Answer::ok(asked.target.clone()).cut_off_by(1));
        let text = get(&server, "GET /a?b=c HTTP/1.1\r\nX-One: 1\r\n\r\n");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n/a?b=c"), "{text}");
        assert!(text.contains("Content-Length: 7\r\n"), "{text}");
        assert_eq!(get(&server, "\u{16}\u{3}\u{1}"), "");
        let asked = server.asked();
        assert_eq!((asked.len(), asked[0].header("x-one")), (1, Some("1")));
    }
}
