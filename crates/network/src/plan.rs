//! What publishing ports would do to the firewall.

use crate::connect::FIRST_INTERFACE;
use crate::endpoint::{EndpointInfo, EndpointRequest};
use crate::error::Error;
use crate::firewall;
use crate::networks::{Networks, lock};
use crate::port::{PortBinding, PublishedPort};
use crate::record::Driver;

/// What would change if a container published ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The nftables table.
    pub table: String,
    /// The container's endpoint, as it would be with the next free address.
    pub endpoint: EndpointInfo,
    /// What is added to the table, as commands of `nft`; the end of the container takes it away again.
    pub changes: Vec<String>,
    /// Ports that the container's supervisor passes on, since the firewall cannot: host, container and protocol.
    pub relayed: Vec<String>,
    /// The table as it is meant to be now, in the language of `nft`.
    pub before: String,
    /// The table with the container's ports.
    pub after: String,
}

impl Networks {
    /// Tells what publishing these ports of a new container would do. Nothing is changed.
    ///
    /// # Errors
    /// As those of a start that publishes them: a port that is taken, an address that the host does not have.
    pub fn plan(&self, network: &str, ports: &[PortBinding]) -> Result<Plan, Error> {
        let mut state = self.state().clone();
        let record = state.find(network)?.record.clone();
        let (bridges, redirections) = state.firewall();
        let request = EndpointRequest { network: record.id.clone(), ..EndpointRequest::default() };
        let mut endpoint = state.reserve(&request, FIRST_INTERFACE)?;
        if record.driver == Driver::Bridge && !record.internal {
            let mut chosen = Vec::new();
            let asked = ports.iter().try_for_each(|binding| {
                chosen.extend(self.choose_ports(&record, &endpoint, binding)?);
                Ok::<_, Error>(())
            });
            // They were only asked for, not taken; each of them with the others in the way, as at a start.
            chosen.iter().for_each(|port| lock(&self.ports).release(port));
            asked?;
            endpoint.ports = chosen;
        }
        let added = if self.firewall.is_some() { endpoint.redirections() } else { Vec::new() };
        let table = &self.config.table;
        let after = [redirections.as_slice(), &added].concat();
        Ok(Plan {
            table: table.clone(),
            changes: firewall::commands(table, &added),
            relayed: endpoint.ports.iter().filter_map(|port| relay(&endpoint, port)).collect(),
            before: firewall::text(table, &bridges, &redirections),
            after: firewall::text(table, &bridges, &after),
            endpoint,
        })
    }
}

fn relay(endpoint: &EndpointInfo, port: &PublishedPort) -> Option<String> {
    let host = std::net::SocketAddr::new(port.host_ip, port.host_port);
    Some(format!("{host}/{} -> {}", port.protocol, endpoint.relay_target(port)?))
}
