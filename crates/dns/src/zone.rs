//! All that a container's name server knows by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::table::Table;

/// A name that one container has for an address, as `host.docker.internal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name, in small letters.
    pub name: String,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

/// A name that one container has for another of a network (`--link`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The table of the network, by its place in [`Zone::tables`].
    pub table: usize,
    /// The name, in small letters.
    pub name: String,
    /// The name that it stands for, in small letters.
    pub target: String,
}

/// The names that a container can use.
#[derive(Debug)]
pub struct Zone<'a> {
    /// One for each of its networks.
    pub tables: Vec<&'a Table>,
    /// Names of its own.
    pub hosts: &'a [Host],
    /// Names of its own for others.
    pub aliases: &'a [Alias],
    /// Whether names without a dot may be asked outside. Where a user sets `ndots`, resolvers try them again with a domain.
    pub ask_single_names: bool,
}

/// The addresses of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) ipv4: Vec<Ipv4Addr>,
    pub(crate) ipv6: Vec<Ipv6Addr>,
}

impl Zone<'_> {
    /// The addresses of a name, or of a name followed by a dot and its network's name: both may have dots in them.
    /// `None` where nothing here has the name.
    pub(crate) fn addresses(&self, name: &str) -> Option<Addresses> {
        if let Some(host) = self.hosts.iter().find(|host| host.name == name) {
            return Some(Addresses {
                ipv4: host.ipv4.into_iter().collect(),
                ipv6: host.ipv6.into_iter().collect(),
            });
        }
        self.find_in(|_| true, name).or_else(|| {
            let mut splits = name.rmatch_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
            splits.find_map(|(name, network)| self.find_in(|table| table.network() == network, name))
        })
    }

    /// Looks a name up in some of the networks. What the container itself calls others comes first.
    fn find_in(&self, is_asked: impl Fn(&Table) -> bool, name: &str) -> Option<Addresses> {
        let tables = || self.tables.iter().enumerate().filter(|(_, table)| is_asked(table));
        let mut aliases = self.aliases.iter().filter(|alias| alias.name == name);
        let linked = aliases.find_map(|alias| {
            let (_, table) = tables().find(|(place, _)| *place == alias.table)?;
            find(table, &alias.target)
        });
        linked.or_else(|| tables().find_map(|(_, table)| find(table, name)))
    }

    /// The full name of a container with this address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<String> {
        self.tables
            .iter()
            .find_map(|table| table.name_of(address).map(|name| format!("{name}.{}", table.network())))
    }
}

fn find(table: &Table, name: &str) -> Option<Addresses> {
    let mut found: Option<Addresses> = None;
    for (ipv4, ipv6) in table.find(name) {
        let addresses = found.get_or_insert_default();
        addresses.ipv4.extend(ipv4);
        addresses.ipv6.extend(ipv6);
    }
    found
}

