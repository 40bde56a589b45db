//! The contents of `/etc/resolv.conf`, `/etc/hosts` and `/etc/hostname` in a container, as Docker writes them.

use std::net::IpAddr;

/// Name servers used where the host's file names none that a container could reach.
const FALLBACK_IPV4: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
const FALLBACK_IPV6: [&str; 2] = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

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
    /// The container's own name server only, which asks the others ([`name_servers`]).
    NameServer,
}

/// Whom a container's own name server asks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServers {
    /// The servers, in order.
    pub servers: Vec<IpAddr>,
    /// Whether they are the host's, which are meant for the host's own network namespace.
    pub are_hosts: bool,
    /// Whether somebody set `ndots`, so that resolvers complete names without a dot before they ask for them as they are.
    pub sets_ndots: bool,
}

/// At most so many servers are asked, as by the resolvers of C libraries.
const MAX_SERVERS: usize = 3;

/// Whom a container's own name server asks.
pub fn name_servers(host: &str, dns: &DnsOptions) -> NameServers {
    let host = parse(host);
    let options = if dns.options.is_empty() { host.options } else { dns.options.clone() };
    let are_hosts = dns.nameservers.is_empty();
    let mut servers: Vec<IpAddr> = match are_hosts {
        true => host.nameservers.iter().filter_map(|server| server.parse().ok()).collect(),
        false => dns.nameservers.clone(),
    };
    // In a container's namespace that is the name server itself.
    servers.retain(|server| are_hosts || *server != IpAddr::V4(dns::SERVER));
    servers.truncate(MAX_SERVERS);
    NameServers { servers, are_hosts, sets_ndots: options.iter().any(|option| sets_ndots(option)) }
}

