//! Ports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::omit;

/// Bindings by `port/protocol`; null where a port is not published.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// An address and port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The address; empty is all.
    pub host_ip: String,
    /// The port or a range; empty is the engine's choice.
    pub host_port: String,
}

/// A port in the list of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The host's address.
    #[serde(rename = "IP", skip_serializing_if = "omit::empty")]
    pub ip: String,
    /// The port in the container.
    pub private_port: u16,
    /// The port of the host.
    #[serde(skip_serializing_if = "omit::empty")]
    pub public_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type")]
    pub protocol: String,
}
