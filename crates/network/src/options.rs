//! Driver options of bridge networks, by the names Docker gives them.

use std::net::IpAddr;

use oci::boolean;

use crate::error::Error;
use crate::record::NetworkRecord;

/// The bridge interface's name.
pub(crate) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
/// Whether containers of the network reach each other.
pub(crate) const ENABLE_ICC: &str = "com.docker.network.bridge.enable_icc";
/// Whether packets to the outside get the host's address.
pub(crate) const ENABLE_MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
/// Where ports are published that name no host address.
pub(crate) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
/// Marks the network named `bridge`.
pub(crate) const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
/// How IPv4 passes between the network and the outside.
pub(crate) const GATEWAY_MODE_4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
/// How IPv6 passes.
pub(crate) const GATEWAY_MODE_6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
/// Bytes in a packet.
pub(crate) const MTU: &str = "com.docker.network.driver.mtu";

/// How packets pass between a network and the outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum GatewayMode {
    /// The host's address stands for the containers', and only published ports are reached.
    #[default]
    Nat,
    /// The same, and who has a route reaches every port of the containers.
    NatUnprotected,
    /// Nothing is translated: published ports are reached at the containers' own addresses.
    Routed,
    /// The bridge has no address; for internal networks.
    Isolated,
}

impl GatewayMode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "nat" => Some(Self::Nat),
            "nat-unprotected" => Some(Self::NatUnprotected),
            "routed" => Some(Self::Routed),
            "isolated" => Some(Self::Isolated),
            _ => None,
        }
    }
}

impl NetworkRecord {
    /// How packets of this address's family pass.
    pub(crate) fn gateway_mode(&self, of_family: IpAddr) -> GatewayMode {
        let name = if of_family.is_ipv4() { GATEWAY_MODE_4 } else { GATEWAY_MODE_6 };
        self.options.get(name).and_then(|value| GatewayMode::parse(value)).unwrap_or_default()
    }

    /// A yes-or-no option; yes where it is not given.
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.options.get(name).and_then(|value| boolean::parse(value)).unwrap_or(true)
    }

    /// Bytes in a packet, where the network says so.
    pub(crate) fn mtu(&self) -> Option<u32> {
        self.options.get(MTU)?.parse().ok().filter(|mtu| *mtu > 0)
    }

    /// Where ports are published that name no host address, where the network says so.
    pub(crate) fn host_binding(&self) -> Option<IpAddr> {
        self.options.get(HOST_BINDING)?.parse().ok()
    }

    /// Refuses options that are not known or have no sense, by name.
    pub(crate) fn check_options(&self) -> Result<(), Error> {
        for (name, value) in &self.options {
            check(name, value)?;
            if value == "isolated"
                && !self.internal
                && [GATEWAY_MODE_4, GATEWAY_MODE_6].contains(&name.as_str())
            {
                let reason = "this mode is for internal networks (--internal)";
                return Err(Error::InvalidOption { name: name.clone(), value: value.clone(), reason });
            }
        }
        Ok(())
    }
}

fn check(name: &str, value: &str) -> Result<(), Error> {
    let reason = match name {
        ENABLE_ICC | ENABLE_MASQUERADE if boolean::parse(value).is_none() => "it is neither true nor false",
        HOST_BINDING if !value.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) => {
            "it is no IPv4 address"
        }
        MTU if !value.parse::<u32>().is_ok_and(|mtu| mtu == 0 || (68..=65535).contains(&mtu)) => {
            "it is no number of bytes from 68 to 65535"
        }
        BRIDGE_NAME if !is_interface_name(value) => "it is no interface name",
        GATEWAY_MODE_4 | GATEWAY_MODE_6 if GatewayMode::parse(value).is_none() => {
            "it is none of nat, nat-unprotected, routed and isolated"
        }
        ENABLE_ICC | ENABLE_MASQUERADE | HOST_BINDING | MTU | BRIDGE_NAME | GATEWAY_MODE_4
        | GATEWAY_MODE_6 => return Ok(()),
        _ => "this driver option is not supported",
    };
    Err(Error::InvalidOption { name: name.to_owned(), value: value.to_owned(), reason })
}

/// Whether the kernel and the firewall take it as an interface's name.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=15).contains(&name.len()) && name.bytes().all(allowed) && ![".", ".."].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_unknown_or_senseless_option_is_refused_by_name() {
        for (name, value) in [
            (ENABLE_ICC, "maybe"),
            (HOST_BINDING, "::1"),
            (HOST_BINDING, "localhost"),
            (MTU, "-1"),
            (MTU, "67"),
            (BRIDGE_NAME, "a/b"),
            (BRIDGE_NAME, "sixteen-letters-"),
            (GATEWAY_MODE_4, "bridged"),
            ("com.docker.network.bridge.inhibit_ipv4", "true"),
            ("encrypted", ""),
        ] {
            let error = check(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        for (name, value) in [
            (ENABLE_ICC, "0"),
            (HOST_BINDING, "127.0.0.1"),
            (MTU, "1400"),
            (BRIDGE_NAME, "br.1"),
            (GATEWAY_MODE_6, "routed"),
        ] {
            assert!(check(name, value).is_ok(), "{name}={value}");
        }
    }
}
