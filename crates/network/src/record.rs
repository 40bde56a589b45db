//! What is stored about a network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;

/// A network, as it is stored and as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// 64 hexadecimal digits; the same for ever, also for the predefined networks.
    pub id: String,
    /// Its name, unique in an engine.
    pub name: String,
    /// When it was created, RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// What makes it work.
    pub driver: Driver,
    /// Always `local`.
    pub scope: Scope,
    /// Whether its containers have IPv4 addresses.
    pub enable_ipv4: bool,
    /// Whether its containers have IPv6 addresses.
    pub enable_ipv6: bool,
    /// Its address ranges.
    pub ipam: Ipam,
    /// Whether it is cut off from everything outside.
    pub internal: bool,
    /// Whether containers outside a service may join it.
    pub attachable: bool,
    /// Always false: no routing mesh.
    pub ingress: bool,
    /// Driver options as they were given or, for `bridge`, as Docker shows them.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The bridge interface on the host; `None` for `host` and `none`.
    pub bridge: Option<String>,
}

/// What makes a network work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// A bridge on the host.
    Bridge,
    /// Interfaces of their own on the wire of one of the host's.
    Macvlan,
    /// The host's own network namespace.
    Host,
    /// A namespace with a loopback interface only.
    Null,
}

impl Driver {
    /// The name the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// How far a network reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// This machine.
    #[default]
    Local,
}

/// A network's address management.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// Always `default`.
    pub driver: String,
    /// Options as they were given; `None` where none were.
    pub options: Option<BTreeMap<String, String>>,
    /// One entry for each subnet; empty for `host` and `none`.
    pub config: Vec<IpamConfig>,
}

/// One subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamConfig {
    /// The subnet.
    pub subnet: Cidr,
    /// The range from which containers get addresses; `None` is all of the subnet.
    pub ip_range: Option<Cidr>,
    /// The bridge's address; `None` on networks without one.
    pub gateway: Option<IpAddr>,
    /// Addresses in use by something else, by name.
    #[serde(default)]
    pub auxiliary_addresses: BTreeMap<String, IpAddr>,
}

impl store::Record for NetworkRecord {
    const TABLE: &'static str = "network";
    const VERSION: u32 = 1;
}
