//! `network create`.

use std::net::IpAddr;

use api::StringMap;
use api::network::{ConfigReference, CreateRequest, Ipam, IpamConfig};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Changed, Flag, List, Mapping, Options, Strings};
use crate::opts::{LabelFlag, pairs_to_map};

/// Makes a network.
pub(super) struct Create;

pub(super) struct CreateFlags {
    attachable: bool,
    aux_address: Mapping,
    config_from: String,
    config_only: bool,
    driver: String,
    gateway: Strings,
    ingress: bool,
    internal: bool,
    ip_range: Strings,
    ipam_driver: String,
    ipam_opt: Mapping,
    ipv4: Changed<bool>,
    ipv6: Changed<bool>,
    label: List<LabelFlag>,
    opt: Mapping,
    scope: String,
    subnet: Strings,
}

impl Default for CreateFlags {
    fn default() -> Self {
        Self {
            attachable: false,
            aux_address: Mapping::default(),
            config_from: String::new(),
            config_only: false,
            driver: "bridge".to_owned(),
            gateway: Strings::default(),
            ingress: false,
            internal: false,
            ip_range: Strings::default(),
            ipam_driver: "default".to_owned(),
            ipam_opt: Mapping::default(),
            ipv4: Changed { value: true, changed: false },
            ipv6: Changed::default(),
            label: List::default(),
            opt: Mapping::default(),
            scope: String::new(),
            subnet: Strings::default(),
        }
    }
}

impl Options for CreateFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("attachable", "Let containers outside of services join", |o| &mut o.attachable),
        Flag::new("aux-address", "Addresses that something else has", |o| &mut o.aux_address),
        Flag::new("config-from", "Network whose configuration is used", |o| &mut o.config_from),
        Flag::new("config-only", "Make a configuration only", |o| &mut o.config_only),
        Flag::lettered('d', "driver", "Driver of the network", |o| &mut o.driver),
        Flag::new("gateway", "Gateway of a subnet", |o| &mut o.gateway),
        Flag::new("ingress", "Make a swarm's routing mesh", |o| &mut o.ingress),
        Flag::new("internal", "Cut the network off from the outside", |o| &mut o.internal),
        Flag::new("ip-range", "Part of a subnet that containers get addresses from", |o| &mut o.ip_range),
        Flag::new("ipam-driver", "Driver of address management", |o| &mut o.ipam_driver),
        Flag::new("ipam-opt", "Options of address management", |o| &mut o.ipam_opt),
        Flag::new("ipv4", "Give containers IPv4 addresses", |o| &mut o.ipv4),
        Flag::new("ipv6", "Give containers IPv6 addresses", |o| &mut o.ipv6),
        Flag::new("label", "Label of the network", |o| &mut o.label),
        Flag::lettered('o', "opt", "Options of the driver", |o| &mut o.opt),
        Flag::new("scope", "How far the network reaches", |o| &mut o.scope),
        Flag::new("subnet", "Subnet, address/length", |o| &mut o.subnet),
    ];
}

impl Leaf for Create {
    type Options = CreateFlags;
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a network";
    const USAGE: &'static str = "[OPTIONS] NETWORK";
    const ARITY: Arity = Arity::Exactly(1);

    fn run(app: &App, flags: CreateFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let request = flags.request(&arguments[0])?;
        let answer = app.block_on(app.client()?.create_network(&request))?;
        if !answer.warning.is_empty() {
            eprintln!("WARNING: {}", answer.warning);
        }
        app.line(&answer.id)
    }
}

impl CreateFlags {
    fn request(&self, name: &str) -> Result<CreateRequest, Failure> {
        let labels: Vec<String> = self.label.0.iter().map(|label| label.0.clone()).collect();
        Ok(CreateRequest {
            name: name.to_owned(),
            driver: self.driver.clone(),
            scope: self.scope.clone(),
            enable_ipv4: self.ipv4.given(),
            enable_ipv6: self.ipv6.given(),
            ipam: Some(Ipam {
                driver: self.ipam_driver.clone(),
                options: Some(self.ipam_opt.0.clone()),
                config: Some(self.pools().map_err(Failure::message)?),
            }),
            internal: self.internal,
            attachable: self.attachable,
            ingress: self.ingress,
            config_only: self.config_only,
            config_from: Some(ConfigReference { network: self.config_from.clone() })
                .filter(|from| !from.network.is_empty()),
            options: Some(self.opt.0.clone()),
            labels: Some(pairs_to_map(&labels)),
            ..CreateRequest::default()
        })
    }

