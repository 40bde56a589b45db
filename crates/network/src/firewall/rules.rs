//! The rules of an engine: which chains and maps its table has, for its networks and their published ports.
//!
//! The base chains are constant. What differs per network is in chains of its own, reached by verdict maps; what differs
//! per published port is one element of a map. So a packet's way does not get longer with the number of networks,
//! containers or ports, and starting a container that publishes nothing changes no rule.

use std::net::IpAddr;

use crate::cidr::Cidr;
use crate::firewall::table::{
    Chain, Datum, Element, ElementValue, Field, Hook, HookKind, HookPoint, KeySource, Set, Statement, Table,
    Value, Verdict, single,
};
use crate::port::Protocol;

use Field::{Interface, Ipv4, Ipv6, Port, Protocol as L4};

const PRIORITY_RAW: i32 = -300;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SRCNAT: i32 = 100;

/// The maps of published ports.
pub(crate) const PORTS_4: &str = "ports4";
pub(crate) const PORTS_6: &str = "ports6";
pub(crate) const PORTS_ANY_4: &str = "ports-any4";
pub(crate) const PORTS_ANY_6: &str = "ports-any6";

/// What the rules need to know of a bridge network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    /// The interface.
    pub(crate) name: String,
    /// Its subnets, each with the bridge's own address.
    pub(crate) subnets: Vec<(Cidr, Option<IpAddr>)>,
    /// Whether containers reach each other.
    pub(crate) icc: bool,
    /// Whether packets to the outside get the host's address.
    pub(crate) masquerade: bool,
    /// Whether nothing passes between it and the outside.
    pub(crate) internal: bool,
}

/// A published port: what arrives at `host` goes to `container`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirection {
    pub(crate) protocol: Protocol,
    /// The host's address; unspecified is every one.
    pub(crate) host: (IpAddr, u16),
    pub(crate) container: (IpAddr, u16),
}

/// The whole table.
pub(crate) fn table(name: &str, bridges: &[Bridge], redirections: &[Redirection]) -> Table {
    Table { name: name.to_owned(), sets: sets(bridges, redirections), chains: chains(bridges) }
}

fn sets(bridges: &[Bridge], redirections: &[Redirection]) -> Vec<Set> {
    let mut sets = vec![
        subnet_map("guard4", &[Ipv4], elements(bridges, |bridge| guard_elements(bridge, false))),
        subnet_map("guard6", &[Ipv6], elements(bridges, |bridge| guard_elements(bridge, true))),
        interface_map("from", elements(bridges, from_elements)),
        interface_map("to", elements(bridges, to_elements)),
        subnet_map("source4", &[Ipv4], elements(bridges, |bridge| source_elements(bridge, false))),
        subnet_map("source6", &[Ipv6], elements(bridges, |bridge| source_elements(bridge, true))),
        port_map(PORTS_4, &[Ipv4, L4, Port], &[Ipv4, Port]),
        port_map(PORTS_ANY_4, &[L4, Port], &[Ipv4, Port]),
        port_map(PORTS_6, &[Ipv6, L4, Port], &[Ipv6, Port]),
        port_map(PORTS_ANY_6, &[L4, Port], &[Ipv6, Port]),
    ];
    for redirection in redirections {
        let (name, element) = port_element(redirection);
        let set = sets.iter_mut().find(|set| set.name == name).expect("the table has every map of ports");
        set.elements.push(element);
    }
    sets
}

/// The map a published port belongs to, and its element.
pub(crate) fn port_element(redirection: &Redirection) -> (&'static str, Element) {
    let (address, port) = redirection.host;
    let name = match (address.is_unspecified(), address.is_ipv4()) {
        (true, true) => PORTS_ANY_4,
        (true, false) => PORTS_ANY_6,
        (false, true) => PORTS_4,
        (false, false) => PORTS_6,
    };
    let mut key = vec![Datum::Protocol(redirection.protocol), Datum::Port(port)];
    if !address.is_unspecified() {
        key.insert(0, Datum::Address(address));
    }
    let (address, port) = redirection.container;
    let value = ElementValue::Fields(vec![Datum::Address(address), Datum::Port(port)]);
    (name, Element { key, value })
}

fn elements(bridges: &[Bridge], of: impl Fn(&Bridge) -> Vec<Element>) -> Vec<Element> {
    bridges.iter().flat_map(of).collect()
}

fn subnet_map(name: &'static str, key: &'static [Field], elements: Vec<Element>) -> Set {
    Set { name, key, value: Value::Verdict, interval: true, elements }
}

fn interface_map(name: &'static str, elements: Vec<Element>) -> Set {
    Set { name, key: &[Interface], value: Value::Verdict, interval: false, elements }
}

fn port_map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> Set {
    Set { name, key, value: Value::Fields(value), interval: false, elements: Vec::new() }
}

