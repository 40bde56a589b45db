//! The variables by which a container knows those that it is linked to.

use network::Protocol;

use super::Linked;
use crate::ports::parse_port;

/// Variables of an image's build that say nothing about a service.
const LEFT_OUT: [&str; 2] = ["HOME", "PATH"];

/// The variables for one link: its exposed ports, each by itself and those in a row by their ends, the link's name, and the
/// other container's own variables.
pub(crate) fn environment(linked: &Linked) -> Vec<String> {
    let alias = linked.alias.to_uppercase().replace('-', "_");
    let mut variables = Vec::new();
    if let Some(address) = linked.addresses.first().map(ToString::to_string) {
        let ports = ports(linked);
        if let Some((protocol, port)) = ports.first() {
            variables.push(format!("{alias}_PORT={}", url(*protocol, &address, *port)));
        }
        for row in rows(&ports) {
            variables.extend(row_variables(&alias, &address, row));
        }
    }
    variables.push(format!("{alias}_NAME={}", linked.full_name));
    for variable in &linked.variables {
        match variable.split_once('=') {
            Some((name, value)) if !LEFT_OUT.contains(&name) => {
                variables.push(format!("{alias}_ENV_{name}={value}"));
            }
            _ => {}
        }
    }
    variables
}

/// Those of TCP first, then by protocol and number.
fn ports(linked: &Linked) -> Vec<(Protocol, u16)> {
    let mut ports: Vec<(Protocol, u16)> = linked
        .ports
        .iter()
        .filter_map(|port| parse_port(port).ok().map(|(number, protocol)| (protocol, number)))
        .collect();
    ports.sort_by_key(|(protocol, number)| (*protocol != Protocol::Tcp, protocol.as_str(), *number));
    ports.dedup();
    ports
}

/// Ports of one protocol with numbers in a row.
fn rows(ports: &[(Protocol, u16)]) -> impl Iterator<Item = &[(Protocol, u16)]> {
    ports.chunk_by(|one, next| one.0 == next.0 && one.1.checked_add(1) == Some(next.1))
}

fn row_variables(alias: &str, address: &str, row: &[(Protocol, u16)]) -> Vec<String> {
    let mut variables = Vec::new();
    for (protocol, port) in row {
        let prefix = prefix(alias, *protocol, *port);
        variables.extend([
            format!("{prefix}={}", url(*protocol, address, *port)),
            format!("{prefix}_ADDR={address}"),
            format!("{prefix}_PORT={port}"),
            format!("{prefix}_PROTO={protocol}"),
        ]);
    }
    if let [(protocol, first), .., (_, last)] = row {
        let prefix = prefix(alias, *protocol, *first);
        variables.extend([
            format!("{prefix}_START={}", url(*protocol, address, *first)),
            format!("{prefix}_PORT_START={first}"),
            format!("{prefix}_END={}", url(*protocol, address, *last)),
            format!("{prefix}_PORT_END={last}"),
        ]);
    }
    variables
}

fn prefix(alias: &str, protocol: Protocol, port: u16) -> String {
    format!("{alias}_PORT_{port}_{}", protocol.as_str().to_uppercase())
}

fn url(protocol: Protocol, address: &str, port: u16) -> String {
    format!("{protocol}://{address}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(ports: &[&str], variables: &[&str]) -> Linked {
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Linked {
            alias: "my-db".into(),
            full_name: "/web/my-db".into(),
            addresses: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            ports: words(ports),
            variables: words(variables),
            ..Linked::default()
        }
    }

    #[test]
    fn port_has_five_variables_and_the_first_one_is_the_link_s() {
        let expected = [
            "MY_DB_PORT=tcp://10.0.0.2:6379",
            "MY_DB_PORT_6379_TCP=tcp://10.0.0.2:6379",
            "MY_DB_PORT_6379_TCP_ADDR=10.0.0.2",
            "MY_DB_PORT_6379_TCP_PORT=6379",
            "MY_DB_PORT_6379_TCP_PROTO=tcp",
            "MY_DB_NAME=/web/my-db",
            "MY_DB_ENV_A=1=2",
        ];
        assert_eq!(environment(&linked(&["6379/tcp"], &["A=1=2", "PATH=/x", "HOME=/", "EMPTY"])), expected);
    }

    #[test]
    fn ports_in_a_row_have_their_ends_and_tcp_comes_first() {
        let variables = environment(&linked(&["53/udp", "82/tcp", "80/tcp", "81/tcp", "90/tcp"], &[]));
        assert_eq!(variables[0], "MY_DB_PORT=tcp://10.0.0.2:80");
        let ends: Vec<&String> = variables
            .iter()
            .filter(|variable| variable.contains("_START=") || variable.contains("_END="))
            .collect();
        let expected = [
            "MY_DB_PORT_80_TCP_START=tcp://10.0.0.2:80",
            "MY_DB_PORT_80_TCP_PORT_START=80",
            "MY_DB_PORT_80_TCP_END=tcp://10.0.0.2:82",
            "MY_DB_PORT_80_TCP_PORT_END=82",
        ];
        assert_eq!(ends, expected);
        assert_eq!(variables[variables.len() - 2], "MY_DB_PORT_53_UDP_PROTO=udp");
    }

    #[test]
    fn container_that_exposes_nothing_has_a_name_only() {
        assert_eq!(environment(&linked(&[], &[])), ["MY_DB_NAME=/web/my-db"]);
    }
}
