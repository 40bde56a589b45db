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
    let (ours, theirs) = socket_pair().map_err(Error::Socket)?;
    let response = upgrade.on_upgrade(async move |websocket| {
        // Both at once: what is connected may write more than a socket holds before it returns.
        tokio::spawn(connect(theirs));
        relay(websocket, ours).await;
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

async fn relay(websocket: WebSocket, socket: UnixStream) {
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
            let message = Message::Binary(Bytes::copy_from_slice(&buffer[..length]));
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
