//! The names of one network, in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Its names, the container's own first. Other containers may have the same ones.
    pub names: Vec<String>,
}

/// The names of one network. A name may lead to several containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    network: String,
    /// Names in small letters with the numbers of their endpoints, in order.
    names: Vec<(Box<str>, u32)>,
    endpoints: BTreeMap<u32, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
    name: Box<str>,
}

impl Table {
    /// An empty table.
    pub fn new(network: &str) -> Self {
        Self { network: network.to_ascii_lowercase(), ..Self::default() }
    }

    /// The network's name, in small letters.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Adds endpoints and removes others, by number.
    pub(crate) fn change(&mut self, added: Vec<(u32, Endpoint)>, removed: &[u32]) {
        for number in removed {
            self.endpoints.remove(number);
        }
        self.names.retain(|(_, number)| !removed.contains(number));
        for (number, Endpoint { ipv4, ipv6, names }) in added {
            let name = names.first().map(String::as_str).unwrap_or_default().into();
            self.endpoints.insert(number, Entry { ipv4, ipv6, name });
            self.names.extend(names.into_iter().map(|name| (name.to_ascii_lowercase().into(), number)));
        }
        self.names.sort_unstable();
        self.names.dedup();
        self.names.shrink_to_fit();
    }

    /// The addresses of all endpoints with this name, which is in small letters.
    pub(crate) fn find(&self, name: &str) -> impl Iterator<Item = (Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        let start = self.names.partition_point(|(other, _)| **other < *name);
        let same = self.names[start..].iter().take_while(move |(other, _)| **other == *name);
        same.filter_map(|(_, number)| self.endpoints.get(number)).map(|entry| (entry.ipv4, entry.ipv6))
    }

    /// The name of the container with this address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&str> {
        let has = |entry: &&Entry| match address {
            IpAddr::V4(address) => entry.ipv4 == Some(address),
            IpAddr::V6(address) => entry.ipv6 == Some(address),
        };
        self.endpoints.values().find(has).map(|entry| &*entry.name).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table of endpoints by IPv4 address, IPv6 address and names.
    pub(crate) fn table(network: &str, endpoints: &[(&str, &str, &[&str])]) -> Table {
        let mut table = Table::new(network);
        let endpoints = endpoints.iter().zip(1..).map(|((ipv4, ipv6, names), number)| {
            let names = names.iter().map(ToString::to_string).collect();
            (number, Endpoint { ipv4: ipv4.parse().ok(), ipv6: ipv6.parse().ok(), names })
        });
        table.change(endpoints.collect(), &[]);
        table
    }

    fn found(table: &Table, name: &str) -> Vec<String> {
        table.find(name).filter_map(|(ipv4, _)| ipv4).map(|address| address.to_string()).collect()
    }

    #[test]
    fn name_shared_by_two_containers_leads_to_both() {
        let table = table("lab", &[("10.0.0.2", "", &["one", "Both"]), ("10.0.0.3", "", &["two", "both"])]);
        assert_eq!(found(&table, "both"), ["10.0.0.2", "10.0.0.3"]);
        assert_eq!(found(&table, "two"), ["10.0.0.3"]);
        assert!(found(&table, "bot").is_empty());
        assert!(found(&table, "bothx").is_empty());
    }

    #[test]
    fn removed_endpoint_takes_its_names_along() {
        let mut table =
            table("lab", &[("10.0.0.2", "", &["one", "both"]), ("10.0.0.3", "", &["two", "both"])]);
        table.change(Vec::new(), &[1]);
        assert_eq!(found(&table, "both"), ["10.0.0.3"]);
        assert!(found(&table, "one").is_empty());
        assert_eq!(table.name_of([10, 0, 0, 2].into()), None);
        assert_eq!(table.name_of([10, 0, 0, 3].into()), Some("two"));
    }
}
