//! What a container's settings ask of its network: ports and addresses.

use std::net::IpAddr;

use api::container::{Config, HostConfig};
use api::network::EndpointSettings;
use network::{EndpointRequest, PortBinding, Protocol};

use crate::error::Error;

/// The ports to publish: those that are bound, and with `-P` all that are exposed.
///
/// # Errors
///
/// A port or address that cannot be read, in Docker's words.
pub(crate) fn bindings(config: &Config, host_config: &HostConfig) -> Result<Vec<PortBinding>, Error> {
    let mut bindings = Vec::new();
    for (port, asked) in host_config.port_bindings.iter().flatten() {
        let (container_port, protocol) = parse_port(port)?;
        for binding in asked.iter().flatten() {
            bindings.push(PortBinding {
                container_port,
                protocol,
                host_ip: parse_address(&binding.host_ip)?,
                host_ports: parse_range(&binding.host_port)?,
            });
        }
    }
    if host_config.publish_all_ports {
        for port in config.exposed_ports.iter().flatten().map(|(port, _)| port) {
            let (container_port, protocol) = parse_port(port)?;
            let bound =
                |other: &PortBinding| other.container_port == container_port && other.protocol == protocol;
            if !bindings.iter().any(bound) {
                bindings.push(PortBinding { container_port, protocol, host_ip: None, host_ports: None });
            }
        }
    }
    Ok(bindings)
}

/// The addresses that are asked for on a network; `own_mac` is the container's, for an endpoint without one of its own.
///
/// # Errors
///
/// An address that cannot be read.
pub(crate) fn addresses(asked: &EndpointSettings, own_mac: &str) -> Result<EndpointRequest, Error> {
    let ipam = asked.ipam_config.clone().unwrap_or_default();
    let mac = match (asked.mac_address.as_str(), own_mac) {
        ("", "") => None,
        ("", mac) | (mac, _) => {
            Some(mac.parse().map_err(|_| Error::invalid(format!("invalid MAC address {mac}")))?)
        }
    };
    let invalid = |family: u8, text: &str| Error::invalid(format!("invalid IPv{family} address: {text}"));
    let ipv4 = match ipam.ipv4_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid(4, text))?),
    };
    let ipv6 = match ipam.ipv6_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid(6, text))?),
    };
    Ok(EndpointRequest { ipv4, ipv6, mac, ..EndpointRequest::default() })
}

/// Reads `80`, `80/tcp`, `53/udp`.
pub(crate) fn parse_port(text: &str) -> Result<(u16, Protocol), Error> {
    let invalid = || Error::invalid(format!("invalid port specification: \"{text}\""));
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(invalid()),
    };
    let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(invalid)?;
    Ok((port, protocol))
}

fn parse_address(text: &str) -> Result<Option<IpAddr>, Error> {
    match text.trim_start_matches('[').trim_end_matches(']') {
        "" => Ok(None),
        literal => {
            literal.parse().map(Some).map_err(|_| Error::invalid(format!("invalid IP address: {text}")))
        }
    }
}

/// Reads `8080`, `8080-8090`, or nothing, which is the engine's choice, as is 0.
fn parse_range(text: &str) -> Result<Option<(u16, u16)>, Error> {
    let invalid = || Error::invalid(format!("invalid port specification: \"{text}\""));
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range: (u16, u16) = (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
    if range.0 == 0 || range.0 > range.1 { Err(invalid()) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read_strictly() {
        assert_eq!(parse_port("53/udp").unwrap(), (53, Protocol::Udp));
        assert_eq!(parse_port("80").unwrap(), (80, Protocol::Tcp));
        assert_eq!(parse_range("").unwrap(), None);
        assert_eq!(parse_range("80-90").unwrap(), Some((80, 90)));
        for bad in ["0", "x", "80/x", "65536", "-1"] {
            assert!(parse_port(bad).is_err(), "{bad}");
        }
        for bad in ["90-80", "x", "1-", "0-5"] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_exposed_ports_are_published_once() {
        let bound = [("80/tcp".to_owned(), Some(vec![api::container::PortBinding::default()]))];
        let host_config = HostConfig {
            port_bindings: Some(bound.into()),
            publish_all_ports: true,
            ..HostConfig::default()
        };
        let exposed = [("80/tcp".to_owned(), api::Empty), ("53/udp".to_owned(), api::Empty)];
        let config = Config { exposed_ports: Some(exposed.into()), ..Config::default() };
        let ports: Vec<u16> =
            bindings(&config, &host_config).unwrap().iter().map(|binding| binding.container_port).collect();
        assert_eq!(ports, [80, 53]);
    }
}