/// The address that a name of the reverse domains stands for.
pub(crate) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0; 4];
        let mut parts = digits.split('.').rev();
        for octet in &mut octets {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts.next().is_none().then(|| octets.into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut parts = digits.split('.').rev();
    let mut address: u128 = 0;
    for _ in 0..32 {
        let [digit] = *parts.next()?.as_bytes() else { return None };
        address = address << 4 | u128::from(char::from(digit).to_digit(16)?);
    }
    parts.next().is_none().then(|| Ipv6Addr::from_bits(address).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::tests::table;

    fn lookup(zone: &Zone<'_>, name: &str) -> Option<Vec<String>> {
        let found = zone.addresses(name)?;
        let four = found.ipv4.into_iter().map(|address| address.to_string());
        Some(four.chain(found.ipv6.into_iter().map(|address| address.to_string())).collect())
    }

    #[test]
    fn name_is_found_alone_and_with_its_network() {
        let lab = table("lab", &[("10.1.0.2", "fd00::2", &["web", "a.b"])]);
        let dotted = table("c.d", &[("10.2.0.2", "", &["web", "a"])]);
        let zone = Zone { tables: vec![&lab, &dotted], hosts: &[], aliases: &[], ask_single_names: true };
        let found = |name: &str| lookup(&zone, name).map(|addresses| addresses.join(" "));
        assert_eq!(found("web").as_deref(), Some("10.1.0.2 fd00::2"));
        assert_eq!(found("web.lab").as_deref(), Some("10.1.0.2 fd00::2"));
        assert_eq!(found("web.c.d").as_deref(), Some("10.2.0.2"));
        assert_eq!(found("a.b").as_deref(), Some("10.1.0.2 fd00::2"));
        assert_eq!(found("a.b.lab").as_deref(), Some("10.1.0.2 fd00::2"));
        assert_eq!(found("a.c.d").as_deref(), Some("10.2.0.2"));
        assert_eq!(found("web.d"), None);
        assert_eq!(found("b"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn own_name_is_found_first() {
        let lab = table("lab", &[("10.1.0.2", "", &["gate"])]);
        let hosts = [Host { name: "gate".into(), ipv4: Some([10, 0, 0, 1].into()), ipv6: None }];
        let zone = Zone { tables: vec![&lab], hosts: &hosts, aliases: &[], ask_single_names: true };
        assert_eq!(lookup(&zone, "gate"), Some(vec!["10.0.0.1".to_owned()]));
    }

    #[test]
    fn alias_is_found_first_and_in_its_network_only() {
        let lab = table("lab", &[("10.1.0.2", "", &["web"]), ("10.1.0.3", "", &["db"])]);
        let field = table("field", &[("10.2.0.2", "", &["web"])]);
        let alias =
            |table, name: &str, target: &str| Alias { table, name: name.into(), target: target.into() };
        let aliases = [alias(1, "db", "web"), alias(0, "store", "db"), alias(0, "gone", "nobody")];
        let zone = Zone { tables: vec![&lab, &field], hosts: &[], aliases: &aliases, ask_single_names: true };
        let found = |name: &str| lookup(&zone, name).map(|addresses| addresses.join(" "));
        assert_eq!(found("db").as_deref(), Some("10.2.0.2"));
        assert_eq!(found("db.lab").as_deref(), Some("10.1.0.3"));
        assert_eq!(found("db.field").as_deref(), Some("10.2.0.2"));
        assert_eq!(found("store").as_deref(), Some("10.1.0.3"));
        assert_eq!(found("store.lab").as_deref(), Some("10.1.0.3"));
        assert_eq!(found("store.field"), None);
        assert_eq!(found("gone"), None);
    }

    #[test]
    fn address_has_the_full_name_of_its_container() {
        let lab = table("lab", &[("10.1.0.2", "fd00::2", &["web", "alias"])]);
        let zone = Zone { tables: vec![&lab], hosts: &[], aliases: &[], ask_single_names: true };
        assert_eq!(zone.name_of([10, 1, 0, 2].into()).as_deref(), Some("web.lab"));
        assert_eq!(zone.name_of("fd00::2".parse().unwrap()).as_deref(), Some("web.lab"));
        assert_eq!(zone.name_of([10, 1, 0, 3].into()), None);
    }

    #[test]
    fn reverse_names_are_read_in_both_families() {
        assert_eq!(reversed("2.0.1.10.in-addr.arpa"), Some([10, 1, 0, 2].into()));
        let nibbles: Vec<String> = (0..32).map(|at| if at == 0 { "2" } else { "0" }.to_owned()).collect();
        assert_eq!(reversed(&format!("{}.ip6.arpa", nibbles.join("."))), Some("::2".parse().unwrap()));
        for wrong in
            ["1.10.in-addr.arpa", "5.2.0.1.10.in-addr.arpa", "a.0.1.10.in-addr.arpa", "2.ip6.arpa", "x"]
        {
            assert_eq!(reversed(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn lookup_of_any_name_never_panics(name in "[ -~]{0,255}") {
            let lab = table("lab", &[("10.1.0.2", "", &["web"])]);
            let zone = Zone { tables: vec![&lab], hosts: &[], aliases: &[], ask_single_names: true };
            let _ = (zone.addresses(&name), reversed(&name));
        }
    }
}
