//! What can go wrong.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::cidr::Cidr;
use crate::port::Protocol;

/// Why something could not be done with a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No network has this name or ID.
    #[error("network {0} not found")]
    NotFound(String),
    /// The beginning of an ID fits several networks.
    #[error("network {0} is ambiguous ({1} matches found based on ID prefix)")]
    Ambiguous(String, usize),
    /// The network has this driver, which cannot do this.
    #[error("{action} is not supported by network {network}")]
    Unsupported {
        /// The network's name.
        network: String,
        /// What was asked.
        action: &'static str,
    },
    /// The container is connected already.
    #[error("endpoint with name {container} already exists in network {network}")]
    AlreadyConnected {
        /// The container's name.
        container: String,
        /// The network's name.
        network: String,
    },
    /// A wanted address is taken.
    #[error("Address already in use")]
    AddressInUse(IpAddr),
    /// A wanted address cannot be had on the network.
    #[error("no configured subnet contains IP address {0}")]
    AddressOutOfRange(IpAddr),
    /// All addresses of a subnet are taken.
    #[error("no available IPv{family} addresses on this network's address pools: {network} ({id})")]
    AddressesExhausted {
        /// 4 or 6.
        family: u8,
        /// The network's name.
        network: String,
        /// Its ID.
        id: String,
    },
    /// No subnet could be found that the host has no route into.
    #[error("all predefined address pools have been fully subnetted")]
    SubnetsExhausted,
    /// A subnet is used by something else.
    #[error("Pool overlaps with other one on this address space: {0}")]
    SubnetOverlaps(Cidr),
    /// A published port is taken.
    #[error("Bind for {host_ip}:{port} failed: port is already allocated")]
    PortAllocated {
        /// The host's address.
        host_ip: IpAddr,
        /// The port.
        port: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// A port cannot be had from the kernel: another program has it, or the address is not one of the host's.
    #[error("failed to bind host port {}/{protocol}: {}", SocketAddr::new(*host_ip, *port), words(source))]
    PortUnavailable {
        /// The host's address.
        host_ip: IpAddr,
        /// The port.
        port: u16,
        /// The protocol.
        protocol: Protocol,
        /// What the kernel says.
        source: io::Error,
    },
    /// An endpoint's ports could not be published.
    #[error("driver failed programming external connectivity on endpoint {container} ({endpoint}): {source}")]
    Publish {
        /// The container's name.
        container: String,
        /// The endpoint's ID.
        endpoint: String,
        /// Why not.
        source: Box<Error>,
    },
    /// A setting cannot be used.
    #[error("invalid {setting}: {value}: {reason}")]
    InvalidSetting {
        /// Which.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// A driver option cannot be used.
    #[error("invalid driver option {name}={value}: {reason}")]
    InvalidOption {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// A port is to be published on an address of a family that the container does not have.
    #[error("cannot publish a port on {host_ip}: the container has no such address on network {network}")]
    NoAddressForPort {
        /// The host's address.
        host_ip: IpAddr,
        /// The network's name.
        network: String,
    },
    /// Another network's containers share this interface.
    #[error("network {network} is already using parent interface {parent}")]
    ParentTaken {
        /// The network that has it.
        network: String,
        /// The interface.
        parent: String,
    },
    /// A network of this name exists.
    #[error("network with name {0} already exists")]
    NameTaken(String),
    /// Users cannot make a network of this name.
    #[error("operation is not permitted on predefined {0} network ")]
    Predefined(String),
    /// Predefined networks cannot be removed.
    #[error("{0} is a pre-defined network and cannot be removed")]
    PredefinedRemoval(String),
    /// Containers are connected to the network.
    #[error("error while removing network: network {network} has active endpoints ({})", endpoints.join(", "))]
    ActiveEndpoints {
        /// The network's name.
        network: String,
        /// What is connected, as `name:"…" id:"…"`.
        endpoints: Vec<String>,
    },
    /// A new network's settings do not fit together.
    #[error("invalid network config:\n{}", .0.join("\n"))]
    InvalidNetwork(Vec<String>),
    /// No such driver.
    #[error("network driver {0:?} is not supported")]
    UnsupportedDriver(String),
    /// The kernel lacks something.
    #[error("the kernel has no support for {feature}; {hint}")]
    KernelFeature {
        /// What it lacks.
        feature: &'static str,
        /// What would help.
        hint: &'static str,
    },
    /// A file could not be read or written.
    #[error("{action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A request about an interface, an address or a route was refused.
    #[error("{action} {subject}")]
    Link {
        /// What was tried.
        action: &'static str,
        /// The interface or address.
        subject: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// A network namespace could not be made or entered.
    #[error("{action} network namespace")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The firewall's rules could not be changed.
    #[error("change nftables table {table}")]
    Firewall {
        /// The table.
        table: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// Records could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The kernel's refusal of a port in the words that Docker's clients know.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
        _ => error.to_string(),
    }
}
