//! Networks of a container that runs are changed.

use std::os::fd::AsFd;

use network::{EndpointInfo, Networks, PortBinding, PublishedPort};

use super::gateway::{Asked, settle};
use super::join::attach;
use crate::error::Error;
use crate::settings::Settings;

/// A container that runs, as far as its networks go.
pub(crate) struct Running<'a> {
    pub(crate) networks: &'a Networks,
    pub(crate) settings: &'a Settings,
    pub(crate) name: &'a str,
    pub(crate) pid: i32,
}

impl Running<'_> {
    /// Connects it to a further network and returns all of its endpoints. On failure it has those that it had.
    pub(crate) fn connect(
        &self,
        network: &str,
        mut endpoints: Vec<EndpointInfo>,
        asked: &Asked,
    ) -> Result<Vec<EndpointInfo>, Error> {
        let netns = network::namespace_of(self.pid)?;
        let ports = self.ports(&endpoints)?;
        let to_network = (network, asked.get(network));
        let endpoint = attach(self.networks, self.settings, self.name, to_network, &netns)?;
        let before = endpoints.clone();
        endpoints.push(endpoint.clone());
        match settle(self.networks, &netns, &mut endpoints, asked, &ports) {
            Ok(()) => Ok(endpoints),
            Err(error) => {
                // What failed first is told; what cannot be undone goes with the container.
                let _ = self.networks.detach(&endpoint, netns.as_fd());
                let _ = settle(self.networks, &netns, &mut before.clone(), asked, &ports);
                Err(error)
            }
        }
    }

    /// Takes it out of a network and returns the endpoints that are left.
    pub(crate) fn disconnect(
        &self,
        endpoint: &EndpointInfo,
        mut endpoints: Vec<EndpointInfo>,
        asked: &Asked,
    ) -> Result<Vec<EndpointInfo>, Error> {
        let netns = network::namespace_of(self.pid)?;
        let ports = self.ports(&endpoints)?;
        self.networks.detach(endpoint, netns.as_fd())?;
        endpoints.retain(|other| other.endpoint_id != endpoint.endpoint_id);
        settle(self.networks, &netns, &mut endpoints, asked, &ports)?;
        Ok(endpoints)
    }

    /// The ports to publish: where some are published, the same ones.
    fn ports(&self, endpoints: &[EndpointInfo]) -> Result<Vec<PortBinding>, Error> {
        let published: Vec<_> = endpoints.iter().flat_map(|endpoint| &endpoint.ports).collect();
        if published.is_empty() {
            return crate::ports::bindings(&self.settings.config, &self.settings.host_config);
        }
        let has_ipv4 = |port: &PublishedPort| {
            let is_same = |other: &PublishedPort| {
                (other.host_port, other.container_port, other.protocol)
                    == (port.host_port, port.container_port, port.protocol)
            };
            published.iter().any(|other| is_same(other) && other.host_ip.is_ipv4())
        };
        let bindings = published.iter().filter_map(|port| {
            let everywhere = port.host_ip.is_unspecified();
            // Those on every address of IPv6 come with those of IPv4, where the network has both.
            (!everywhere || port.host_ip.is_ipv4() || !has_ipv4(port)).then(|| PortBinding {
                container_port: port.container_port,
                protocol: port.protocol,
                host_ip: (!everywhere).then_some(port.host_ip),
                host_ports: (!port.is_routed()).then_some((port.host_port, port.host_port)),
            })
        });
        Ok(bindings.collect())
    }
}
