//! A container's networks as the API shows them.

use std::collections::BTreeMap;

use api::container::{Port, PortBinding, PortMap};
use api::network::{EndpointSettings, NetworkSettings};
use network::EndpointInfo;

use crate::container::Published;
use crate::networking::is_user_defined;
use crate::ports::parse_port;
use crate::settings::Settings;

/// The `NetworkSettings` of `inspect`.
pub(crate) fn settings(settings: &Settings, published: &Published) -> NetworkSettings {
    let mut shown = NetworkSettings {
        ports: Some(port_map(settings, published)),
        networks: Some(networks(settings, published)),
        ..NetworkSettings::default()
    };
    // The first fields are those of the default bridge, from the time when there was no other network.
    if let Some(endpoint) = published.endpoints.iter().find(|endpoint| endpoint.network_name == "bridge") {
        shown.endpoint_id = endpoint.endpoint_id.clone();
        shown.gateway = text(endpoint.gateway);
        shown.ip_address = text(endpoint.ipv4);
        shown.ip_prefix_len = i64::from(endpoint.ipv4_prefix);
        shown.mac_address = text(endpoint.mac);
    }
    shown.sandbox_id = published.endpoints.first().map(|first| first.endpoint_id.clone()).unwrap_or_default();
    shown
}

/// Endpoints by network name: what was asked for, and while it runs what it got.
pub(crate) fn networks(settings: &Settings, published: &Published) -> BTreeMap<String, EndpointSettings> {
    let mut networks = BTreeMap::clone(&published.networks);
    for endpoint in published.endpoints.iter() {
        if let Some(shown) = networks.get_mut(&endpoint.network_name) {
            fill(shown, endpoint);
        }
    }
    for (name, shown) in &mut networks {
        if is_user_defined(name) {
            shown.dns_names = Some(dns_names(settings, &published.name, shown.aliases.as_deref()));
        }
    }
    networks
}

/// The names of a container in a network, each once.
pub(crate) fn dns_names(settings: &Settings, name: &str, aliases: Option<&[String]>) -> Vec<String> {
    let own = [name, settings.short_id(), &settings.config.hostname].map(str::to_owned);
    let [name, id, hostname] = own;
    let all = std::iter::once(name).chain(aliases.unwrap_or_default().iter().cloned()).chain([id, hostname]);
    let mut names: Vec<String> = Vec::new();
    for name in all.filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn fill(shown: &mut EndpointSettings, endpoint: &EndpointInfo) {
    shown.network_id = endpoint.network_id.clone();
    shown.endpoint_id = endpoint.endpoint_id.clone();
    shown.gateway = text(endpoint.gateway);
    shown.ip_address = text(endpoint.ipv4);
    shown.ip_prefix_len = i64::from(endpoint.ipv4_prefix);
    shown.ipv6_gateway = text(endpoint.ipv6_gateway);
    shown.global_ipv6_address = text(endpoint.ipv6);
    shown.global_ipv6_prefix_len = i64::from(endpoint.ipv6_prefix);
    shown.mac_address = text(endpoint.mac);
}

/// Exposed ports, with their bindings where they are published.
fn port_map(settings: &Settings, published: &Published) -> PortMap {
    let mut map = PortMap::new();
    if !published.state.status.is_live() {
        return map;
    }
    for port in settings.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        if let Ok((number, protocol)) = parse_port(port) {
            map.insert(format!("{number}/{protocol}"), None);
        }
    }
    for port in published.endpoints.iter().flat_map(|endpoint| &endpoint.ports) {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let host_port = if port.is_routed() { String::new() } else { port.host_port.to_string() };
        let binding = PortBinding { host_ip: port.host_ip.to_string(), host_port };
        map.entry(key).or_default().get_or_insert_default().push(binding);
    }
    map
}

/// The ports of `ps`.
pub(crate) fn ports(settings: &Settings, published: &Published) -> Vec<Port> {
    let mut ports = Vec::new();
    for (key, bindings) in port_map(settings, published) {
        let Ok((private_port, protocol)) = parse_port(&key) else { continue };
        let port = Port { private_port, protocol: protocol.to_string(), ..Port::default() };
        match bindings {
            None => ports.push(port),
            Some(bindings) => {
                ports.extend(bindings.into_iter().map(|binding| match binding.host_port.parse() {
                    Ok(public_port) => Port { ip: binding.host_ip, public_port, ..port.clone() },
                    // Reached at the container's own address.
                    Err(_) => port.clone(),
                }))
            }
        }
    }
    ports.sort();
    ports.dedup();
    ports
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
