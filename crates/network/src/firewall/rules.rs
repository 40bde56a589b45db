//! The rules of an engine: which chains and maps its table has, for its networks and their published ports.
//!
//! The base chains are constant. What differs per network is in chains of its own, reached by verdict maps; what differs
//! per published port is one element of a map. So a packet's way does not get longer with the number of networks,
//! containers or ports, and starting a container that publishes nothing changes no rule.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::cidr::Cidr;
use crate::firewall::table::{
    Chain, Datum, Element, ElementValue, Field, Hook, HookKind, HookPoint, KeySource, Set, Statement, Table,
    Value, Verdict, single,
};
use crate::options::GatewayMode;
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
/// The maps of ports that are reached at the container's own address, on routed networks.
pub(crate) const OPEN_4: &str = "open4";
pub(crate) const OPEN_6: &str = "open6";
/// The maps of ports that one container reaches of another where containers reach nothing else of each other.
const LINKS_4: &str = "links4";
const LINKS_6: &str = "links6";
/// All maps with an element for each port that is let through.
pub(crate) const PORT_MAPS: [&str; 8] =
    [PORTS_4, PORTS_6, PORTS_ANY_4, PORTS_ANY_6, OPEN_4, OPEN_6, LINKS_4, LINKS_6];
/// The containers that publish ports, by source and destination of a packet of their own to themselves.
const SELF_4: &str = "self4";
const SELF_6: &str = "self6";
/// Our bridges: what comes from one, or goes to one, is decided about by `forward`.
const INNER: &str = "inner";
/// Our bridges, where they have no business.
const FENCE: &str = "fence";
const HAIRPIN: &str = "hairpin";

/// What the rules need to know of a bridge network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    /// The interface.
    pub(crate) name: String,
    pub(crate) subnets: Vec<Subnet>,
    /// Whether containers reach each other.
    pub(crate) icc: bool,
    /// Whether packets to the outside get the host's address.
    pub(crate) masquerade: bool,
    /// Whether nothing passes between it and the outside.
    pub(crate) internal: bool,
    /// Whether packets between its containers pass the firewall too.
    pub(crate) bridged: bool,
}

/// A subnet of a bridge network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub(crate) network: Cidr,
    /// The bridge's own address.
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) mode: GatewayMode,
}

/// A port that is let through: what arrives at `host` goes to `container`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirection {
    pub(crate) protocol: Protocol,
    /// The host's address, unspecified for every one; `None` where the port is reached at the container's own address.
    pub(crate) host: Option<(IpAddr, u16)>,
    /// The one container that it is let through for, where it is a link.
    pub(crate) client: Option<IpAddr>,
    pub(crate) container: (IpAddr, u16),
}

/// The whole table.
pub(crate) fn table(name: &str, bridges: &[Bridge], redirections: &[Redirection]) -> Table {
    Table { name: name.to_owned(), sets: sets(bridges, redirections), chains: chains(bridges) }
}

/// What one network adds to the table.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) chains: Vec<Chain>,
    /// Elements by the map they belong to, and whether its keys are networks.
    pub(crate) elements: Vec<(&'static str, bool, Vec<Element>)>,
}

impl Part {
    pub(crate) fn rule_count(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }
}

/// The part of the table that belongs to one network.
pub(crate) fn part(bridge: &Bridge) -> Part {
    let elements = vec![
        ("guard4", true, guard_elements(bridge, false)),
        ("guard6", true, guard_elements(bridge, true)),
        ("from", false, from_elements(bridge)),
        ("to", false, to_elements(bridge)),
        (INNER, false, vec![verdict_element(bridge, Verdict::Accept)]),
        (FENCE, false, vec![verdict_element(bridge, Verdict::Drop)]),
        ("source4", true, source_elements(bridge, false)),
        ("source6", true, source_elements(bridge, true)),
    ];
    Part { chains: bridge_chains(bridge), elements }
}

