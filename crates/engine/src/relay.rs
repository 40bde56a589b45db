//! Published ports that the firewall cannot lead to a container: its supervisor passes them on.

use std::os::fd::OwnedFd;

use network::{EndpointInfo, Networks, Protocol};
use shim::wire::MAX_DESCRIPTORS;
use shim::{RelayService, RelayedPort, RequestBody, Service, Transport};

use crate::error::Error;

/// The requests by which a supervisor passes on what these endpoints publish; none where that is nothing.
///
/// # Errors
///
/// A socket cannot be had.
pub(crate) fn requests(
    networks: &Networks,
    endpoints: &[EndpointInfo],
) -> Result<Vec<(RequestBody, Vec<OwnedFd>)>, Error> {
    let mut relayed = Vec::new();
    for endpoint in endpoints {
        relayed.extend(networks.relayed(endpoint).map_err(Error::Networking)?);
    }
    let mut requests = Vec::new();
    let mut relayed = relayed.into_iter().peekable();
    while relayed.peek().is_some() {
        let part = relayed.by_ref().take(MAX_DESCRIPTORS);
        let (ports, sockets) = part.map(|port| (describe(&port), port.socket)).unzip();
        requests.push((request(RelayService { keep: !requests.is_empty(), ports }), sockets));
    }
    Ok(requests)
}

/// The request by which a supervisor passes on nothing more.
pub(crate) fn nothing() -> (RequestBody, Vec<OwnedFd>) {
    (request(RelayService::default()), Vec::new())
}

/// The endpoint that has the published ports.
pub(crate) fn carrier(endpoints: &[EndpointInfo]) -> Option<String> {
    let carrier = endpoints.iter().find(|endpoint| !endpoint.ports.is_empty());
    carrier.map(|endpoint| endpoint.endpoint_id.clone())
}

fn request(told: RelayService) -> RequestBody {
    RequestBody::Serve(Service::Relay(told))
}

fn describe(port: &network::RelayedPort) -> RelayedPort {
    let transport = match port.protocol {
        Protocol::Udp => Transport::Packets,
        Protocol::Tcp | Protocol::Sctp => Transport::Stream,
    };
    RelayedPort { transport, target: port.target }
}
