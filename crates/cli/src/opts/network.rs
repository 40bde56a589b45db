//! Network options that the client checks itself.

use std::net::IpAddr;

use api::StringMap;

use super::go;
use crate::flag::{Element, InvalidValue};

/// `--network`: a name, or a name with options for the endpoint.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct NetworkAttachment {
    pub(crate) target: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) driver_options: StringMap,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) link_local: Vec<String>,
    pub(crate) mac_address: String,
    pub(crate) gateway_priority: i64,
    pub(crate) links: Vec<String>,
}

impl Element for NetworkAttachment {
    const KIND: &'static str = "network";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let mut network = Self::default();
        if !text.contains('=') {
            text.clone_into(&mut network.target);
            return Ok(network);
        }
        let mut named = false;
        for field in text.split(',') {
            let (key, value) = field
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| InvalidValue(format!("invalid field {field}")))?;
            let (key, value) = (key.trim().to_lowercase(), value.trim());
            named |= key == "name";
            network.apply(&key, value)?;
        }
        match named {
            true => Ok(network),
            false => Err(InvalidValue("network name/id is not specified".to_owned())),
        }
    }
}

impl NetworkAttachment {
    fn apply(&mut self, key: &str, value: &str) -> Result<(), InvalidValue> {
        match key {
            "name" => value.clone_into(&mut self.target),
            "alias" => self.aliases.push(value.to_owned()),
            "ip" => value.clone_into(&mut self.ipv4),
            "ip6" => value.clone_into(&mut self.ipv6),
            "mac-address" => value.clone_into(&mut self.mac_address),
            "link-local-ip" => self.link_local.push(value.to_owned()),
            "driver-opt" => {
                let (key, value) = value.split_once('=').ok_or_else(|| {
                    InvalidValue("invalid key value pair format in driver options".to_owned())
                })?;
                self.driver_options.insert(key.trim().to_lowercase(), value.trim().to_owned());
            }
            "gw-priority" => {
                self.gateway_priority = go::parse_int(value).map_err(|error| {
                    let why = error.0.rsplit(": ").next().unwrap_or("invalid syntax").to_owned();
                    InvalidValue(format!("invalid gw-priority ({value}): {why}"))
                })?;
            }
            _ => return Err(InvalidValue(format!("invalid field key {key}"))),
        }
        Ok(())
    }

    /// Whether the name is not one of the modes that are no network.
    pub(crate) fn is_user_defined(&self) -> bool {
        !matches!(self.target.as_str(), "" | "default" | "bridge" | "host" | "none")
            && !self.target.starts_with("container:")
    }
}

/// `--add-host name:address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddHost(pub(crate) String);

impl Element for AddHost {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let separator = if text.contains('=') { '=' } else { ':' };
        let (name, address) = text
            .split_once(separator)
            .filter(|(name, address)| !name.is_empty() && !address.is_empty())
            .ok_or_else(|| InvalidValue(format!("bad format for add-host: {}", go::quote(text))))?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if bare != "host-gateway" && bare.parse::<IpAddr>().is_err() {
            return Err(InvalidValue(format!("invalid IP address in add-host: {}", go::quote(bare))));
        }
        Ok(Self(format!("{name}:{bare}")))
    }
}

/// `--dns`: an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IpAddress(pub(crate) String);

impl Element for IpAddress {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let address: IpAddr = text
            .trim()
            .parse()
            .map_err(|_| InvalidValue(format!("IP address is not correctly formatted: {text}")))?;
        Ok(Self(address.to_string()))
    }
}

/// `--dns-search`: a domain, or `.` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnsSearch(pub(crate) String);

impl Element for DnsSearch {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        let domain = text.trim_matches(' ');
        if domain == "." {
            return Ok(Self(domain.to_owned()));
        }
        let name = domain.strip_suffix('.').unwrap_or(domain);
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let valid = domain.len() < 255
            && domain.contains(|c: char| c.is_ascii_alphabetic())
            && name.split('.').all(label);
        match valid {
            true => Ok(Self(domain.to_owned())),
            false => Err(InvalidValue(format!("{text} is not a valid domain"))),
        }
    }
}

/// `--link container[:alias]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkFlag(pub(crate) String);

