//! An nftables table as plain data, and as text in nft's language.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cidr::Cidr;
use crate::port::Protocol;

/// A table of the `inet` family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

/// A map or set with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Field],
    pub(crate) value: Value,
    /// Whether the keys are networks rather than single addresses.
    pub(crate) interval: bool,
    pub(crate) elements: Vec<Element>,
}

/// What a map gives for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A jump to a chain.
    Verdict,
    /// Fields side by side.
    Fields(&'static [Field]),
}

/// A part of a key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    Interface,
}

/// A value of a [`Field`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Datum {
    Address(IpAddr),
    Network(Cidr),
    Protocol(Protocol),
    Port(u16),
    Interface(String),
}

/// An element of a map or set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<Datum>,
    pub(crate) value: ElementValue,
}

/// What an element's key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ElementValue {
    Verdict(Verdict),
    Fields(Vec<Datum>),
}

/// A chain: where it is hooked, if anywhere, and its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<Vec<Statement>>,
}

/// Where a base chain sees packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) kind: HookKind,
    pub(crate) point: HookPoint,
    pub(crate) priority: i32,
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    Filter,
    Nat,
}

/// The points of a packet's way, with the kernel's numbers for the `inet` family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookPoint {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A part of a rule: something that has to match, or what is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The packet is of this IP version (4 or 6).
    Version(u8),
    /// It came in by this interface (`equal`), or by another.
    InputInterface { name: String, equal: bool },
    /// It goes out by this interface, or by another.
    OutputInterface { name: String, equal: bool },
    /// Its source is in this network.
    Source(Cidr),
    /// Its destination is in this network.
    Destination(Cidr),
    /// Its destination is an address of this host.
    DestinationIsLocal,
    /// Its connection is established, or related to one that is.
    Established,
    /// Its connection was redirected to a container.
    Redirected,
    /// It is of ICMP.
    Icmp { ipv6: bool },
    /// Looks a key up in a verdict map and does what it says.
    VerdictMap { key: KeySource, map: &'static str },
    /// Redirects to the address and port that a map gives for the packet.
    Redirect { with_address: bool, ipv6: bool, map: &'static str },
    /// It is of this protocol and has this port on one side.
    Port { protocol: Protocol, side: Side, port: u16 },
    /// Writes a port into it, without any memory of its connection.
    SetPort { protocol: Protocol, side: Side, port: u16 },
    /// Replaces the source by the outgoing interface's address.
    Masquerade,
    /// Ends the rule.
    Verdict(Verdict),
}

/// A side of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// What of a packet is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    Source4,
    Destination4,
    Source6,
    Destination6,
    InputInterface,
    OutputInterface,
    /// Source and destination.
    Pair4,
    Pair6,
    /// Destination, protocol and port.
    Service4,
    Service6,
    /// Source, destination, protocol and port.
    Link4,
    Link6,
}

/// How a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(String),
}

impl Field {
    /// The kernel's length, padded to whole registers of four bytes.
    pub(crate) fn padded_length(self) -> usize {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port => 4,
            Self::Ipv6 | Self::Interface => 16,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Interface => "ifname",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", self.name)?;
        for set in &self.sets {
            write!(f, "{set}")?;
        }
        for chain in &self.chains {
            write!(f, "{chain}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields =
            |fields: &[Field]| fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(" . ");
        writeln!(f, "\tmap {} {{", self.name)?;
        match self.value {
            Value::Verdict => writeln!(f, "\t\ttype {} : verdict", fields(self.key))?,
            Value::Fields(value) => writeln!(f, "\t\ttype {} : {}", fields(self.key), fields(value))?,
        }
        if self.interval {
            writeln!(f, "\t\tflags interval")?;
        }
        for (number, element) in self.elements.iter().enumerate() {
            let lead = if number == 0 { "elements = {" } else { "            " };
            let end = if number + 1 == self.elements.len() { " }" } else { "," };
            writeln!(f, "\t\t{lead} {element}{end}")?;
        }
        writeln!(f, "\t}}\n")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |data: &[Datum]| data.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ");
        match &self.value {
            ElementValue::Verdict(verdict) => write!(f, "{} : {verdict}", join(&self.key)),
            ElementValue::Fields(value) => write!(f, "{} : {}", join(&self.key), join(value)),
        }
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Network(network) => write!(f, "{network}"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Interface(name) => write!(f, "\"{name}\""),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some(hook) = self.hook {
            writeln!(f, "\t\t{hook} policy accept;")?;
        }
        for rule in &self.rules {
            let words: Vec<String> = rule.iter().map(ToString::to_string).collect();
            writeln!(f, "\t\t{}", words.join(" "))?;
        }
        writeln!(f, "\t}}\n")
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HookKind::Filter => "filter",
            HookKind::Nat => "nat",
        };
        let point = match self.point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Forward => "forward",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        write!(f, "type {kind} hook {point} priority {};", self.priority)
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |equal: &bool| if *equal { "" } else { "!= " };
        match self {
            Self::Version(version) => write!(f, "meta nfproto ipv{version}"),
            Self::InputInterface { name, equal } => write!(f, "iifname {}\"{name}\"", not(equal)),
            Self::OutputInterface { name, equal } => write!(f, "oifname {}\"{name}\"", not(equal)),
            Self::Source(network) => write!(f, "{} saddr {network}", family(network)),
            Self::Destination(network) => write!(f, "{} daddr {network}", family(network)),
            Self::DestinationIsLocal => f.write_str("fib daddr type local"),
            Self::Established => f.write_str("ct state established,related"),
            Self::Redirected => f.write_str("ct status dnat"),
            Self::Icmp { ipv6: false } => f.write_str("meta l4proto icmp"),
            Self::Icmp { ipv6: true } => f.write_str("meta l4proto ipv6-icmp"),
            Self::VerdictMap { key, map } => write!(f, "{key} vmap @{map}"),
            Self::Redirect { with_address, ipv6, map } => {
                let family = if *ipv6 { "ip6" } else { "ip" };
                let address = if *with_address { format!("{family} daddr . ") } else { String::new() };
                write!(f, "dnat {family} to {address}meta l4proto . th dport map @{map}")
            }
            Self::Port { protocol, side, port } => write!(f, "{protocol} {side} {port}"),
            Self::SetPort { protocol, side, port } => write!(f, "{protocol} {side} set {port}"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Verdict(verdict) => write!(f, "{verdict}"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "sport",
            Self::Destination => "dport",
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source4 => "ip saddr",
            Self::Destination4 => "ip daddr",
            Self::Source6 => "ip6 saddr",
            Self::Destination6 => "ip6 daddr",
            Self::InputInterface => "iifname",
            Self::OutputInterface => "oifname",
            Self::Pair4 => "ip saddr . ip daddr",
            Self::Pair6 => "ip6 saddr . ip6 daddr",
            Self::Service4 => "ip daddr . meta l4proto . th dport",
            Self::Service6 => "ip6 daddr . meta l4proto . th dport",
            Self::Link4 => "ip saddr . ip daddr . meta l4proto . th dport",
            Self::Link6 => "ip6 saddr . ip6 daddr . meta l4proto . th dport",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
        }
    }
}

fn family(network: &Cidr) -> &'static str {
    if network.address().is_ipv4() { "ip" } else { "ip6" }
}

/// The network that holds one address only.
pub(crate) fn single(address: IpAddr) -> Cidr {
    let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    Cidr::new(address, bits as u8).expect("an address has as many bits as its family")
}
