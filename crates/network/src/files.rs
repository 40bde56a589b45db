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
}

/// The content of `/etc/resolv.conf`, made from the host's.
pub fn resolv_conf(host: &str, dns: &DnsOptions, reach: Reach) -> String {
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
