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

/// The names that a container can use.
#[derive(Debug)]
pub struct Zone<'a> {
    /// One for each of its networks.
    pub tables: Vec<&'a Table>,
    /// Names of its own.
    pub hosts: &'a [Host],
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
        let anywhere = self.tables.iter().find_map(|table| find(table, name));
        anywhere.or_else(|| {
            let mut splits = name.rmatch_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
            splits.find_map(|(name, network)| {
                let mut tables = self.tables.iter().filter(|table| table.network() == network);
                tables.find_map(|table| find(table, name))
            })
        })
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
        let zone = Zone { tables: vec![&lab, &dotted], hosts: &[], ask_single_names: true };
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
        let zone = Zone { tables: vec![&lab], hosts: &hosts, ask_single_names: true };
        assert_eq!(lookup(&zone, "gate"), Some(vec!["10.0.0.1".to_owned()]));
    }

    #[test]
    fn address_has_the_full_name_of_its_container() {
        let lab = table("lab", &[("10.1.0.2", "fd00::2", &["web", "alias"])]);
        let zone = Zone { tables: vec![&lab], hosts: &[], ask_single_names: true };
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
            let zone = Zone { tables: vec![&lab], hosts: &[], ask_single_names: true };
            let _ = (zone.addresses(&name), reversed(&name));
        }
    }
}
