//! The contents of `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` in a container, as Docker writes them.

use std::net::IpAddr;

/// Name servers used where the host's file names none that a container could reach.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// What the engine's user asked for (`--dns`, `--dns-search`, `--dns-option`). Empty keeps the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Name servers.
    pub nameservers: Vec<IpAddr>,
    /// Search domains; a single `.` is none at all.
    pub search: Vec<String>,
    /// Resolver options, as `ndots:1`.
    pub options: Vec<String>,
}

/// Which name servers of the host a container can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the host's own network namespace: `--network host`. Nothing is filtered.
    Host,
    /// Anything that is not on the host's loopback interface; IPv6 only where the network has it.
    Network {
        /// Whether the network has IPv6.
        ipv6: bool,
    },
}

/// The content of `/etc/resolv.conf`, made from the host's.
pub fn resolv_conf(host: &str, dns: &DnsOptions, reach: Reach) -> String {
    let host = parse(host);
    let nameservers = if dns.nameservers.is_empty() {
        reachable(host.nameservers, reach)
    } else {
        dns.nameservers.iter().map(ToString::to_string).collect()
    };
    let search = if dns.search.is_empty() { host.search } else { dns.search.clone() };
    let options = if dns.options.is_empty() { host.options } else { dns.options.clone() };
    let mut text = String::new();
    for nameserver in &nameservers {
        text.push_str(&format!("nameserver {nameserver}\n"));
    }
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// The content of `/etc/hosts`.
///
/// `extra` are `(name, address)` pairs of `--add-host`; `addresses` are the container's own, by which `hostname` and, with
/// a domain, `hostname.domainname` are known.
pub fn hosts(hostname: &str, domainname: &str, addresses: &[IpAddr], extra: &[(String, String)]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for (name, address) in extra {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    let names = match (hostname, domainname) {
        (host, "") => host.to_owned(),
        (host, domain) => format!("{host}.{domain} {host}"),
    };
    for address in addresses {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    text
}

/// The content of `/etc/hostname`.
pub fn hostname(hostname: &str) -> String {
    format!("{hostname}\n")
}

/// What a resolver file says.
#[derive(Default)]
struct Resolver {
    nameservers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

/// Reads a resolver file as `resolv.conf(5)` describes it: the last `search` or `domain` counts, options add up.
fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let line = line.trim_start();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => resolver.nameservers.extend(words.next()),
            Some("search" | "domain") => resolver.search = words.collect(),
            Some("options") => resolver.options.extend(words),
            _ => {}
        }
    }
    resolver
}

/// The name servers that a container can reach, or public ones where there is none.
fn reachable(nameservers: Vec<String>, reach: Reach) -> Vec<String> {
    let Reach::Network { ipv6 } = reach else { return nameservers };
    let usable: Vec<String> = nameservers.into_iter().filter(|server| is_reachable(server, ipv6)).collect();
    if usable.is_empty() { FALLBACK.map(str::to_owned).to_vec() } else { usable }
}

/// A link-local server carries a zone (`fe80::1%eth0`), which means nothing in another namespace.
fn is_reachable(nameserver: &str, ipv6: bool) -> bool {
    match nameserver.parse::<IpAddr>() {
        Ok(address @ IpAddr::V4(_)) => !address.is_loopback(),
        Ok(address @ IpAddr::V6(_)) => ipv6 && !address.is_loopback(),
        Err(_) => false,
    }
}
