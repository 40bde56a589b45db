//! Connections that become raw streams.
//!
//! The client's own socket is handed over, so that a container's output does not pass through the engine and an
//! attached client does not notice that the engine ends. Only what cannot be handed over is copied through a socket pair: a request
//! without `Upgrade` header, a websocket, and a client that sent input before the answer.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::ReaderStream;

use super::call::Upload;
use super::{Body, Call, Response};
use crate::error::Error;

/// Answers that the connection becomes a raw stream. `connect` gets the socket once the answer has been sent; a client
/// that leaves before gets nothing, and `connect` is dropped.
///
/// # Errors
/// Where no socket can be made.
pub fn hijack<F: Future<Output = ()> + Send + 'static>(
    mut call: Call,
    content_type: &'static str,
    connect: impl FnOnce(OwnedFd) -> F + Send + 'static,
) -> Result<Response, Error> {
    let content_type = HeaderValue::from_static(content_type);
    if !call.headers().contains_key(header::UPGRADE) {
        return without_upgrade(call.into_body(), content_type, connect);
    }
    let upgrade = call.parts.extensions.remove::<OnUpgrade>();
    let upgrade =
        upgrade.ok_or_else(|| Error::BadRequest("this connection cannot be upgraded".to_owned()))?;
    tokio::spawn(async move {
        match hand_over(upgrade).await {
            Ok(socket) => connect(socket).await,
            Err(error) => tracing::debug!(%error, "a client left before its connection was upgraded"),
        }
    });
    Ok(switching_protocols(content_type))
}

fn switching_protocols(content_type: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    response
}

/// The socket of a connection whose answer has been sent.
async fn hand_over(upgrade: OnUpgrade) -> io::Result<OwnedFd> {
    let upgraded = upgrade.await.map_err(io::Error::other)?;
    let upgraded = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => return Ok(parts.io.into_inner().into_std()?.into()),
        Ok(parts) => return relay(parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner().into_std()?.into()),
        Ok(parts) => relay(parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => relay(TokioIo::new(upgraded), Bytes::new()),
    }
}

/// Copies between the client and a new socket, both ways, each way until its end. Returns the new socket's other end.
fn relay<S>(mut client: S, early: Bytes) -> io::Result<OwnedFd>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut ours, theirs) = socket_pair()?;
    tokio::spawn(async move {
        let copied = async {
            ours.write_all(&early).await?;
            tokio::io::copy_bidirectional(&mut client, &mut ours).await
        };
        if let Err(error) = copied.await {
            tracing::debug!(%error, "a relayed stream ended early");
        }
    });
    Ok(theirs)
}

/// Two connected sockets: one for us, one to hand over.
pub(super) fn socket_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Old clients send no `Upgrade` header: what they send is the request's body, and what they read is a body that ends
/// with the connection.
fn without_upgrade<F: Future<Output = ()> + Send + 'static>(
    input: Upload,
    content_type: HeaderValue,
    connect: impl FnOnce(OwnedFd) -> F,
) -> Result<Response, Error> {
    let (ours, theirs) = socket_pair().map_err(Error::Socket)?;
    tokio::spawn(connect(theirs));
    let (output, to_container) = ours.into_split();
    tokio::spawn(forward(input, to_container));
    let mut response = Response::new(Body::parts(ReaderStream::with_capacity(output, 32 * 1024)));
    *response.version_mut() = Version::HTTP_10;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

async fn forward(mut input: Upload, mut to_container: tokio::net::unix::OwnedWriteHalf) {
    while let Some(Ok(bytes)) = input.next().await {
        if to_container.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to_container.shutdown().await;
}
