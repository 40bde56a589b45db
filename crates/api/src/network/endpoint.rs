//! The connection of one container to one network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{StringMap, omit};

/// The networks of a container that is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// Endpoints by network name.
    pub endpoints_config: Option<BTreeMap<String, EndpointSettings>>,
}

/// An endpoint: what was asked for, then what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Addresses that were asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpamConfig>,
    /// Legacy links.
    pub links: Option<Vec<String>>,
    /// Further names of the container in this network.
    pub aliases: Option<Vec<String>>,
    /// MAC address.
    pub mac_address: String,
    /// Options for the driver.
    pub driver_opts: Option<StringMap>,
    /// The endpoint with the highest one is the default gateway (API 1.48).
    pub gw_priority: i64,
    /// The network's ID.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// The endpoint's ID.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 gateway.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Length of its prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: i64,
    /// IPv6 gateway.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Length of its prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: i64,
    /// All names of the container in this network (API 1.44).
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointIpamConfig {
    /// IPv4 address.
    #[serde(rename = "IPv4Address", skip_serializing_if = "omit::empty")]
    pub ipv4_address: String,
    /// IPv6 address.
    #[serde(rename = "IPv6Address", skip_serializing_if = "omit::empty")]
    pub ipv6_address: String,
    /// Link-local addresses.
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "omit::empty_list")]
    pub link_local_ips: Option<Vec<String>>,
}
