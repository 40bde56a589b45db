//! Which of a container's networks is its way out.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::os::fd::AsFd;

use api::network::EndpointSettings;
use network::{EndpointInfo, Networks, PortBinding};

use crate::error::Error;

/// The networks of a container by name, with what is asked of them.
pub(crate) type Asked = BTreeMap<String, EndpointSettings>;

/// Sends what leaves the container's networks by the one with the highest priority, of equal ones by the one with both
/// families, then by the first of the alphabet: Docker's order. Each family has a way out of its own. The ports are
/// published on the way out.
pub(super) fn settle(
    networks: &Networks,
    netns: &impl AsFd,
    endpoints: &mut [EndpointInfo],
    asked: &Asked,
    ports: &[PortBinding],
) -> Result<(), Error> {
    let ipv4 = best(endpoints, asked, |endpoint| endpoint.gateway.is_some());
    let ipv6 = best(endpoints, asked, |endpoint| endpoint.ipv6_gateway.is_some());
    networks.route(netns.as_fd(), ipv4, ipv6)?;
    let carrier = carrier(endpoints, asked).map(|carrier| carrier.endpoint_id.clone());
    let is_carrier = |endpoint: &EndpointInfo| carrier.as_ref() == Some(&endpoint.endpoint_id);
    for endpoint in endpoints.iter_mut().filter(|endpoint| !is_carrier(endpoint)) {
        networks.unpublish(endpoint);
    }
    let carrier = endpoints.iter_mut().find(|endpoint| is_carrier(endpoint) && endpoint.ports.is_empty());
    if let Some(carrier) = carrier.filter(|_| !ports.is_empty()) {
        *carrier = networks.publish(carrier, ports)?;
    }
    Ok(())
}

/// The endpoint that has the container's published ports: the one that is its way out.
fn carrier<'a>(endpoints: &'a [EndpointInfo], asked: &Asked) -> Option<&'a EndpointInfo> {
    best(endpoints, asked, |endpoint| endpoint.gateway.is_some())
        .or_else(|| best(endpoints, asked, |endpoint| endpoint.ipv6_gateway.is_some()))
}

fn best<'a>(
    endpoints: &'a [EndpointInfo],
    asked: &Asked,
    is_way_out: impl Fn(&EndpointInfo) -> bool,
) -> Option<&'a EndpointInfo> {
    let rank = |endpoint: &&EndpointInfo| {
        let priority = asked.get(&endpoint.network_name).map_or(0, |settings| settings.gw_priority);
        let has_both = endpoint.gateway.is_some() && endpoint.ipv6_gateway.is_some();
        (Reverse(priority), Reverse(has_both), endpoint.network_name.clone())
    };
    endpoints.iter().filter(|endpoint| is_way_out(endpoint)).min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(network: &str, ipv4: bool, ipv6: bool) -> EndpointInfo {
        EndpointInfo {
            endpoint_id: String::new(),
            network_id: String::new(),
            network_name: network.to_owned(),
            container_id: String::new(),
            container_name: String::new(),
            interface: None,
            host_interface: None,
            ipv4: None,
            ipv4_prefix: 0,
            gateway: ipv4.then(|| [10, 0, 0, 1].into()),
            ipv6: None,
            ipv6_prefix: 0,
            ipv6_gateway: ipv6.then(|| [0xfd00, 0, 0, 0, 0, 0, 0, 1].into()),
            mac: None,
            ports: Vec::new(),
            links: Vec::new(),
        }
    }

    fn chosen(endpoints: &[EndpointInfo], priorities: &[(&str, i64)]) -> Option<String> {
        let asked = priorities
            .iter()
            .map(|&(name, gw_priority)| {
                (name.to_owned(), EndpointSettings { gw_priority, ..EndpointSettings::default() })
            })
            .collect();
        carrier(endpoints, &asked).map(|endpoint| endpoint.network_name.clone())
    }

    #[test]
    fn way_out_is_by_priority_then_families_then_name() {
        let plain = [endpoint("b", true, false), endpoint("a", true, false)];
        assert_eq!(chosen(&plain, &[]).as_deref(), Some("a"));
        assert_eq!(chosen(&plain, &[("b", 1)]).as_deref(), Some("b"));
        assert_eq!(chosen(&plain, &[("a", -1)]).as_deref(), Some("b"));
        let dual = [endpoint("a", true, false), endpoint("b", true, true)];
        assert_eq!(chosen(&dual, &[]).as_deref(), Some("b"));
    }

    #[test]
    fn networks_without_a_gateway_are_no_way_out() {
        let internal = [endpoint("a", false, false), endpoint("b", false, true)];
        assert_eq!(chosen(&internal, &[("a", 9)]).as_deref(), Some("b"));
        assert_eq!(chosen(&internal[..1], &[]), None);
    }
}
