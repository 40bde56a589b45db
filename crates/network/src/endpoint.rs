//! A container's connection to a network.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::mac::MacAddress;
use crate::port::{LinkedPort, PortBinding, PublishedPort};

/// What is asked for when a container joins a network.
#[derive(Clone, Debug, Default)]
pub struct EndpointRequest {
    /// The container's ID.
    pub container_id: String,
    /// The container's name, without a slash.
    pub container_name: String,
    /// The network's name, ID or a unique beginning of its ID.
    pub network: String,
    /// A certain address (`--ip`); `None` takes the lowest free one.
    pub ipv4: Option<Ipv4Addr>,
    /// A certain address (`--ip6`).
    pub ipv6: Option<Ipv6Addr>,
    /// A certain hardware address; `None` derives it from the address.
    pub mac: Option<MacAddress>,
    /// Ports to publish.
    pub ports: Vec<PortBinding>,
}

/// A container's place in a network. The engine keeps it in the container's record and hands it back to
/// [`crate::Networks::restore`] and [`crate::Networks::release`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// 64 hexadecimal digits.
    pub endpoint_id: String,
    /// The network's ID.
    pub network_id: String,
    /// The network's name.
    pub network_name: String,
    /// The container's ID.
    pub container_id: String,
    /// The container's name when it was connected.
    pub container_name: String,
    /// The interface in the container (`eth0`); `None` on `none`.
    pub interface: Option<String>,
    /// The interface on the host; `None` on `none`.
    pub host_interface: Option<String>,
    /// The IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its prefix length; 0 without an address.
    pub ipv4_prefix: u8,
    /// The IPv4 gateway; `None` on internal networks.
    pub gateway: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its prefix length; 0 without an address.
    pub ipv6_prefix: u8,
    /// The IPv6 gateway.
    pub ipv6_gateway: Option<Ipv6Addr>,
    /// The hardware address.
    pub mac: Option<MacAddress>,
    /// Published ports with the host ports that were chosen.
    pub ports: Vec<PublishedPort>,
    /// What it reaches of others although its network lets containers reach nothing of each other.
    #[serde(default)]
    pub links: Vec<LinkedPort>,
}

/// A network namespace with its first endpoint.
#[derive(Debug)]
pub struct Sandbox {
    /// 64 hexadecimal digits (`NetworkSettings.SandboxID`).
    pub id: String,
    /// The namespace. It lives for as long as somebody holds a descriptor of it or runs in it; it has no file.
    pub netns: OwnedFd,
    /// The first endpoint.
    pub endpoint: EndpointInfo,
}
