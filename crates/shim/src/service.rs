//! Servers that a supervisor runs beside its container, so that they need no engine and end with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a server is told. It holds until the server is told something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The container's name server. Its sockets, for packets and for connections, listen in the container's network
    /// namespace; they come with the first message and stay.
    Names(NameService),
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// The name server.
    Names,
}

impl Service {
    /// Which server this is for.
    pub fn kind(&self) -> ServiceKind {
        match self {
            Self::Names(_) => ServiceKind::Names,
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
    /// Whether names without a dot are asked outside.
    pub ask_single_names: bool,
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
