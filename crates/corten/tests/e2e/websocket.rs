//! Attaching through a websocket, with frames made by hand.

use std::io::{Read, Write};

use testkit::http::{Stream, WEBSOCKET_ACCEPT};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    websocket_carries_input_and_output,
    websocket_shows_the_log,
    old_clients_get_text_of_all_streams,
    request_without_a_key_is_refused,
    unknown_container_is_not_found,
);

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Sends one short frame, masked as those of clients are.
fn send(stream: &mut Stream, opcode: u8, payload: &[u8]) {
    const MASK: [u8; 4] = [0x11, 0x22, 0x44, 0x88];
    assert!(payload.len() < 126, "only short frames are made here");
    let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8];
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    stream.connection().write_all(&frame).expect("send a frame");
}

/// The next frame; nothing at the end of the connection.
fn receive(stream: &mut Stream) -> Option<(u8, Vec<u8>)> {
    let reader = stream.reader();
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    assert_eq!(head[1] & 0x80, 0, "a server masks nothing");
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).expect("read a length");
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            reader.read_exact(&mut length).expect("read a length");
            u64::from_be_bytes(length)
        }
        short => short.into(),
    };
    let mut payload = Vec::new();
    reader.take(length).read_to_end(&mut payload).expect("read a frame");
    assert_eq!(payload.len() as u64, length, "a whole frame");
    Some((head[0] & 0x0f, payload))
}

/// Everything until the end of the session.
fn rest(stream: &mut Stream) -> String {
    let mut text = Vec::new();
    while let Some((opcode, payload)) = receive(stream) {
        match opcode {
            TEXT | BINARY => text.extend(payload),
            CLOSE => break,
            other => panic!("a frame of kind {other}"),
        }
    }
    String::from_utf8(text).expect("text")
}

fn attach(bed: &Bed, container: &str, query: &str) -> Stream {
    let stream = bed.engine.http().websocket(&format!("/containers/{container}/attach/ws?{query}"));
    assert_eq!(stream.status, 101);
    assert_eq!(stream.header("sec-websocket-accept"), Some(WEBSOCKET_ACCEPT));
    stream
}

fn websocket_carries_input_and_output(bed: &Bed) {
    let script = "while read line; do echo got $line; [ $line = last ] && break; done; head -c 70000 /dev/zero | tr '\\0' x; exit 3";
    bed.ok(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", script]);
    let mut stream = attach(bed, "box", "stream=1&stdin=1&stdout=1&stderr=1");
    send(&mut stream, TEXT, b"one\n");
    let mut text = String::new();
    while !text.ends_with("got one\n") {
        let (_, payload) = receive(&mut stream).expect("the container answers");
        text.push_str(std::str::from_utf8(&payload).expect("text"));
    }
    assert_eq!(text, "got one\n");
    send(&mut stream, BINARY, b"last\n");
    let text = rest(&mut stream);
    assert!(text == format!("got last\n{}", "x".repeat(70_000)), "{} bytes: {text:.40}", text.len());
    assert_eq!(bed.ok(["wait", "box"]), "3");
}

/// Messages are text up to API 1.27, and which streams are asked for counts since 1.42.
fn old_clients_get_text_of_all_streams(bed: &Bed) {
    bed.ok(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", "read line; echo got $line"]);
    let path = "/v1.27/containers/box/attach/ws?stream=1";
    let mut stream = bed.engine.http().websocket(path);
    assert_eq!(stream.status, 101);
    send(&mut stream, TEXT, b"one\n");
    assert_eq!(receive(&mut stream), Some((TEXT, b"got one\n".to_vec())));
}

fn websocket_shows_the_log(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "echo out; echo more"]);
    let mut stream = attach(bed, "box", "logs=1&stdout=1&stderr=1");
    assert_eq!(rest(&mut stream), "out\nmore\n");
}

fn request_without_a_key_is_refused(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let answer = bed.engine.http().get("/containers/box/attach/ws?stream=1&stdout=1");
    assert!((400..500).contains(&answer.status), "{answer:?}");
}

fn unknown_container_is_not_found(bed: &Bed) {
    let answer = bed.engine.http().websocket("/containers/no-such/attach/ws?stream=1&stdout=1");
    assert_eq!(answer.status, 404);
}
