//! How an engine wants its networks.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::cidr::Cidr;

/// The settings of an engine's networks.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept (`lib/network`); made where it is missing.
    pub state_dir: PathBuf,
    /// The interface of the network named `bridge`; at most 15 bytes. Unique per engine.
    pub bridge: String,
    /// Address and prefix of that interface. `None` takes 172.17.0.1/16 or, where the host has a route into it, the next
    /// free /16 up to 172.31.0.0, then a /20 of 192.168.0.0/16.
    pub bip: Option<Cidr>,
    /// Bytes in a packet; `None` takes the value of the interface with the host's default route, or 1500.
    pub mtu: Option<u32>,
    /// Whether what containers send to the outside carries the host's address (`--ip-masq`).
    pub ip_masq: bool,
    /// Whether forwarding is switched on in the kernel (`--ip-forward`).
    pub ip_forward: bool,
    /// Whether containers on the network named `bridge` reach each other (`--icc`).
    pub icc: bool,
    /// Whether rules are installed at all (`--iptables`). Without, nothing is isolated, masqueraded or published.
    pub firewall: bool,
    /// The name of the nftables table. Unique per engine.
    pub table: String,
    /// Where ports are published that name no host address (`--ip`).
    pub default_binding: IpAddr,
    /// How many sandboxes are kept prepared at most; 0 switches the pool off.
    pub sandbox_pool: usize,
    /// Pools for networks that name no subnet, each with the prefix length of a subnet cut from it; empty takes Docker's.
    pub default_address_pools: Vec<AddressPool>,
}

/// A range from which subnets are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// The range.
    pub base: Cidr,
    /// The prefix length of one subnet.
    pub size: u8,
}

impl Config {
    /// The defaults of an engine that is the only one on its machine.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            bridge: "corten0".to_owned(),
            bip: None,
            mtu: None,
            ip_masq: true,
            ip_forward: true,
            icc: true,
            firewall: true,
            table: "corten".to_owned(),
            default_binding: IpAddr::from([0, 0, 0, 0]),
            sandbox_pool: 16,
            default_address_pools: Vec::new(),
        }
    }
}