/// Without masquerading, answers from outside carry the container's address and must pass; `forward` tells them apart.
fn guard_elements(bridge: &Bridge, ipv6: bool) -> Vec<Element> {
    if bridge.masquerade || bridge.internal { subnet_elements(bridge, ipv6, "guard") } else { Vec::new() }
}

fn source_elements(bridge: &Bridge, ipv6: bool) -> Vec<Element> {
    subnet_elements(bridge, ipv6, "source")
}

fn subnet_elements(bridge: &Bridge, ipv6: bool, chain: &str) -> Vec<Element> {
    let subnets = bridge.subnets.iter().filter(|(subnet, _)| subnet.address().is_ipv6() == ipv6);
    subnets
        .map(|(subnet, _)| Element {
            key: vec![Datum::Network(subnet.network())],
            value: ElementValue::Verdict(Verdict::Jump(chain_name(chain, bridge))),
        })
        .collect()
}

fn from_elements(bridge: &Bridge) -> Vec<Element> {
    if bridge.internal { vec![interface_element(bridge, "from")] } else { Vec::new() }
}

fn to_elements(bridge: &Bridge) -> Vec<Element> {
    vec![interface_element(bridge, "to")]
}

fn interface_element(bridge: &Bridge, chain: &str) -> Element {
    Element {
        key: vec![Datum::Interface(bridge.name.clone())],
        value: ElementValue::Verdict(Verdict::Jump(chain_name(chain, bridge))),
    }
}

fn chain_name(kind: &str, bridge: &Bridge) -> String {
    format!("{kind}-{}", bridge.name)
}

/// Chains before those that jump to them: the kernel wants a target to exist.
fn chains(bridges: &[Bridge]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = bridges.iter().flat_map(bridge_chains).collect();
    chains.push(Chain { name: "publish".to_owned(), hook: None, rules: publish_rules() });
    chains.push(base("raw-prerouting", HookKind::Filter, HookPoint::Prerouting, PRIORITY_RAW, raw_rules()));
    chains.push(base("forward", HookKind::Filter, HookPoint::Forward, PRIORITY_FILTER, forward_rules()));
    let to_publish = || vec![vec![Statement::DestinationIsLocal, jump("publish")]];
    chains.push(base("nat-prerouting", HookKind::Nat, HookPoint::Prerouting, PRIORITY_DSTNAT, to_publish()));
    chains.push(base("nat-output", HookKind::Nat, HookPoint::Output, PRIORITY_DSTNAT, to_publish()));
    chains.push(base(
        "nat-postrouting",
        HookKind::Nat,
        HookPoint::Postrouting,
        PRIORITY_SRCNAT,
        postrouting_rules(),
    ));
    chains
}

fn base(name: &str, kind: HookKind, point: HookPoint, priority: i32, rules: Vec<Vec<Statement>>) -> Chain {
    Chain { name: name.to_owned(), hook: Some(Hook { kind, point, priority }), rules }
}

fn bridge_chains(bridge: &Bridge) -> Vec<Chain> {
    let chain = |kind, rules| Chain { name: chain_name(kind, bridge), hook: None, rules };
    vec![
        chain("guard", guard_rules(bridge)),
        chain("from", from_rules(bridge)),
        chain("to", to_rules(bridge)),
        chain("source", source_rules(bridge)),
    ]
}

/// Before routing: nothing on the wire may name the loopback network, and a container's address is known on its bridge
/// only.
fn raw_rules() -> Vec<Vec<Statement>> {
    let loopback: Cidr = "127.0.0.0/8".parse().expect("a valid CIDR address");
    let not_loopback = Statement::InputInterface { name: "lo".to_owned(), equal: false };
    vec![
        vec![not_loopback, Statement::Destination(loopback), verdict(Verdict::Drop)],
        vec![Statement::VerdictMap { key: KeySource::Destination4, map: "guard4" }],
        vec![Statement::VerdictMap { key: KeySource::Destination6, map: "guard6" }],
    ]
}

fn guard_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    let mut rules = vec![vec![input(bridge, true), verdict(Verdict::Return)]];
    // The bridge's own address is one of the host's; whether it can be reached is not a question of containers.
    for gateway in bridge.subnets.iter().filter_map(|(_, gateway)| *gateway) {
        rules.push(vec![Statement::Destination(single(gateway)), verdict(Verdict::Return)]);
    }
    rules.push(vec![verdict(Verdict::Drop)]);
    rules
}

fn forward_rules() -> Vec<Vec<Statement>> {
    vec![
        vec![Statement::Established, verdict(Verdict::Accept)],
        vec![Statement::VerdictMap { key: KeySource::InputInterface, map: "from" }],
        vec![Statement::VerdictMap { key: KeySource::OutputInterface, map: "to" }],
    ]
}