/// An `ndots` without a number counts for nothing.
fn sets_ndots(option: &str) -> bool {
    option.strip_prefix("ndots:").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The content of `/etc/resolv.conf`, made from the host's.
pub fn resolv_conf(host: &str, dns: &DnsOptions, reach: Reach) -> String {
    if reach == Reach::NameServer {
        return resolv_conf_of_name_server(host, dns);
    }
    let host = parse(host);
    let nameservers = if dns.nameservers.is_empty() {
        reachable(host.nameservers, reach)
    } else {
        dns.nameservers.iter().map(ToString::to_string).collect()
    };
    let mut search = if dns.search.is_empty() { host.search } else { dns.search.clone() };
    if !dns.search.is_empty() {
        search.retain(|domain| domain != ".");
    }
    let options = if dns.options.is_empty() { host.options } else { dns.options.clone() };
    let mut text = String::new();
    for nameserver in &nameservers {
        text.push_str(&format!("nameserver {nameserver}\n"));
    }
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    for line in &host.other {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// As Docker's, with notes on where its parts come from: people look here first when a name does not resolve.
fn resolv_conf_of_name_server(host: &str, dns: &DnsOptions) -> String {
    let asked = name_servers(host, dns);
    let own = DnsOptions { nameservers: vec![IpAddr::V4(dns::SERVER)], ..dns.clone() };
    let mut text = String::from("# Written by the engine at each start of the container.\n\n");
    let settings = resolv_conf(host, &own, Reach::Host);
    let (mut lines, mut options) = (Vec::new(), Vec::new());
    for line in settings.lines() {
        match line.strip_prefix("options ") {
            Some(given) => options.extend(given.split(' ')),
            None => lines.push(line),
        }
    }
    options.retain(|option| sets_ndots(option) || (*option != "ndots" && !option.starts_with("ndots:")));
    if !asked.sets_ndots {
        options.push("ndots:0");
    }
    for line in lines {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&format!("options {}\n\n", options.join(" ")));
    text.push_str("# Based on host file: '/etc/resolv.conf' (internal resolver)\n");
    let show = |server: &IpAddr| if asked.are_hosts { format!("host({server})") } else { server.to_string() };
    match asked.servers.as_slice() {
        [] => text.push_str("# NO EXTERNAL NAMESERVERS DEFINED\n"),
        servers => {
            let shown: Vec<String> = servers.iter().map(show).collect();
            text.push_str(&format!("# ExtServers: [{}]\n", shown.join(" ")));
        }
    }
    let given = [
        ("nameservers", dns.nameservers.is_empty()),
        ("search", dns.search.is_empty()),
        ("options", dns.options.is_empty()),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(_, empty)| !empty).map(|(name, _)| name).collect();
    text.push_str(&format!("# Overrides: [{}]\n", given.join(" ")));
    let from = match (asked.sets_ndots, dns.options.is_empty()) {
        (false, _) => "internal",
        (true, true) => "host",
        (true, false) => "override",
    };
    text.push_str(&format!("# Option ndots from: {from}\n"));
    text
}

/// The content of `/etc/hosts`.
///
/// `extra` are `(name, address)` pairs of `--add-host`; `addresses` are the container's own, under which its full name and
/// the part before the first dot are entered.
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
    let full = if domainname.is_empty() { hostname.to_owned() } else { format!("{hostname}.{domainname}") };
    let names = match full.split_once('.') {
        Some((short, _)) => format!("{full} {short}"),
        None => full,
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
    /// Lines with directives of other names, which pass through.
    other: Vec<String>,
}

/// Reads a resolver file as `resolv.conf(5)` describes it: the last `search` or `domain` counts, options add up.
fn parse(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned).peekable();
        match words.next().as_deref() {
            None => {}
            Some("nameserver") => resolver.nameservers.extend(words.next()),
            Some("search" | "domain") if words.peek().is_some() => resolver.search = words.collect(),
            Some("search" | "domain") => {}
            Some("options") => resolver.options.extend(words),
            Some(_) => resolver.other.push(line.to_owned()),
        }
    }
    resolver
}

/// The name servers that a container can reach, or public ones where there is none.
fn reachable(nameservers: Vec<String>, reach: Reach) -> Vec<String> {
    let Reach::Network { ipv6 } = reach else { return nameservers };
    let usable: Vec<String> = nameservers.into_iter().filter(|server| is_reachable(server, ipv6)).collect();
    if !usable.is_empty() {
        return usable;
    }
    let ipv6 = if ipv6 { FALLBACK_IPV6.as_slice() } else { &[] };
    FALLBACK_IPV4.iter().chain(ipv6).map(|server| (*server).to_owned()).collect()
}

/// A link-local server carries a zone (`fe80::1%eth0`), which means nothing in another namespace.
fn is_reachable(nameserver: &str, ipv6: bool) -> bool {
    match nameserver.parse::<IpAddr>() {
        Ok(address @ IpAddr::V4(_)) => !address.is_loopback(),
        Ok(address @ IpAddr::V6(_)) => ipv6 && !address.is_loopback(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOUR: Reach = Reach::Network { ipv6: false };
    const BOTH: Reach = Reach::Network { ipv6: true };
    const HOST: &str = "# written by somebody\n\
        nameserver 127.0.0.53\n\
        nameserver 10.0.0.53\n\
        nameserver 2001:db8::53\n\
        nameserver fe80::1%eth0\n\
        domain old.example\n\
        search corp.example example\n\
        options edns0\n\
        ; another remark\n\
        options trust-ad ndots:2\n\
        sortlist 10.0.0.0\n";

    fn dns(nameservers: &[&str], search: &[&str], options: &[&str]) -> DnsOptions {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        DnsOptions {
            nameservers: nameservers.iter().map(|server| server.parse().unwrap()).collect(),
            search: owned(search),
            options: owned(options),
        }
    }

    #[test]
    fn resolv_conf_leaves_out_servers_a_container_cannot_reach() {
        let rest = "search corp.example example\noptions edns0 trust-ad ndots:2\nsortlist 10.0.0.0\n";
        let none = DnsOptions::default();
        assert_eq!(resolv_conf(HOST, &none, FOUR), format!("nameserver 10.0.0.53\n{rest}"));
        let both = format!("nameserver 10.0.0.53\nnameserver 2001:db8::53\n{rest}");
        assert_eq!(resolv_conf(HOST, &none, BOTH), both);
        let all =
            "nameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\n";
        assert_eq!(resolv_conf(HOST, &none, Reach::Host), format!("{all}{rest}"));
    }

    #[test]
    fn resolv_conf_without_usable_server_names_public_ones() {
        let none = DnsOptions::default();
        let four = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
        assert_eq!(resolv_conf("nameserver 127.0.0.1\n", &none, FOUR), four);
        assert_eq!(resolv_conf("", &none, FOUR), four);
        assert_eq!(resolv_conf("nameserver nonsense\n", &none, FOUR), four);
        let six = "nameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n";
        assert_eq!(resolv_conf("nameserver ::1\n", &none, BOTH), format!("{four}{six}"));
    }

    #[test]
    fn resolv_conf_with_own_settings_keeps_nothing_they_replace() {
        let own = dns(&["127.0.0.1", "::1"], &["lab.example"], &["ndots:5"]);
        assert_eq!(
            resolv_conf(HOST, &own, FOUR),
            "nameserver 127.0.0.1\nnameserver ::1\nsearch lab.example\noptions ndots:5\nsortlist 10.0.0.0\n"
        );
        let no_search = dns(&["1.1.1.1"], &["."], &["rotate"]);
        assert_eq!(
            resolv_conf("search a.example\n", &no_search, FOUR),
            "nameserver 1.1.1.1\noptions rotate\n"
        );
    }

    #[test]
    fn resolv_conf_of_a_name_server_names_it_and_says_whom_it_asks() {
        assert_eq!(
            resolv_conf(
                "nameserver 127.0.0.53\nnameserver 10.0.0.53\nsearch corp.example\n",
                &DnsOptions::default(),
                Reach::NameServer
            ),
            "# Written by the engine at each start of the container.\n\
             \n\
             nameserver 127.0.0.11\n\
             search corp.example\n\
             options ndots:0\n\
             \n\
             # Based on host file: '/etc/resolv.conf' (internal resolver)\n\
             # ExtServers: [host(127.0.0.53) host(10.0.0.53)]\n\
             # Overrides: []\n\
             # Option ndots from: internal\n"
        );
        let own = dns(&["192.0.2.1"], &["lab.example"], &["ndots:2", "rotate"]);
        let text = resolv_conf(HOST, &own, Reach::NameServer);
        assert!(
            text.contains(
                "nameserver 127.0.0.11\nsearch lab.example\nsortlist 10.0.0.0\noptions ndots:2 rotate\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("# ExtServers: [192.0.2.1]\n# Overrides: [nameservers search options]\n"),
            "{text}"
        );
        assert!(text.ends_with("# Option ndots from: override\n"), "{text}");
        let none = resolv_conf("options ndots:x\n", &DnsOptions::default(), Reach::NameServer);
        assert!(none.contains("nameserver 127.0.0.11\noptions ndots:0\n"), "{none}");
        assert!(none.contains("# NO EXTERNAL NAMESERVERS DEFINED\n"), "{none}");
    }

    #[test]
    fn name_server_asks_the_host_s_servers_unless_others_are_given() {
        let asked = name_servers(HOST, &DnsOptions::default());
        let servers: Vec<String> = asked.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.53", "10.0.0.53", "2001:db8::53"]);
        assert!(asked.are_hosts && asked.sets_ndots);
        let asked = name_servers(
            HOST,
            &dns(&["127.0.0.11", "1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"], &[], &["rotate"]),
        );
        assert_eq!(asked.servers.len(), 3);
        assert_eq!(asked.servers[0].to_string(), "1.1.1.1");
        assert!(!asked.are_hosts && !asked.sets_ndots);
    }

    #[test]
    fn hosts_names_the_container_and_extra_hosts() {
        let extra = [("db".to_owned(), "10.1.2.3".to_owned())];
        let text = hosts("web", "", &["172.17.0.2".parse().unwrap()], &extra);
        assert_eq!(
            text,
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n\
             10.1.2.3\tdb\n\
             172.17.0.2\tweb\n"
        );
    }

    #[test]
    fn hosts_with_domain_has_full_and_short_name() {
        let address = ["172.17.0.2".parse().unwrap()];
        assert!(hosts("web", "lab.example", &address, &[]).ends_with("172.17.0.2\tweb.lab.example web\n"));
        assert!(hosts("web.lab.example", "", &address, &[]).ends_with("172.17.0.2\tweb.lab.example web\n"));
    }

    #[test]
    fn hostname_ends_with_a_newline() {
        assert_eq!(hostname("web"), "web\n");
    }

    proptest! {
        #[test]
        fn resolv_conf_any_text_never_panics_and_never_names_loopback(text in "(?s).*") {
            let made = resolv_conf(&text, &DnsOptions::default(), FOUR);
            prop_assert!(made.starts_with("nameserver "));
            prop_assert!(!made.contains("nameserver 127."));
        }
    }
}
