//! Connections that stop being HTTP: attached standard streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::connection::{Call, Client};
use crate::{Error, Host};

/// A raw connection to a process in a container. The descriptor is a blocking socket.
#[derive(Debug)]
pub struct Hijacked {
    socket: OwnedFd,
    /// What arrived together with the answer; it comes before anything read from the socket.
    pub leftover: Bytes,
    /// Whether output consists of frames, if the engine says so.
    pub multiplexed: Option<bool>,
}

impl AsFd for Hijacked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    /// Sends `call` and takes the connection over.
    pub(crate) async fn hijack(&self, call: Call) -> Result<Hijacked, Error> {
        let call = call
            .header(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(header::UPGRADE, HeaderValue::from_static("tcp"));
        let response = self.send(&call).await?.into_response();
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::Upgrade { status: response.status().as_u16() });
        }
        let multiplexed = content_type(&response);
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| call.transport_error(error))?;
        let (socket, leftover) =
            into_socket(self.host(), upgraded).map_err(|error| call.transport_error(error))?;
        Ok(Hijacked { socket, leftover, multiplexed })
    }
}

fn content_type(response: &Response<Incoming>) -> Option<bool> {
    let value = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    match value {
        api::stream::MULTIPLEXED_STREAM => Some(true),
        // Engines before API 1.42 call every stream raw.
        _ => None,
    }
}

fn into_socket(host: &Host, upgraded: Upgraded) -> std::io::Result<(OwnedFd, Bytes)> {
    let foreign = |_| std::io::Error::other("the connection is of another kind");
    match host {
        Host::Unix(_) => {
            let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<UnixStream>>().map_err(foreign)?;
            let stream = io.into_inner().into_std()?;
            stream.set_nonblocking(false)?;
            Ok((stream.into(), read_buf))
        }
        Host::Tcp(_) => {
            let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<TcpStream>>().map_err(foreign)?;
            let stream = io.into_inner().into_std()?;
            stream.set_nonblocking(false)?;
            Ok((stream.into(), read_buf))
        }
    }
}
