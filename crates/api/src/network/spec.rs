//! A network: making it and everything about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointSettings;
use crate::container::PortMap;
use crate::{StringMap, Time, omit};

/// The answer to `GET /networks/{id}`, and one entry of `GET /networks`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInspect {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was made.
    pub created: Time,
    /// `local` or `swarm`.
    pub scope: String,
    /// `bridge`, `host`, `null`, ….
    pub driver: String,
    /// Whether it has IPv4 addresses (API 1.47).
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Whether it has IPv6 addresses.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Whether it has no way out.
    pub internal: bool,
    /// Whether containers can join a swarm's network.
    pub attachable: bool,
    /// Whether it is a swarm's routing mesh.
    pub ingress: bool,
    /// Where its configuration is from.
    pub config_from: ConfigReference,
    /// Whether it is only a configuration for others.
    pub config_only: bool,
    /// Running containers by ID; empty in a list.
    pub containers: BTreeMap<String, EndpointResource>,
    /// Options of the driver.
    pub options: Option<StringMap>,
    /// Labels.
    pub labels: Option<StringMap>,
}

/// The addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// `default`.
    pub driver: String,
    /// Options of that driver.
    pub options: Option<StringMap>,
    /// Its pools.
    pub config: Option<Vec<IpamConfig>>,
}

/// A pool of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// The subnet, `address/length`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub subnet: String,
    /// The part from which addresses are drawn.
    #[serde(rename = "IPRange", skip_serializing_if = "omit::empty")]
    pub ip_range: String,
    /// The gateway.
    #[serde(skip_serializing_if = "omit::empty")]
    pub gateway: String,
    /// Addresses that are not drawn, by name.
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "omit::empty_map")]
    pub auxiliary_addresses: Option<StringMap>,
}

/// The network whose configuration is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigReference {
    /// Its name.
    pub network: String,
}

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointResource {
    /// The container's name, without a slash.
    pub name: String,
    /// The endpoint's ID.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// MAC address.
    pub mac_address: String,
    /// IPv4 address, `address/length`.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// IPv6 address, `address/length`.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// The body of `POST /networks/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// No longer used: names are always unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_duplicate: Option<bool>,
    /// The driver; empty is `bridge`.
    pub driver: String,
    /// `local` or `swarm`.
    pub scope: String,
    /// Whether it has IPv4 addresses.
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    pub enable_ipv4: Option<bool>,
    /// Whether it has IPv6 addresses.
    #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
    pub enable_ipv6: Option<bool>,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Option<Ipam>,
    /// Whether it has no way out.
    pub internal: bool,
    /// Whether containers can join a swarm's network.
    pub attachable: bool,
    /// Whether it is a swarm's routing mesh.
    pub ingress: bool,
    /// Whether it is only a configuration for others.
    pub config_only: bool,
    /// Where its configuration is from.
    pub config_from: Option<ConfigReference>,
    /// Options of the driver.
    pub options: Option<StringMap>,
    /// Labels.
    pub labels: Option<StringMap>,
}

/// The answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateResponse {
    /// The new network's ID.
    pub id: String,
    /// What the user should know.
    pub warning: String,
}

/// The body of `POST /networks/{id}/connect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConnectRequest {
    /// The container.
    pub container: String,
    /// What is asked of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_config: Option<EndpointSettings>,
}

/// The body of `POST /networks/{id}/disconnect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisconnectRequest {
    /// The container.
    pub container: String,
    /// Whether it is disconnected although it is not there any more.
    pub force: bool,
}

/// The answer to `POST /networks/prune`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PruneResponse {
    /// Names of the networks that were removed.
    pub networks_deleted: Option<Vec<String>>,
}

/// The body of `POST /networks/{id}/plan`, which only Corten has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlanRequest {
    /// The ports that a new container would publish.
    pub port_bindings: PortMap,
}

/// The answer to `POST /networks/{id}/plan`: what publishing ports would do to the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlanResponse {
    /// The nftables table, of the family `inet`.
    pub table: String,
    /// The container's address, the next that is free.
    pub address: String,
    /// What is added, as commands of `nft`.
    pub changes: Vec<String>,
    /// Ports that the container's supervisor passes on instead, as `[::]:80/tcp -> 172.17.0.2:80`.
    pub relayed: Vec<String>,
    /// All rules before, in the language of `nft`.
    pub before: String,
    /// All rules after.
    pub after: String,
}
