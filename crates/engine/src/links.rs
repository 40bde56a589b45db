//! Links (`--link`): what a container on the default bridge calls others there.
//!
//! A linked container is in the hosts file under its alias, its name and its host name, and what it exposes is in the
//! environment. On networks of one's own a link is a name of the name server instead (see [`crate::discovery`]).

mod environment;
mod resolve;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use network::{EndpointInfo, LinkedPort};
use serde::{Deserialize, Serialize};

pub(crate) use environment::environment;
pub(crate) use resolve::split;

use crate::ports::parse_port;

/// A link as its owner's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// What the owner calls the other container.
    pub(crate) alias: String,
    /// The other container's ID.
    pub(crate) target: String,
    /// Its name when the link was made.
    pub(crate) name: String,
}

/// The other end of a link, at a start of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Linked {
    pub(crate) alias: String,
    /// Owner and alias, as `/web/db`.
    pub(crate) full_name: String,
    /// The container's own name.
    pub(crate) name: String,
    pub(crate) hostname: String,
    /// Its addresses on the default bridge, IPv4 first.
    pub(crate) addresses: Vec<IpAddr>,
    /// What it exposes, as `80/tcp`.
    pub(crate) ports: Vec<String>,
    /// Its variables.
    pub(crate) variables: Vec<String>,
}

impl Linked {
    /// Its names in the owner's hosts file; the alias is the first one.
    pub(crate) fn host_names(&self) -> String {
        let mut names = vec![self.alias.as_str(), self.hostname.as_str()];
        if self.name != self.alias {
            names.push(&self.name);
        }
        names.retain(|name| !name.is_empty());
        names.join(" ")
    }
}

/// What a container reaches by its links where containers of the default bridge reach nothing else of each other.
pub(crate) fn ports(linked: &[Linked]) -> Vec<LinkedPort> {
    let of_one = |linked: &Linked| {
        let ports = linked.ports.iter().filter_map(|port| parse_port(port).ok()).collect::<Vec<_>>();
        let at = |address: &IpAddr| {
            let address = *address;
            ports.clone().into_iter().map(move |(port, protocol)| LinkedPort { address, port, protocol })
        };
        linked.addresses.iter().flat_map(at).collect::<Vec<_>>()
    };
    linked.iter().flat_map(of_one).collect()
}

/// A container's addresses on the default bridge.
pub(crate) fn addresses(endpoints: &[EndpointInfo]) -> Vec<IpAddr> {
    let on_bridge = endpoints.iter().filter(|endpoint| endpoint.network_name == "bridge");
    on_bridge.flat_map(EndpointInfo::addresses).collect()
}

/// Reads `container`, `container:alias`, and `/container:/owner/alias`, which is how a link is shown: container and alias.
/// `None` where that is none of these.
pub(crate) fn parse(text: &str) -> Option<(&str, &str)> {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    let container = container.strip_prefix('/').unwrap_or(container);
    // Aliases become words of the hosts file.
    let is_word =
        |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c.is_control());
    (is_word(container) && is_word(alias) && !alias.contains([':', '#'])).then_some((container, alias))
}

/// The links of all containers.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_owner: Mutex<BTreeMap<String, Vec<Link>>>,
    hosts: Mutex<()>,
}

impl Links {
    /// Notes what a container is linked to.
    pub(crate) fn set(&self, owner: &str, links: Vec<Link>) {
        match links.is_empty() {
            true => self.lock().remove(owner),
            false => self.lock().insert(owner.to_owned(), links),
        };
    }

    /// What a container is linked to, by its ID.
    pub(crate) fn of(&self, owner: &str) -> Vec<Link> {
        self.lock().get(owner).cloned().unwrap_or_default()
    }

    /// The owners' IDs of links to a container, and the aliases.
    pub(crate) fn to(&self, target: &str) -> Vec<(String, String)> {
        let links = self.lock();
        let all = links.iter().flat_map(|(owner, links)| links.iter().map(move |link| (owner, link)));
        all.filter(|(_, link)| link.target == target)
            .map(|(owner, link)| (owner.clone(), link.alias.clone()))
            .collect()
    }

    /// Held while the hosts file of a container that runs is changed.
    pub(crate) fn changing_hosts(&self) -> MutexGuard<'_, ()> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Link>>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hosts file in which an alias has these names and addresses; without addresses, none. Other lines stay as they are.
pub(crate) fn relink(hosts: &str, alias: &str, names: &str, addresses: &[IpAddr]) -> String {
    let is_old = |line: &&str| line.split_whitespace().nth(1) == Some(alias);
    let place = hosts.lines().position(|line| is_old(&line));
    let mut lines: Vec<String> = hosts.lines().filter(|line| !is_old(line)).map(str::to_owned).collect();
    let at = place.unwrap_or(lines.len());
    lines.splice(at..at, addresses.iter().map(|address| format!("{address}\t{names}")));
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn link_is_read_as_given_and_as_shown() {
        assert_eq!(parse("db"), Some(("db", "db")));
        assert_eq!(parse("db:store"), Some(("db", "store")));
        assert_eq!(parse("/db:/web/store"), Some(("db", "store")));
        for wrong in ["", ":", "db:", ":store", "a:b:c", "db:a b", "db:a\nb", "db:/web/", "db:#x"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn links_are_found_from_both_ends() {
        let links = Links::default();
        let link = |alias: &str, target: &str| Link {
            alias: alias.into(),
            target: target.into(),
            name: "old".into(),
        };
        links.set("web", vec![link("db", "1"), link("cache", "2")]);
        links.set("job", vec![link("store", "1")]);
        assert_eq!(links.of("web").len(), 2);
        assert_eq!(links.to("1"), [("job".into(), "store".into()), ("web".into(), "db".into())]);
        links.set("web", Vec::new());
        assert!(links.of("web").is_empty());
        assert_eq!(links.to("2"), []);
    }

    #[test]
    fn own_name_is_not_repeated_in_the_hosts_file() {
        let linked = |alias: &str| Linked {
            alias: alias.into(),
            name: "db".into(),
            hostname: "0123456789ab".into(),
            ..Linked::default()
        };
        assert_eq!(linked("db").host_names(), "db 0123456789ab");
        assert_eq!(linked("store").host_names(), "store 0123456789ab db");
    }

    #[test]
    fn new_address_replaces_the_old_line_in_its_place() {
        let hosts = "127.0.0.1\tlocalhost\n10.0.0.2\tdb 01ab old\n10.0.0.9\tweb\n# mine: db\n";
        let changed =
            relink(hosts, "db", "db 01ab new", &["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()]);
        let expected =
            "127.0.0.1\tlocalhost\n10.0.0.5\tdb 01ab new\nfd00::5\tdb 01ab new\n10.0.0.9\tweb\n# mine: db\n";
        assert_eq!(changed, expected);
        assert_eq!(relink(hosts, "db", "", &[]), "127.0.0.1\tlocalhost\n10.0.0.9\tweb\n# mine: db\n");
        assert!(
            relink(hosts, "new", "new 1", &["10.0.0.7".parse().unwrap()]).ends_with("\n10.0.0.7\tnew 1\n")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,40}", hosts in "[ -~\n\t]{0,200}") {
            let _ = parse(&text);
            let twice = relink(&relink(&hosts, "db", "db", &[]), "db", "db", &[]);
            prop_assert_eq!(relink(&hosts, "db", "db", &[]), twice);
        }
    }
}
