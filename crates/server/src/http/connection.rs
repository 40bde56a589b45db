//! Connections of clients.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::service::{Handler, answer};

/// Where clients connect.
pub enum Acceptor {
    /// A unix socket.
    Unix(UnixListener),
    /// A TCP port.
    Tcp(TcpListener),
}

/// Serves clients until `stop` becomes true, then ends each connection after the request it is answering. What
/// still runs is in `connections`.
pub async fn serve<H: Handler>(
    acceptor: Acceptor,
    handler: Arc<H>,
    connections: TaskTracker,
    stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&acceptor, &handler, &connections, &stop) => accepted,
            () = asked_to_stop(stop.clone()) => return,
        };
        if let Err(error) = accepted {
            // Out of descriptors or memory: what frees them needs time.
            tracing::warn!(%error, "accept a connection");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

async fn accept_one<H: Handler>(
    acceptor: &Acceptor,
    handler: &Arc<H>,
    connections: &TaskTracker,
    stop: &watch::Receiver<bool>,
) -> io::Result<()> {
    let (handler, stop) = (Arc::clone(handler), stop.clone());
    match acceptor {
        Acceptor::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            connections.spawn(converse(stream, handler, stop));
        }
        Acceptor::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            connections.spawn(converse(stream, handler, stop));
        }
    }
    Ok(())
}

/// Bytes. Larger blocks are mapped anew by the allocator each time, and then the kernel clears them first: an upload would
/// spend half its time on that.
const READ_AT_ONCE: usize = 128 << 10;

/// Answers the requests of one connection.
pub(super) async fn converse<S, H>(stream: S, handler: Arc<H>, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(handler, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(READ_AT_ONCE)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = asked_to_stop(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn asked_to_stop(mut stop: watch::Receiver<bool>) {
    // Without a sender nobody can ask any more, which is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