fn sets(bridges: &[Bridge], redirections: &[Redirection]) -> Vec<Set> {
    let mut sets = vec![
        subnet_map("guard4", &[Ipv4]),
        subnet_map("guard6", &[Ipv6]),
        verdict_map("from", &[Interface]),
        verdict_map("to", &[Interface]),
        verdict_map(INNER, &[Interface]),
        verdict_map(FENCE, &[Interface]),
        subnet_map("source4", &[Ipv4]),
        subnet_map("source6", &[Ipv6]),
        port_map(PORTS_4, &[Ipv4, L4, Port], &[Ipv4, Port]),
        port_map(PORTS_ANY_4, &[L4, Port], &[Ipv4, Port]),
        port_map(PORTS_6, &[Ipv6, L4, Port], &[Ipv6, Port]),
        port_map(PORTS_ANY_6, &[L4, Port], &[Ipv6, Port]),
        verdict_map(OPEN_4, &[Ipv4, L4, Port]),
        verdict_map(OPEN_6, &[Ipv6, L4, Port]),
        verdict_map(LINKS_4, &[Ipv4, Ipv4, L4, Port]),
        verdict_map(LINKS_6, &[Ipv6, Ipv6, L4, Port]),
        verdict_map(SELF_4, &[Ipv4, Ipv4]),
        verdict_map(SELF_6, &[Ipv6, Ipv6]),
    ];
    let of_bridges = bridges.iter().flat_map(|bridge| part(bridge).elements);
    let of_bridges = of_bridges.map(|(name, _, elements)| (name, elements));
    for (name, elements) in of_bridges.chain(port_elements(redirections)) {
        let set = sets.iter_mut().find(|set| set.name == name).expect("the table has every map");
        set.elements.extend(elements);
    }
    sets
}

/// The elements of published ports, by the map they belong to.
pub(crate) fn port_elements(redirections: &[Redirection]) -> BTreeMap<&'static str, Vec<Element>> {
    let mut maps: BTreeMap<&'static str, Vec<Element>> = BTreeMap::new();
    for redirection in redirections {
        let (name, element) = match (redirection.client, redirection.host) {
            (Some(client), _) => link_element(redirection, client),
            (None, Some(host)) => redirected_element(redirection, host),
            (None, None) => open_element(redirection),
        };
        maps.entry(name).or_default().push(element);
        if redirection.host.is_some() {
            let (name, element) = self_element(redirection.container.0);
            let elements = maps.entry(name).or_default();
            // A container's ports come one after the other; one element is for all of them.
            if elements.last() != Some(&element) {
                elements.push(element);
            }
        }
    }
    maps
}

fn open_element(redirection: &Redirection) -> (&'static str, Element) {
    let (address, port) = redirection.container;
    let key = vec![Datum::Address(address), Datum::Protocol(redirection.protocol), Datum::Port(port)];
    let name = if address.is_ipv4() { OPEN_4 } else { OPEN_6 };
    (name, Element { key, value: ElementValue::Verdict(Verdict::Accept) })
}

fn link_element(redirection: &Redirection, client: IpAddr) -> (&'static str, Element) {
    let (name, mut element) = open_element(redirection);
    element.key.insert(0, Datum::Address(client));
    (if name == OPEN_4 { LINKS_4 } else { LINKS_6 }, element)
}

fn self_element(address: IpAddr) -> (&'static str, Element) {
    let key = vec![Datum::Address(address), Datum::Address(address)];
    let name = if address.is_ipv4() { SELF_4 } else { SELF_6 };
    (name, Element { key, value: ElementValue::Verdict(Verdict::Jump(HAIRPIN.to_owned())) })
}