    /// A pool for each subnet, with the range, the gateway and the other addresses that lie in it.
    fn pools(&self) -> Result<Vec<IpamConfig>, String> {
        let (subnets, ranges, gateways) = (&self.subnet.0, &self.ip_range.0, &self.gateway.0);
        if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
            return Err("every ip-range or gateway must have a corresponding subnet".to_owned());
        }
        let blocks: Vec<Block> = subnets.iter().map(|text| Block::read(text)).collect::<Result<_, _>>()?;
        for (index, block) in blocks.iter().enumerate() {
            if blocks[..index]
                .iter()
                .any(|other| other.contains(block.address) || block.contains(other.address))
            {
                return Err("multiple overlapping subnet configuration is not supported".to_owned());
            }
        }
        let mut pools: Vec<IpamConfig> = subnets
            .iter()
            .map(|subnet| IpamConfig { subnet: subnet.clone(), ..IpamConfig::default() })
            .collect();
        for range in ranges {
            let pool = find(&blocks, Block::read(range)?.address)
                .ok_or(format!("no matching subnet for range {range}"))?;
            place(&mut pools[pool].ip_range, range, "ranges", "on", &subnets[pool])?;
        }
        for gateway in gateways {
            let pool = address(gateway).and_then(|address| find(&blocks, address));
            let pool = pool.ok_or(format!("no matching subnet for gateway {gateway}"))?;
            place(&mut pools[pool].gateway, gateway, "gateways", "for", &subnets[pool])?;
        }
        for (name, text) in &self.aux_address.0 {
            let pool = address(text).and_then(|address| find(&blocks, address));
            let pool = pool.ok_or(format!("no matching subnet for aux-address {text}"))?;
            let taken: &mut StringMap = pools[pool].auxiliary_addresses.get_or_insert_default();
            taken.insert(name.clone(), text.clone());
        }
        Ok(pools)
    }
}

/// An address range, as far as it is needed to sort addresses into subnets. The engine checks it.
struct Block {
    address: IpAddr,
    prefix: u32,
}

impl Block {
    fn read(text: &str) -> Result<Self, String> {
        let block = text.split_once('/').and_then(|(address, prefix)| {
            let block = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (block.prefix <= bits(block.address)).then_some(block)
        });
        block.ok_or(format!("invalid CIDR address: {text}"))
    }

    fn contains(&self, other: IpAddr) -> bool {
        let differ = number(self.address) ^ number(other);
        let host = bits(self.address) - self.prefix;
        self.address.is_ipv4() == other.is_ipv4() && differ.checked_shr(host).unwrap_or(0) == 0
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn find(blocks: &[Block], address: IpAddr) -> Option<usize> {
    blocks.iter().position(|block| block.contains(address))
}

fn place(slot: &mut String, value: &str, kind: &str, preposition: &str, subnet: &str) -> Result<(), String> {
    if slot.is_empty() {
        value.clone_into(slot);
        return Ok(());
    }
    Err(format!(
        "cannot configure multiple {kind} ({value}, {slot}) {preposition} the same subnet ({subnet})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(subnets: &[&str], ranges: &[&str], gateways: &[&str]) -> CreateFlags {
        let own = |list: &[&str]| Strings(list.iter().map(|text| (*text).to_owned()).collect());
        CreateFlags {
            subnet: own(subnets),
            ip_range: own(ranges),
            gateway: own(gateways),
            ..CreateFlags::default()
        }
    }

    #[test]
    fn addresses_are_sorted_into_subnets() {
        let mut flags = flags(&["10.0.0.0/16", "fd00::/64"], &["10.0.5.0/24"], &["fd00::9", "10.0.0.9"]);
        flags.aux_address.0.insert("printer".to_owned(), "10.0.1.1".to_owned());
        let pools = flags.pools().unwrap();
        assert_eq!((pools[0].ip_range.as_str(), pools[0].gateway.as_str()), ("10.0.5.0/24", "10.0.0.9"));
        assert_eq!(pools[1].gateway, "fd00::9");
        assert_eq!(pools[0].auxiliary_addresses.as_ref().unwrap()["printer"], "10.0.1.1");
    }

    #[test]
    fn addresses_without_a_subnet_are_refused_in_dockers_words() {
        let refused = |subnets: &[&str], ranges: &[&str], gateways: &[&str]| {
            flags(subnets, ranges, gateways).pools().unwrap_err()
        };
        assert!(refused(&[], &["10.0.0.0/24"], &[]).starts_with("every ip-range or gateway"));
        assert_eq!(refused(&["10.0.0.0/33"], &[], &[]), "invalid CIDR address: 10.0.0.0/33");
        assert!(refused(&["10.0.0.0/8", "10.1.0.0/16"], &[], &[]).starts_with("multiple overlapping"));
        assert_eq!(refused(&["10.0.0.0/24"], &[], &["10.0.1.1"]), "no matching subnet for gateway 10.0.1.1");
        assert_eq!(
            refused(&["10.0.0.0/24", "10.1.0.0/24"], &["10.0.0.0/25", "10.0.0.128/25"], &[]),
            "cannot configure multiple ranges (10.0.0.128/25, 10.0.0.0/25) on the same subnet (10.0.0.0/24)"
        );
        assert!(flags(&["::/0", "10.0.0.0/8"], &[], &[]).pools().is_ok());
    }
}
