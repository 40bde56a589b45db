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
    let first = from_number(network, number(network) + u128::from(subnet.prefix() < 31));
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
