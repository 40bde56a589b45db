//! Where a container's name server listens.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::firewall;
use crate::namespace;

/// The sockets of a container's name server.
#[derive(Debug)]
pub struct NameSockets {
    /// For packets.
    pub packets: OwnedFd,
    /// For connections; it listens.
    pub connections: OwnedFd,
}

impl NameSockets {
    /// Listens in a namespace: what is sent to port 53 of [`dns::SERVER`] there arrives here. The port itself stays free
    /// for the container. Sockets that listened before get nothing any more.
    pub fn open(netns: BorrowedFd<'_>) -> Result<Self, Error> {
        let opened = namespace::on_own_thread("listen in", || {
            sys::netns::join(netns)?;
            let packets = UdpSocket::bind((dns::SERVER, 0))?;
            let connections = TcpListener::bind((dns::SERVER, 0))?;
            connections.set_nonblocking(true)?;
            let ports = (packets.local_addr()?.port(), connections.local_addr()?.port());
            io::Result::Ok((
                firewall::redirect_names(ports.0, ports.1),
                Self { packets: packets.into(), connections: connections.into() },
            ))
        });
        let (redirected, sockets) = opened?;
        redirected.map(|()| sockets)
    }
}
