//! Networks of an engine: who has which address, the network namespaces containers run in, the bridges between them, and
//! the firewall rules that connect them to the outside.
//!
//! It is *not* a name server, although it opens the sockets of one ([`NameSockets`]), and it does not write the container's
//! files; [`files`] has their contents.
//!
//! # Words
//!
//! A *network* is what containers join; a *sandbox* is the network namespace of one container; an *endpoint* is a
//! sandbox's connection to a network: a veth pair whose one end is `eth0` in the sandbox and whose other end is a port of
//! the network's bridge.
//!
//! # Nothing to leak
//!
//! A namespace has no file: it is an open descriptor, which the container's supervisor holds. When the last holder is gone
//! the kernel removes the namespace and both ends of its veth pairs. What this crate leaves in the kernel on purpose are
//! the bridges and one nftables table, so that containers stay reachable while no engine runs.
//!
//! # Other programs' rules
//!
//! Our table only ever drops packets to or from our bridges and packets for the loopback network that arrive from a wire.
//! Others are not so modest: a container engine or a host firewall that sets iptables' chain FORWARD to DROP cuts off every
//! bridge of the machine. [`Networks::verify_rules`] notices that and lets our bridges through, by two rules each at the top
//! of that chain. With `iptables-legacy`, whose rules nftables does not show, this has to be done by hand.
//!
//! # Disk
//!
//! `<state_dir>/networks.db` holds the networks. Addresses in use are not stored: they are rebuilt at start from the
//! endpoints of the containers that still run, and an interface that belongs to none of them is removed.
//!
//! All calls block; they need `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`.

mod bridge;
mod cidr;
mod config;
mod connect;
mod create;
mod endpoint;
mod error;
pub mod files;
mod firewall;
mod id;
mod ipam;
mod link;
mod mac;
mod macvlan;
mod namespace;
mod netlink;
mod networks;
mod options;
mod plan;
mod pool;
mod port;
mod port_allocator;
mod predefined;
mod record;
mod resolver;
mod sandbox;
mod state;

pub use cidr::{Cidr, InvalidCidr};
pub use config::{AddressPool, Config};
pub use create::{NetworkRequest, SubnetRequest};
pub use endpoint::{EndpointInfo, EndpointRequest, Sandbox};
pub use error::Error;
pub use mac::{InvalidMacAddress, MacAddress};
pub use networks::{Networks, RulesState, namespace_of};
pub use plan::Plan;
pub use pool::PoolStatus;
pub use port::{LinkedPort, PortBinding, Protocol, PublishedPort, RelayedPort};
pub use record::{Driver, Ipam, IpamConfig, NetworkRecord, Scope};
pub use resolver::NameSockets;