impl Element for LinkFlag {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        match text.split(':').count() {
            _ if text.is_empty() => Err(InvalidValue("empty string specified for links".to_owned())),
            1 | 2 => Ok(Self(text.to_owned())),
            _ => Err(InvalidValue(format!("bad format for links: {text}"))),
        }
    }
}

/// `--attach stdin|stdout|stderr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachStream {
    Stdin,
    Stdout,
    Stderr,
}

impl Element for AttachStream {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        match text.to_lowercase().as_str() {
            "stdin" => Ok(Self::Stdin),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            _ => Err(InvalidValue("valid streams are STDIN, STDOUT and STDERR".to_owned())),
        }
    }
}

/// Checks a hardware address: six, eight or twenty bytes, in one of three notations.
pub(crate) fn parse_mac(text: &str) -> Result<(), String> {
    let hex = |part: &str, width: usize| part.len() == width && part.bytes().all(|b| b.is_ascii_hexdigit());
    let by = |separator: char, width: usize| {
        let parts: Vec<&str> = text.trim().split(separator).collect();
        matches!(parts.len() * width / 2, 6 | 8 | 20) && parts.iter().all(|part| hex(part, width))
    };
    match by(':', 2) || by('-', 2) || by('.', 4) {
        true => Ok(()),
        false => Err(format!("{text} is not a valid mac address")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn network_takes_a_name_or_options() {
        assert_eq!(NetworkAttachment::read("foo,bar").unwrap().target, "foo,bar");
        let network = NetworkAttachment::read("name=foo,alias=a,ip=1.2.3.4,driver-opt=k=v").unwrap();
        assert_eq!((network.target.as_str(), network.ipv4.as_str()), ("foo", "1.2.3.4"));
        assert!(network.is_user_defined());
        for (text, message) in [
            ("name=foo,x=1", "invalid field key x"),
            ("alias=a", "network name/id is not specified"),
            ("name=foo,driver-opt=x", "invalid key value pair format in driver options"),
            ("host,alias=a", "invalid field host"),
            ("name=foo,gw-priority=x", "invalid gw-priority (x): invalid syntax"),
        ] {
            assert_eq!(NetworkAttachment::read(text).unwrap_err().0, message);
        }
    }

    #[test]
    fn hosts_take_addresses_of_both_kinds() {
        assert_eq!(AddHost::read("a=1.2.3.4").unwrap().0, "a:1.2.3.4");
        assert_eq!(AddHost::read("a:[::1]").unwrap().0, "a:::1");
        assert_eq!(AddHost::read("a:host-gateway").unwrap().0, "a:host-gateway");
        assert_eq!(AddHost::read("x").unwrap_err().0, "bad format for add-host: \"x\"");
        assert_eq!(AddHost::read("a:b").unwrap_err().0, "invalid IP address in add-host: \"b\"");
    }

    #[test]
    fn names_and_addresses_are_checked() {
        assert!(parse_mac("92:d0:c6:0a:29:33").is_ok());
        assert_eq!(parse_mac("x").unwrap_err(), "x is not a valid mac address");
        assert_eq!(IpAddress::read("x").unwrap_err().0, "IP address is not correctly formatted: x");
        assert_eq!(DnsSearch::read("a b").unwrap_err().0, "a b is not a valid domain");
        assert_eq!(DnsSearch::read(".").unwrap().0, ".");
    }

    proptest! {
        #[test]
        fn any_text_never_panics(text in "(name=|alias=|ip=|driver-opt=|[a-z,=:\"\\[\\]0-9.-]){0,16}.{0,4}") {
            let _ = (NetworkAttachment::read(&text), AddHost::read(&text), IpAddress::read(&text));
            let _ = (DnsSearch::read(&text), LinkFlag::read(&text), AttachStream::read(&text), parse_mac(&text));
        }

        #[test]
        fn addresses_are_read_back(v4 in any::<std::net::Ipv4Addr>(), v6 in any::<std::net::Ipv6Addr>()) {
            prop_assert!(IpAddress::read(&v4.to_string()).is_ok() && IpAddress::read(&v6.to_string()).is_ok());
            prop_assert_eq!(AddHost::read(&format!("a=[{v6}]")).unwrap().0, format!("a:{v6}"));
        }
    }
}