fn from_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    if bridge.internal { vec![vec![output(bridge, false), verdict(Verdict::Drop)]] } else { Vec::new() }
}

fn to_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    let within = if bridge.icc { Verdict::Accept } else { Verdict::Drop };
    let mut rules = Vec::new();
    if !bridge.internal {
        rules.push(vec![Statement::Redirected, verdict(Verdict::Accept)]);
    }
    rules.push(vec![input(bridge, true), verdict(within)]);
    rules.push(vec![verdict(Verdict::Drop)]);
    rules
}

/// A port published on every address of the host is found by protocol and port alone; one that names an address wins.
fn publish_rules() -> Vec<Vec<Statement>> {
    let redirect = |with_address, ipv6, map| {
        let version = if ipv6 { 6 } else { 4 };
        vec![Statement::Version(version), Statement::Redirect { with_address, ipv6, map }]
    };
    vec![
        redirect(true, false, PORTS_4),
        redirect(false, false, PORTS_ANY_4),
        redirect(true, true, PORTS_6),
        redirect(false, true, PORTS_ANY_6),
    ]
}

fn postrouting_rules() -> Vec<Vec<Statement>> {
    let loopback: Cidr = "127.0.0.0/8".parse().expect("a valid CIDR address");
    vec![
        // The host's own connection to a published port by 127.0.0.1: the container must be able to answer.
        vec![Statement::Source(loopback), Statement::Redirected, Statement::Masquerade],
        vec![Statement::VerdictMap { key: KeySource::Source4, map: "source4" }],
        vec![Statement::VerdictMap { key: KeySource::Source6, map: "source6" }],
    ]
}

/// A container that reaches another of its network, or itself, by a published port must see the answer come from there.
fn source_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    let mut rules = vec![vec![output(bridge, true), Statement::Redirected, Statement::Masquerade]];
    if bridge.masquerade && !bridge.internal {
        rules.push(vec![output(bridge, false), Statement::Masquerade]);
    }
    rules
}

fn input(bridge: &Bridge, equal: bool) -> Statement {
    Statement::InputInterface { name: bridge.name.clone(), equal }
}

fn output(bridge: &Bridge, equal: bool) -> Statement {
    Statement::OutputInterface { name: bridge.name.clone(), equal }
}

fn verdict(verdict: Verdict) -> Statement {
    Statement::Verdict(verdict)
}

fn jump(chain: &str) -> Statement {
    verdict(Verdict::Jump(chain.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> Bridge {
        Bridge {
            name: "corten0".to_owned(),
            subnets: vec![(
                "172.17.0.0/16".parse().expect("a subnet"),
                Some("172.17.0.1".parse().expect("an address")),
            )],
            icc: true,
            masquerade: true,
            internal: false,
        }
    }

    fn chain(bridge: &Bridge, name: &str) -> String {
        let table = table("corten", std::slice::from_ref(bridge), &[]);
        let chain = table.chains.iter().find(|chain| chain.name == name).expect("the chain exists");
        chain.to_string()
    }

    #[test]
    fn table_with_a_bridge_and_ports_is_complete() {
        let port = |host: &str, port| Redirection {
            protocol: Protocol::Tcp,
            host: (host.parse().expect("an address"), port),
            container: ("172.17.0.2".parse().expect("an address"), 80),
        };
        let table = table("corten", &[bridge()], &[port("0.0.0.0", 8080), port("127.0.0.1", 8081)]);
        assert_eq!(table.to_string(), include_str!("testdata/one-bridge.nft"));
    }

    #[test]
    fn internal_bridge_forwards_only_within_itself() {
        let internal = Bridge { internal: true, ..bridge() };
        assert_eq!(
            chain(&internal, "from-corten0"),
            "\tchain from-corten0 {\n\t\toifname != \"corten0\" drop\n\t}\n\n"
        );
        assert_eq!(
            chain(&internal, "to-corten0"),
            "\tchain to-corten0 {\n\t\tiifname \"corten0\" accept\n\t\tdrop\n\t}\n\n"
        );
    }

    #[test]
    fn bridge_without_inter_container_traffic_drops_it_but_not_redirected_packets() {
        let closed = Bridge { icc: false, ..bridge() };
        assert_eq!(
            chain(&closed, "to-corten0"),
            "\tchain to-corten0 {\n\t\tct status dnat accept\n\t\tiifname \"corten0\" drop\n\t\tdrop\n\t}\n\n"
        );
    }

    #[test]
    fn bridge_without_masquerade_lets_answers_through_the_guard() {
        let plain = Bridge { masquerade: false, ..bridge() };
        let table = table("corten", &[plain], &[]);
        let guard = table.sets.iter().find(|set| set.name == "guard4").expect("the map exists");
        assert!(guard.elements.is_empty());
    }
}