fn redirected_element(redirection: &Redirection, (address, port): (IpAddr, u16)) -> (&'static str, Element) {
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

fn subnet_map(name: &'static str, key: &'static [Field]) -> Set {
    Set { interval: true, ..verdict_map(name, key) }
}

fn verdict_map(name: &'static str, key: &'static [Field]) -> Set {
    Set { name, key, value: Value::Verdict, interval: false, elements: Vec::new() }
}

fn port_map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> Set {
    Set { name, key, value: Value::Fields(value), interval: false, elements: Vec::new() }
}

/// Without masquerading, answers from outside carry the container's address and must pass; `forward` tells them apart.
fn guard_elements(bridge: &Bridge, ipv6: bool) -> Vec<Element> {
    let guarded = |subnet: &Subnet| bridge.internal || bridge.masquerade && subnet.mode == GatewayMode::Nat;
    subnet_elements(bridge, ipv6, "guard", guarded)
}

fn source_elements(bridge: &Bridge, ipv6: bool) -> Vec<Element> {
    subnet_elements(bridge, ipv6, "source", |_| true)
}

fn subnet_elements(
    bridge: &Bridge,
    ipv6: bool,
    chain: &str,
    wanted: impl Fn(&Subnet) -> bool,
) -> Vec<Element> {
    let subnets = bridge.subnets.iter();
    let subnets = subnets.filter(|subnet| subnet.network.address().is_ipv6() == ipv6 && wanted(subnet));
    subnets
        .map(|subnet| Element {
            key: vec![Datum::Network(subnet.network.network())],
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
    verdict_element(bridge, Verdict::Jump(chain_name(chain, bridge)))
}

fn verdict_element(bridge: &Bridge, verdict: Verdict) -> Element {
    Element { key: vec![Datum::Interface(bridge.name.clone())], value: ElementValue::Verdict(verdict) }
}

fn chain_name(kind: &str, bridge: &Bridge) -> String {
    format!("{kind}-{}", bridge.name)
}

/// Those of the networks last, in the order in which the networks were made: so the table is the same however it grew.
fn chains(bridges: &[Bridge]) -> Vec<Chain> {
    let to_publish = || vec![vec![Statement::DestinationIsLocal, jump("publish")]];
    let mut chains = vec![
        Chain { name: "publish".to_owned(), hook: None, rules: publish_rules() },
        Chain { name: HAIRPIN.to_owned(), hook: None, rules: vec![vec![Statement::Masquerade]] },
        base("raw-prerouting", HookKind::Filter, HookPoint::Prerouting, PRIORITY_RAW, raw_rules()),
        base("forward", HookKind::Filter, HookPoint::Forward, PRIORITY_FILTER, forward_rules()),
        base("nat-prerouting", HookKind::Nat, HookPoint::Prerouting, PRIORITY_DSTNAT, to_publish()),
        base("nat-output", HookKind::Nat, HookPoint::Output, PRIORITY_DSTNAT, to_publish()),
        base("nat-postrouting", HookKind::Nat, HookPoint::Postrouting, PRIORITY_SRCNAT, postrouting_rules()),
    ];
    chains.extend(bridges.iter().flat_map(bridge_chains));
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

/// Before routing: nothing on the wire may name the loopback network, and a container's address is known on our bridges
/// only. From one bridge to another pass answers, and by the rules of `forward` nothing else.
fn raw_rules() -> Vec<Vec<Statement>> {
    let loopback: Cidr = "127.0.0.0/8".parse().expect("a valid CIDR address");
    let not_loopback = Statement::InputInterface { name: "lo".to_owned(), equal: false };
    vec![
        vec![not_loopback, Statement::Destination(loopback), verdict(Verdict::Drop)],
        vec![Statement::VerdictMap { key: KeySource::InputInterface, map: INNER }],
        vec![Statement::VerdictMap { key: KeySource::Destination4, map: "guard4" }],
        vec![Statement::VerdictMap { key: KeySource::Destination6, map: "guard6" }],
    ]
}

fn guard_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    // The bridge's own address is one of the host's; whether it can be reached is not a question of containers.
    let gateways = bridge.subnets.iter().filter_map(|subnet| subnet.gateway);
    let mut rules: Vec<_> = gateways
        .map(|gateway| vec![Statement::Destination(single(gateway)), verdict(Verdict::Return)])
        .collect();
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
    if !bridge.icc {
        let linked = [(KeySource::Link4, LINKS_4), (KeySource::Link6, LINKS_6)];
        rules.extend(linked.map(|(key, map)| vec![input(bridge, true), Statement::VerdictMap { key, map }]));
    }
    rules.push(vec![input(bridge, true), verdict(within)]);
    if !bridge.internal {
        rules.extend(bridge.subnets.iter().flat_map(open_rules));
    }
    rules.push(vec![verdict(Verdict::Drop)]);
    rules
}

/// What may reach the containers of a subnet at their own addresses.
fn open_rules(subnet: &Subnet) -> Vec<Vec<Statement>> {
    let ipv6 = subnet.network.address().is_ipv6();
    let in_subnet = || Statement::Destination(subnet.network.network());
    match subnet.mode {
        GatewayMode::Routed => {
            let (key, map) = if ipv6 { (KeySource::Service6, OPEN_6) } else { (KeySource::Service4, OPEN_4) };
            vec![
                vec![Statement::VerdictMap { key, map }],
                vec![in_subnet(), Statement::Icmp { ipv6 }, verdict(Verdict::Accept)],
            ]
        }
        GatewayMode::NatUnprotected => vec![
            vec![in_subnet(), Statement::VerdictMap { key: KeySource::InputInterface, map: FENCE }],
            vec![in_subnet(), verdict(Verdict::Accept)],
        ],
        GatewayMode::Nat | GatewayMode::Isolated => Vec::new(),
    }
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
        // The kernel lets nothing from this address leave the host. Supervisors relay what goes there.
        vec![Statement::Destination(single(Ipv6Addr::LOCALHOST.into())), verdict(Verdict::Return)],
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

/// What a container sends. Where it reaches another of its network by a published port, the answer has to pass the
/// firewall again; where bridged packets do not, the bridge's address stands for the container's, as it does in any case
/// for one that reaches itself. In another of our networks the container is seen by its own address.
fn source_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    let hairpin = || vec![output(bridge, true), Statement::Redirected];
    let itself = |key, map| [hairpin(), vec![Statement::VerdictMap { key, map }]].concat();
    let mut rules = if bridge.bridged {
        vec![itself(KeySource::Pair4, SELF_4), itself(KeySource::Pair6, SELF_6)]
    } else {
        vec![[hairpin(), vec![Statement::Masquerade]].concat()]
    };
    rules.push(vec![
        Statement::Redirected,
        Statement::VerdictMap { key: KeySource::OutputInterface, map: INNER },
    ]);
    if bridge.masquerade && !bridge.internal {
        rules.extend(masquerade_rules(bridge));
    }
    rules
}

fn masquerade_rules(bridge: &Bridge) -> Vec<Vec<Statement>> {
    let to_outside = || vec![output(bridge, false), Statement::Masquerade];
    if bridge.subnets.iter().all(|subnet| subnet.mode != GatewayMode::Routed) {
        return vec![to_outside()];
    }
    let others = bridge.subnets.iter().filter(|subnet| subnet.mode != GatewayMode::Routed);
    others.map(|subnet| [vec![Statement::Source(subnet.network.network())], to_outside()].concat()).collect()
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

    fn subnet(mode: GatewayMode) -> Subnet {
        Subnet {
            network: "172.17.0.0/16".parse().expect("a subnet"),
            gateway: Some("172.17.0.1".parse().expect("an address")),
            mode,
        }
    }

    fn bridge() -> Bridge {
        Bridge {
            name: "corten0".to_owned(),
            subnets: vec![subnet(GatewayMode::Nat)],
            icc: true,
            masquerade: true,
            internal: false,
            bridged: false,
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
            host: Some((host.parse().expect("an address"), port)),
            client: None,
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
            "\tchain to-corten0 {\n\t\tct status dnat accept\n\
             \t\tiifname \"corten0\" ip saddr . ip daddr . meta l4proto . th dport vmap @links4\n\
             \t\tiifname \"corten0\" ip6 saddr . ip6 daddr . meta l4proto . th dport vmap @links6\n\
             \t\tiifname \"corten0\" drop\n\t\tdrop\n\t}\n\n"
        );
        let link = Redirection {
            protocol: Protocol::Tcp,
            host: None,
            client: Some("172.17.0.3".parse().unwrap()),
            container: ("172.17.0.2".parse().unwrap(), 80),
        };
        let table = table("corten", &[closed], &[link]).to_string();
        assert!(table.contains("172.17.0.3 . 172.17.0.2 . tcp . 80 : accept"), "{table}");
    }

    #[test]
    fn bridge_without_masquerade_lets_answers_through_the_guard() {
        let plain = Bridge { masquerade: false, ..bridge() };
        let table = table("corten", &[plain], &[]);
        let guard = table.sets.iter().find(|set| set.name == "guard4").expect("the map exists");
        assert!(guard.elements.is_empty());
    }

    #[test]
    fn routed_bridge_opens_its_published_ports_and_masquerades_nothing() {
        let routed = Bridge { subnets: vec![subnet(GatewayMode::Routed)], ..bridge() };
        assert_eq!(
            chain(&routed, "to-corten0"),
            "\tchain to-corten0 {\n\t\tct status dnat accept\n\t\tiifname \"corten0\" accept\n\
             \t\tip daddr . meta l4proto . th dport vmap @open4\n\
             \t\tip daddr 172.17.0.0/16 meta l4proto icmp accept\n\t\tdrop\n\t}\n\n"
        );
        let source = chain(&routed, "source-corten0");
        assert!(!source.contains("oifname != \"corten0\" masquerade"), "{source}");
        let open = Redirection {
            protocol: Protocol::Tcp,
            host: None,
            client: None,
            container: ("172.17.0.2".parse().unwrap(), 80),
        };
        let table = table("corten", &[routed], &[open]).to_string();
        assert!(table.contains("172.17.0.2 . tcp . 80 : accept"), "{table}");
    }

    #[test]
    fn unprotected_bridge_lets_everything_in_but_our_other_bridges() {
        let open = Bridge { subnets: vec![subnet(GatewayMode::NatUnprotected)], ..bridge() };
        assert_eq!(
            chain(&open, "to-corten0"),
            "\tchain to-corten0 {\n\t\tct status dnat accept\n\t\tiifname \"corten0\" accept\n\
             \t\tip daddr 172.17.0.0/16 iifname vmap @fence\n\
             \t\tip daddr 172.17.0.0/16 accept\n\t\tdrop\n\t}\n\n"
        );
    }

    #[test]
    fn bridge_whose_packets_pass_the_firewall_shows_true_addresses() {
        let bridged = chain(&Bridge { bridged: true, ..bridge() }, "source-corten0");
        assert!(
            bridged.contains("oifname \"corten0\" ct status dnat ip saddr . ip daddr vmap @self4"),
            "{bridged}"
        );
        assert!(!bridged.contains("ct status dnat masquerade"), "{bridged}");
    }
}
