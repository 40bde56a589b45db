//! The networks every engine has: `bridge`, `host` and `none`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::cidr::{Cidr, from_number, number};
use crate::config::Config;
use crate::error::Error;
use crate::id;
use crate::ipam;
use crate::options;
use crate::record::{Driver, Ipam, IpamConfig, NetworkRecord, Scope};

/// The names of the predefined networks with what makes them work.
pub(crate) const PREDEFINED: [(&str, Driver); 3] =
    [("bridge", Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)];

/// The record of a predefined network without its addresses.
pub(crate) fn record(name: &str, driver: Driver) -> NetworkRecord {
    NetworkRecord {
        id: id::random_id(),
        name: name.to_owned(),
        created: id::now(),
        driver,
        scope: Scope::Local,
        enable_ipv4: true,
        enable_ipv6: false,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: Vec::new() },
        internal: false,
        attachable: false,
        ingress: false,
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        bridge: None,
    }
}

/// Brings the record of `bridge` in line with the configuration. `routed` are the networks that the host has routes into
/// by other interfaces; what the record says is kept as long as none of them is in its way.
pub(crate) fn configure_bridge(
    record: &mut NetworkRecord,
    config: &Config,
    mtu: u32,
    routed: &[Cidr],
) -> Result<(), Error> {
    let kept = record.ipam.config.first().cloned();
    let address = match (config.bip, kept) {
        (Some(bip), _) => checked_bip(bip, routed)?,
        (None, Some(kept)) if !routed.iter().any(|other| other.overlaps(&kept.subnet)) => {
            gateway_cidr(&kept).unwrap_or_else(|| first_host(kept.subnet))
        }
        (None, _) => first_host(choose(config, routed)?),
    };
    record.ipam.config = vec![IpamConfig {
        subnet: address.network(),
        ip_range: None,
        gateway: Some(address.address()),
        auxiliary_addresses: BTreeMap::new(),
    }];
    record.bridge = Some(config.bridge.clone());
    record.options = driver_options(config, mtu);
    Ok(())
}

pub(crate) fn choose(config: &Config, routed: &[Cidr]) -> Result<Cidr, Error> {
    let defaults = ipam::default_pools();
    let pools =
        if config.default_address_pools.is_empty() { &defaults } else { &config.default_address_pools };
    ipam::choose_subnet(pools, routed).ok_or(Error::SubnetsExhausted)
}

fn checked_bip(bip: Cidr, routed: &[Cidr]) -> Result<Cidr, Error> {
    let invalid = |reason| Error::InvalidSetting { setting: "bip", value: bip.to_string(), reason };
    if bip.ipv4().is_none() {
        return Err(invalid("an IPv4 address is needed"));
    }
    if bip.prefix() > 30 || bip.network() == bip || bip.last() == bip.address() {
        return Err(invalid("it is no address of a host"));
    }
    if routed.iter().any(|other| other.overlaps(&bip)) {
        return Err(Error::SubnetOverlaps(bip.network()));
    }
    Ok(bip)
}

fn gateway_cidr(config: &IpamConfig) -> Option<Cidr> {
    Cidr::new(config.gateway?, config.subnet.prefix())
}

/// The first address of a subnet that a host may have.
pub(crate) fn first_host(subnet: Cidr) -> Cidr {
    let network: IpAddr = subnet.network().address();
    let bits = if network.is_ipv4() { 32 } else { 128 };
    let first = from_number(network, number(network) + u128::from(subnet.prefix() < bits - 1));
    Cidr::new(first, subnet.prefix()).expect("the prefix length is that of a subnet of this family")
}

fn driver_options(config: &Config, mtu: u32) -> BTreeMap<String, String> {
    let values = [
        (options::DEFAULT_BRIDGE, "true".to_owned()),
        (options::ENABLE_ICC, config.icc.to_string()),
        (options::ENABLE_MASQUERADE, config.ip_masq.to_string()),
        (options::HOST_BINDING, config.default_binding.to_string()),
        (options::BRIDGE_NAME, config.bridge.clone()),
        (options::MTU, mtu.to_string()),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_host_is_the_first_address_that_names_no_network() {
        for (subnet, first) in [
            ("172.17.0.0/16", "172.17.0.1/16"),
            ("10.0.0.4/31", "10.0.0.4/31"),
            ("fd00:1::/64", "fd00:1::1/64"),
            ("fd00:1::8/127", "fd00:1::8/127"),
        ] {
            assert_eq!(first_host(subnet.parse().unwrap()).to_string(), first);
        }
    }

    #[test]
    fn configure_bridge_keeps_its_subnet_until_something_is_in_its_way() {
        let config = Config::new("/nowhere");
        let mut record = record("bridge", Driver::Bridge);
        let mut configure = |routed: &[&str]| {
            let routed: Vec<Cidr> = routed.iter().map(|cidr| cidr.parse().unwrap()).collect();
            configure_bridge(&mut record, &config, 1500, &routed).unwrap();
            record.ipam.config[0].subnet.to_string()
        };
        assert_eq!(configure(&["172.17.0.0/24"]), "172.18.0.0/16");
        assert_eq!(configure(&[]), "172.18.0.0/16");
        assert_eq!(configure(&["172.16.0.0/12"]), "192.168.0.0/20");
    }

    #[test]
    fn configure_bridge_bip_that_is_no_host_is_refused() {
        for bip in ["172.17.0.0/16", "172.17.255.255/16", "10.0.0.1/31", "fd00::1/64"] {
            let mut config = Config::new("/nowhere");
            config.bip = Some(bip.parse().unwrap());
            let mut record = record("bridge", Driver::Bridge);
            let error = configure_bridge(&mut record, &config, 1500, &[]).unwrap_err().to_string();
            assert!(error.contains(bip), "{error}");
        }
    }
}
