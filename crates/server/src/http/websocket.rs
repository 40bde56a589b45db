//! Attaching through a websocket.

use std::os::fd::OwnedFd;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::hijack::socket_pair;
use super::{Body, Call, Response};
use crate::error::Error;

/// How much output goes into one message.
const MESSAGE_LEN: usize = 32 * 1024;

/// Answers that the connection becomes a websocket, and gives `connect` a socket with the same stream.
///
/// # Errors
/// Where the request does not ask for a websocket.
pub async fn attach_websocket<F: Future<Output = ()> + Send + 'static>(
    mut call: Call,
    connect: impl FnOnce(OwnedFd) -> F + Send + 'static,
) -> Result<Response, Error> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &())
        .await
        .map_err(|rejection| Error::BadRequest(rejection.body_text()))?;
    let kind = if call.version().at_least(28) { Kind::Binary } else { Kind::Text(Vec::new()) };
    let (ours, theirs) = socket_pair().map_err(Error::Socket)?;
    let response = upgrade.on_upgrade(async move |websocket| {
        // Both at once: what is connected may write more than a socket holds before it returns.
        tokio::spawn(connect(theirs));
        relay(websocket, ours, kind).await;
    });
    let (parts, body) = response.into_parts();
    let body = Body::parts(body.into_data_stream().map_err(std::io::Error::other));
    let mut response = Response::from_parts(parts, body);
    drop_body_of_switch(response.headers_mut());
    Ok(response)
}

/// A switch of protocols has no body, so nothing may be said about one.
fn drop_body_of_switch(headers: &mut HeaderMap) {
    headers.remove(http::header::CONTENT_LENGTH);
}

/// What messages with output are.
enum Kind {
    Binary,
    /// Up to API 1.27; with the beginning of a character whose end has not come yet.
    Text(Vec<u8>),
}

impl Kind {
    /// A message of these bytes; none where they are too few for a character.
    fn message(&mut self, bytes: &[u8]) -> Option<Message> {
        let Self::Text(begun) = self else { return Some(Message::Binary(Bytes::copy_from_slice(bytes))) };
        begun.extend_from_slice(bytes);
        let end = complete(begun);
        let text = String::from_utf8_lossy(&begun[..end]).into_owned();
        begun.drain(..end);
        (!text.is_empty()).then(|| Message::Text(text.into()))
    }
}

/// The length of what does not end within a character.
fn complete(bytes: &[u8]) -> usize {
    let mut begin = 0;
    while let Err(error) = std::str::from_utf8(&bytes[begin..]) {
        begin += error.valid_up_to();
        match error.error_len() {
            Some(invalid) => begin += invalid,
            None => return begin,
        }
    }
    bytes.len()
}

async fn relay(websocket: WebSocket, socket: UnixStream, mut kind: Kind) {
    let (mut to_client, mut from_client) = websocket.split();
    let (mut output, mut input) = socket.into_split();
    let receive = async move {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                Message::Text(text) => Bytes::from(text),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            if input.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = input.shutdown().await;
    };
    let send = async move {
        let mut buffer = vec![0; MESSAGE_LEN];
        while let Ok(length @ 1..) = output.read(&mut buffer).await {
            let Some(message) = kind.message(&buffer[..length]) else { continue };
            if to_client.send(message).await.is_err() {
                return;
            }
        }
        let _ = to_client.close().await;
    };
    // The output decides: a client that only reads may close its side at once.
    let receive = tokio::spawn(receive);
    send.await;
    receive.abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parts: &[&[u8]]) -> Vec<String> {
        let mut kind = Kind::Text(Vec::new());
        let messages = parts.iter().filter_map(|part| kind.message(part));
        messages.map(|message| message.into_text().unwrap().to_string()).collect()
    }

    #[test]
    fn character_in_two_parts_is_one_in_text() {
        assert_eq!(texts(&[b"a\xc3", b"\xa9b", b"\xe2", b"\x82", b"\xac"]), ["a", "éb", "€"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_in_text_and_kept_in_binary() {
        assert_eq!(texts(&[b"a\xffb\xff", b"c"]), ["a\u{fffd}b\u{fffd}", "c"]);
        let binary = Kind::Binary.message(b"a\xff").unwrap();
        assert_eq!(binary, Message::Binary(Bytes::from_static(b"a\xff")));
    }
}
