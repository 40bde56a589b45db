//! Servers that a supervisor runs beside its container, so that they need no engine and end with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a server is told. It holds until the server is told something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The container's name server. Its sockets, for packets and for connections, listen in the container's network
    /// namespace; they come with the first message and stay.
    Names(NameService),
    /// Ports of the host that are passed on to the container. Their sockets, bound in the host's network namespace and
    /// listening where they are for connections, come with the message, in the order of the ports.
    Relay(RelayService),
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// The name server.
    Names,
    /// The relay of ports.
    Relay,
}

impl Service {
    /// Which server this is for.
    pub fn kind(&self) -> ServiceKind {
        match self {
            Self::Names(_) => ServiceKind::Names,
            Self::Relay(_) => ServiceKind::Relay,
        }
    }
}

/// What a name server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameService {
    /// The files with the names of the container's networks, in the order in which they are searched.
    pub tables: Vec<PathBuf>,
    /// Who is asked for other names, in this order. Nobody is where this is empty.
    pub servers: Vec<NameServer>,
    /// Names that only this container has.
    pub hosts: Vec<HostName>,
    /// Names that only this container has for others.
    #[serde(default)]
    pub aliases: Vec<NameAlias>,
    /// Whether names without a dot are asked outside.
    pub ask_single_names: bool,
}

/// A name that one container has for another of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAlias {
    /// The network's table, by its place in [`NameService::tables`].
    pub table: usize,
    /// The name.
    pub name: String,
    /// The name that it stands for.
    pub target: String,
}

/// A name server outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Its address; the port is 53.
    pub address: IpAddr,
    /// From where it is asked.
    pub origin: Origin,
}

/// A network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The supervisor's own.
    Host,
    /// The container's.
    Container,
}

/// A name with its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostName {
    /// The name, in small letters.
    pub name: String,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// What a relay passes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayService {
    /// Whether it goes on with the ports of earlier messages too. Connections go on in any case.
    pub keep: bool,
    /// The ports; at most [`crate::wire::MAX_DESCRIPTORS`] in a message.
    pub ports: Vec<RelayedPort>,
}

/// A port of the host that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedPort {
    /// What goes through it.
    pub transport: Transport,
    /// Where it goes, as the supervisor's own network namespace knows it.
    pub target: SocketAddr,
}

/// What goes through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Connections (TCP).
    Stream,
    /// Packets (UDP).
    Packets,
}
