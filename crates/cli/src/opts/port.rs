//! Ports: `-p` and `--expose`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use api::StringSet;
use api::container::{PortBinding, PortMap};

use super::go;

/// Reads all `-p` into the ports they expose and the bindings they ask for.
pub(crate) fn publish_ports(specs: &[String]) -> Result<(StringSet, PortMap), String> {
    let (mut exposed, mut bindings) = (StringSet::new(), PortMap::new());
    for spec in specs {
        for (port, binding) in publish(&standard_notation(spec)?)? {
            exposed.insert(port.clone(), api::Empty);
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    Ok((exposed, bindings))
}

/// Reads all `--expose` into single ports.
pub(crate) fn expose_ports(specs: &[String]) -> Result<StringSet, String> {
    let mut exposed = StringSet::new();
    for spec in specs {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (protocol, ports) = split_protocol(spec);
        let range = port_range(ports)
            .map_err(|reason| format!("invalid range format for --expose: {spec}, error: {reason}"))?;
        exposed.extend(range.map(|port| (format!("{port}/{protocol}"), api::Empty)));
    }
    Ok(exposed)
}

/// `published=80,target=90,protocol=udp` is another way to write `80:90/udp`.
fn standard_notation(spec: &str) -> Result<String, String> {
    if !spec.contains('=') {
        return Ok(spec.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in spec.split(',') {
        let (key, value) = field
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid publish opts format (should be name=value but got '{field}')"))?;
        match key {
            "published" => published = value,
            "target" => target = value,
            "protocol" => protocol = value,
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// `[[ip:]host:]container[/protocol]`.
fn publish(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let mut parts = spec.rsplitn(3, ':');
    let container = parts.next().unwrap_or("");
    let host = parts.next().unwrap_or("");
    let address = address(parts.next().unwrap_or(""))?;
    let (protocol, ports) = split_protocol(container);
    if ports.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let protocol = protocol.to_lowercase();
    let inside = port_range(ports).map_err(|_| format!("invalid containerPort: {ports}"))?;
    let outside = match host {
        "" => None,
        host => Some(port_range(host).map_err(|_| format!("invalid hostPort: {host}"))?),
    };
    if let Some(outside) = &outside
        && inside.len() != outside.len()
        && inside.len() != 1
    {
        return Err(format!("invalid ranges specified for container and host Ports: {ports} and {host}"));
    }
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let alone = inside.len() == 1;
    Ok(inside
        .enumerate()
        .map(|(index, port)| {
            let host_port = match &outside {
                None => String::new(),
                // One port on any free one of a range.
                Some(range) if alone && range.len() > 1 => format!("{}-{}", range.start(), range.end()),
                Some(range) => (range.start() + index as u16).to_string(),
            };
            (format!("{port}/{protocol}"), PortBinding { host_ip: address.to_owned(), host_port })
        })
        .collect())
}

fn address(text: &str) -> Result<&str, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.is_empty() || bare.parse::<IpAddr>().is_ok() {
        true => Ok(bare),
        false => Err(format!("invalid IP address: {text}")),
    }
}

fn split_protocol(text: &str) -> (&str, &str) {
    let mut parts = text.split('/');
    let port = parts.next().unwrap_or("");
    let protocol = parts.next().filter(|protocol| !protocol.is_empty()).unwrap_or("tcp");
    (protocol, port)
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    if text.is_empty() {
        return Err("empty string specified for ports".to_owned());
    }
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => text.parse::<u16>().map_err(|_| (text.to_owned(), "value out of range")),
        false => Err((text.to_owned(), "invalid syntax")),
    };
    let fail =
        |(text, why): (String, &str)| format!("strconv.ParseUint: parsing {}: {why}", go::quote(&text));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first).map_err(fail)?, number(last).map_err(fail)?);
    match first <= last {
        true => Ok(first..=last),
        false => Err(format!("invalid range specified for port: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(spec: &str) -> Result<String, String> {
        let (_, bindings) = publish_ports(&[spec.to_owned()])?;
        let lines: Vec<String> = bindings
            .iter()
            .flat_map(|(port, bindings)| {
                bindings.iter().flatten().map(move |b| format!("{port}<{}:{}", b.host_ip, b.host_port))
            })
            .collect();
        Ok(lines.join(" "))
    }

    #[test]
    fn published_ports_take_addresses_ranges_and_protocols() {
        for (spec, expected) in [
            ("80", "80/tcp<:"),
            ("8080:80/udp", "80/udp<:8080"),
            ("1.2.3.4:80:90", "90/tcp<1.2.3.4:80"),
            ("1.2.3.4::90", "90/tcp<1.2.3.4:"),
            ("[::1]:80:90", "90/tcp<::1:80"),
            ("70-71:80-81", "80/tcp<:70 81/tcp<:71"),
            ("80-81:90", "90/tcp<:80-81"),
            ("published=80,target=90,protocol=udp", "90/udp<:80"),
        ] {
            assert_eq!(show(spec).as_deref(), Ok(expected), "{spec}");
        }
    }

    #[test]
    fn bad_ports_are_refused_in_the_known_words() {
        for (spec, message) in [
            ("x", "invalid containerPort: x"),
            ("1:2:3:4", "invalid IP address: 1:2"),
            ("80:90-91", "invalid ranges specified for container and host Ports: 90-91 and 80"),
            ("a:80", "invalid hostPort: a"),
            ("80/foo", "invalid proto: foo"),
            (":", "no port specified: :<empty>"),
            ("", "no port specified: <empty>"),
            ("published=80,x", "invalid publish opts format (should be name=value but got 'x')"),
        ] {
            assert_eq!(show(spec).unwrap_err(), message);
        }
        let expose = |spec: &str| expose_ports(&[spec.to_owned()]).unwrap_err();
        assert_eq!(expose("80:90"), "invalid port format for --expose: 80:90");
        assert_eq!(
            expose(""),
            "invalid range format for --expose: , error: empty string specified for ports"
        );
        assert_eq!(
            expose("x"),
            "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax"
        );
    }

    proptest! {
        #[test]
        fn any_text_never_panics(spec in "[0-9:/=,.\\[\\]a-]{0,20}") {
            let _ = (show(&spec), expose_ports(std::slice::from_ref(&spec)));
        }
    }
}
