//! Ports of `EXPOSE`: `80`, `80/udp`, `8000-8010/tcp`, and, for old files, `[address:]host port:port`.

use std::net::IpAddr;

use crate::quote::quoted;

/// What a word of `EXPOSE` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    first: u32,
    last: u32,
    protocol: String,
    /// Whether the protocol has capitals.
    pub(crate) has_capitals: bool,
    /// Whether an address or a port of the host is in front, which means nothing.
    pub(crate) has_host: bool,
}

impl Port {
    /// Reads a word; what is wrong comes back in BuildKit's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').map_or(("", text), |(host, port)| (host, port));
        let (address, host_port) = host.rsplit_once(':').unwrap_or(("", host));
        let (numbers, protocol) = port.split_once('/').unwrap_or((port, ""));
        if numbers.is_empty() {
            return Err(format!("invalid port: {}: no port specified", quoted(text)));
        }
        let lower = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
        if !["tcp", "udp", "sctp"].contains(&lower.as_str()) {
            return Err(format!("invalid port: {}: invalid proto: {protocol}", quoted(text)));
        }
        check_address(address)?;
        let (first, last) = range(numbers).ok_or_else(|| format!("invalid containerPort: {numbers}"))?;
        check_host_port(host_port, numbers, last - first)?;
        Ok(Self {
            first,
            last,
            has_capitals: !protocol.is_empty() && protocol != lower,
            has_host: !address.is_empty() || !host_port.is_empty(),
            protocol: lower,
        })
    }

    /// `port/protocol`, one after the other.
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(|port| format!("{port}/{}", self.protocol))
    }
}

fn check_address(text: &str) -> Result<(), String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match text.is_empty() || bare.parse::<IpAddr>().is_ok() {
        true => Ok(()),
        false => Err(format!("invalid IP address: {bare}")),
    }
}

/// A range on the host has as many ports, unless there is only one to choose it for.
fn check_host_port(text: &str, numbers: &str, count: u32) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let (first, last) = range(text).ok_or_else(|| format!("invalid hostPort: {text}"))?;
    if last - first != count && count != 0 {
        return Err(format!("invalid ranges specified for container and host Ports: {numbers} and {text}"));
    }
    Ok(())
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u32>().ok().filter(|port| *port <= 65_535);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_protocols_and_ranges() {
        for (text, expected) in [
            ("80", vec!["80/tcp"]),
            ("53/UDP", vec!["53/udp"]),
            ("80/", vec!["80/tcp"]),
            ("8000-8002/sctp", vec!["8000/sctp", "8001/sctp", "8002/sctp"]),
            ("127.0.0.1:80:81", vec!["81/tcp"]),
            ("[::1]:80:81", vec!["81/tcp"]),
            ("1-2:80", vec!["80/tcp"]),
            ("0", vec!["0/tcp"]),
        ] {
            assert_eq!(Port::parse(text).unwrap().all().collect::<Vec<_>>(), expected, "{text}");
        }
        assert!(Port::parse("53/UDP").unwrap().has_capitals && !Port::parse("53/udp").unwrap().has_capitals);
        assert!(Port::parse("1:2").unwrap().has_host && !Port::parse("2").unwrap().has_host);
    }

    #[test]
    fn ports_that_cannot_be_are_refused() {
        for (text, expected) in [
            ("x", "invalid containerPort: x"),
            ("70000", "invalid containerPort: 70000"),
            ("9-8", "invalid containerPort: 9-8"),
            ("80/x", "invalid port: \"80/x\": invalid proto: x"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("a:1:2", "invalid IP address: a"),
            ("x:1", "invalid hostPort: x"),
            ("1-3:5-6", "invalid ranges specified for container and host Ports: 5-6 and 1-3"),
        ] {
            assert_eq!(Port::parse(text), Err(expected.to_owned()), "{text}");
        }
    }
}
