//! Ports that containers publish on the host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port that is to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    /// The port in the container.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; `None` is every one, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// First and last host port to try, in this order; `None` takes a free one of the kernel's ephemeral range.
    pub host_ports: Option<(u16, u16)>,
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port in the container.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; unspecified is every one of its family.
    pub host_ip: IpAddr,
    /// The port on the host; 0 where the container is reached at its own address.
    pub host_port: u16,
}

/// A port of another container, at its own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkedPort {
    /// The other container's address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl PublishedPort {
    /// Whether it is reached at the container's own address, by no port of the host.
    pub fn is_routed(&self) -> bool {
        self.host_port == 0
    }
}

/// A port of the host that has to be passed on to a container by a program.
#[derive(Debug)]
pub struct RelayedPort {
    /// The protocol: TCP or UDP.
    pub protocol: Protocol,
    /// The container's address and port.
    pub target: SocketAddr,
    /// Bound in the host's namespace; for TCP it listens.
    pub socket: OwnedFd,
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = SocketAddr::new(self.host_ip, self.host_port);
        write!(f, "{host}->{}/{}", self.container_port, self.protocol)
    }
}
