//! What is known of the networks at this moment: who has which address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::endpoint::{EndpointInfo, EndpointRequest};
use crate::error::Error;
use crate::firewall::{Bridge, Redirection, Subnet};
use crate::id;
use crate::ipam::{Pool, Refusal};
use crate::mac::MacAddress;
use crate::options;
use crate::port::{LinkedPort, Protocol, PublishedPort};
use crate::record::{Driver, NetworkRecord};

/// A network with its addresses and endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) record: NetworkRecord,
    pub(crate) pools: Vec<Pool>,
    /// Whether packets between its containers pass the firewall too.
    pub(crate) bridged: bool,
    /// By endpoint ID.
    pub(crate) endpoints: BTreeMap<String, EndpointInfo>,
}

/// All networks, by ID.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) networks: BTreeMap<String, Network>,
}

impl Network {
    pub(crate) fn new(record: NetworkRecord) -> Self {
        let pools = record.ipam.config.iter().map(Pool::new).collect();
        Self { record, pools, bridged: false, endpoints: BTreeMap::new() }
    }

    /// What the firewall needs to know; `None` for networks without a bridge.
    pub(crate) fn firewall_bridge(&self) -> Option<Bridge> {
        let config = &self.record.ipam.config;
        Some(Bridge {
            name: self.record.bridge.clone()?,
            subnets: config
                .iter()
                .map(|config| Subnet {
                    network: config.subnet,
                    gateway: config.gateway,
                    mode: self.record.gateway_mode(config.subnet.address()),
                })
                .collect(),
            icc: self.record.switch(options::ENABLE_ICC),
            masquerade: self.record.switch(options::ENABLE_MASQUERADE),
            internal: self.record.internal,
            bridged: self.bridged,
        })
    }

    /// Chooses addresses for a new endpoint and enters it.
    fn reserve(&mut self, request: &EndpointRequest, interface: &str) -> Result<EndpointInfo, Error> {
        let mut endpoint = self.blank_endpoint(request);
        if matches!(self.record.driver, Driver::Bridge | Driver::Macvlan) {
            self.allocate_addresses(request, &mut endpoint)?;
            endpoint.interface = Some(interface.to_owned());
        }
        if self.record.driver == Driver::Bridge {
            endpoint.host_interface = Some(id::random_interface());
        }
        self.endpoints.insert(endpoint.endpoint_id.clone(), endpoint.clone());
        Ok(endpoint)
    }

    fn blank_endpoint(&self, request: &EndpointRequest) -> EndpointInfo {
        EndpointInfo {
            endpoint_id: id::random_id(),
            network_id: self.record.id.clone(),
            network_name: self.record.name.clone(),
            container_id: request.container_id.clone(),
            container_name: request.container_name.clone(),
            interface: None,
            host_interface: None,
            ipv4: None,
            ipv4_prefix: 0,
            gateway: None,
            ipv6: None,
            ipv6_prefix: 0,
            ipv6_gateway: None,
            mac: None,
            ports: Vec::new(),
            links: Vec::new(),
        }
    }

    fn allocate_addresses(
        &mut self,
        request: &EndpointRequest,
        endpoint: &mut EndpointInfo,
    ) -> Result<(), Error> {
        let mut taken = Vec::new();
        let allocated = self.allocate_family(request.ipv4.map(IpAddr::V4), 4, &mut taken).and_then(|ipv4| {
            let ipv6 = self.allocate_family(request.ipv6.map(IpAddr::V6), 6, &mut taken)?;
            Ok((ipv4, ipv6))
        });
        let (ipv4, ipv6) = match allocated {
            Ok(allocated) => allocated,
            Err(error) => {
                taken.into_iter().for_each(|address| self.release_address(address));
                return Err(error);
            }
        };
        if let Some((IpAddr::V4(address), prefix, gateway)) = ipv4 {
            endpoint.ipv4 = Some(address);
            endpoint.ipv4_prefix = prefix;
            endpoint.gateway = gateway.and_then(|gateway| match gateway {
                IpAddr::V4(gateway) => Some(gateway),
                IpAddr::V6(_) => None,
            });
            endpoint.mac = Some(MacAddress::for_ipv4(address));
        }
        if let Some((IpAddr::V6(address), prefix, gateway)) = ipv6 {
            endpoint.ipv6 = Some(address);
            endpoint.ipv6_prefix = prefix;
            endpoint.ipv6_gateway = gateway.and_then(|gateway| match gateway {
                IpAddr::V6(gateway) => Some(gateway),
                IpAddr::V4(_) => None,
            });
        }
        endpoint.mac = request.mac.or(endpoint.mac).or_else(|| Some(MacAddress::random()));
        Ok(())
    }

    /// An address of one family, with prefix length and gateway; `None` where the network has no subnet of it.
    fn allocate_family(
        &mut self,
        wanted: Option<IpAddr>,
        family: u8,
        taken: &mut Vec<IpAddr>,
    ) -> Result<Option<(IpAddr, u8, Option<IpAddr>)>, Error> {
        let internal = self.record.internal;
        let configs = self.record.ipam.config.iter();
        let mut candidates = self
            .pools
            .iter_mut()
            .zip(configs)
            .filter(|(pool, _)| pool.subnet().address().is_ipv4() == (family == 4))
            .peekable();
        if candidates.peek().is_none() {
            return wanted.map_or(Ok(None), |address| Err(Error::AddressOutOfRange(address)));
        }
        for (pool, config) in candidates {
            let address = match wanted {
                None => pool.allocate(),
                Some(address) => match pool.claim(address) {
                    Ok(()) => Some(address),
                    Err(Refusal::InUse) => return Err(Error::AddressInUse(address)),
                    Err(Refusal::OutOfRange) => None,
                },
            };
            if let Some(address) = address {
                taken.push(address);
                let gateway = config.gateway.filter(|_| !internal);
                return Ok(Some((address, config.subnet.prefix(), gateway)));
            }
        }
        Err(match wanted {
            Some(address) => Error::AddressOutOfRange(address),
            None => Error::AddressesExhausted {
                family,
                network: self.record.name.clone(),
                id: self.record.id.clone(),
            },
        })
    }

    fn release_address(&mut self, address: IpAddr) {
        self.pools.iter_mut().for_each(|pool| pool.release(address));
    }
}

impl State {
    /// The network with this name, ID, or unique beginning of an ID, in this order.
    pub(crate) fn find(&self, network: &str) -> Result<&Network, Error> {
        let by_name = || self.networks.values().find(|candidate| candidate.record.name == network);
        if let Some(found) = self.networks.get(network).or_else(by_name) {
            return Ok(found);
        }
        let mut matches =
            self.networks.range(network.to_owned()..).take_while(|(id, _)| id.starts_with(network));
        match (network.is_empty(), matches.next(), matches.count()) {
            (false, Some((_, found)), 0) => Ok(found),
            (false, Some(_), more) => Err(Error::Ambiguous(network.to_owned(), more + 1)),
            _ => Err(Error::NotFound(network.to_owned())),
        }
    }

    /// Chooses addresses for a new endpoint and enters it.
    pub(crate) fn reserve(
        &mut self,
        request: &EndpointRequest,
        interface: &str,
    ) -> Result<EndpointInfo, Error> {
        let id = self.find(&request.network)?.record.id.clone();
        let network = self.networks.get_mut(&id).expect("the network was just found");
        let connected =
            network.endpoints.values().any(|endpoint| endpoint.container_id == request.container_id);
        if connected {
            return Err(Error::AlreadyConnected {
                container: request.container_name.clone(),
                network: network.record.name.clone(),
            });
        }
        network.reserve(request, interface)
    }

    /// Enters an endpoint that is in use. One whose network is gone, or whose address is taken, is left out.
    pub(crate) fn adopt(&mut self, endpoint: EndpointInfo) -> bool {
        let Some(network) = self.networks.get_mut(&endpoint.network_id) else { return false };
        for address in endpoint.addresses() {
            if !network.pools.iter_mut().any(|pool| pool.claim(address).is_ok()) {
                return false;
            }
        }
        network.endpoints.insert(endpoint.endpoint_id.clone(), endpoint);
        true
    }

    /// Enters what an endpoint has got since it was reserved.
    pub(crate) fn update(&mut self, endpoint: &EndpointInfo) {
        let network = self.networks.get_mut(&endpoint.network_id);
        if let Some(entry) = network.and_then(|network| network.endpoints.get_mut(&endpoint.endpoint_id)) {
            entry.clone_from(endpoint);
        }
    }

    /// Gives a container's endpoints its new name.
    pub(crate) fn rename(&mut self, container_id: &str, name: &str) {
        let endpoints = self.networks.values_mut().flat_map(|network| network.endpoints.values_mut());
        for endpoint in endpoints.filter(|endpoint| endpoint.container_id == container_id) {
            name.clone_into(&mut endpoint.container_name);
        }
    }

    /// Forgets an endpoint and frees its addresses; `None` where it was not there.
    pub(crate) fn release(&mut self, network_id: &str, endpoint_id: &str) -> Option<EndpointInfo> {
        let network = self.networks.get_mut(network_id)?;
        let endpoint = network.endpoints.remove(endpoint_id)?;
        endpoint.addresses().for_each(|address| network.release_address(address));
        Some(endpoint)
    }

    /// What the firewall needs to know of all networks and ports.
    pub(crate) fn firewall(&self) -> (Vec<Bridge>, Vec<Redirection>) {
        let mut networks: Vec<&Network> = self.networks.values().collect();
        networks.sort_by_cached_key(|network| network.record.created.parse::<jiff::Timestamp>().ok());
        let bridges = networks.into_iter().filter_map(Network::firewall_bridge).collect();
        let endpoints = self.networks.values().flat_map(|network| network.endpoints.values());
        let let_through =
            endpoints.flat_map(|endpoint| [endpoint.redirections(), endpoint.openings()].concat());
        (bridges, let_through.collect())
    }
}

impl EndpointInfo {
    /// The container's addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }

    /// Where a port of the host is relayed to, if it is: what the firewall cannot redirect. That is IPv6 to a container without
    /// such an address, and `::1`, which is no sender that a container could answer.
    pub(crate) fn relay_target(&self, port: &PublishedPort) -> Option<SocketAddr> {
        let IpAddr::V6(host) = port.host_ip else { return None };
        let everything = self.ipv6.is_none();
        let loopback = host.is_unspecified() || host.is_loopback();
        if port.is_routed() || port.protocol == Protocol::Sctp || !(everything || loopback) {
            return None;
        }
        let target = self.ipv6.map(IpAddr::V6).or(self.ipv4.map(IpAddr::V4))?;
        Some(SocketAddr::new(target, port.container_port))
    }

    /// What its published ports are for the firewall. A port of a family that the container lacks is not there.
    pub(crate) fn redirections(&self) -> Vec<Redirection> {
        let target = |host: IpAddr| self.addresses().find(|address| address.is_ipv4() == host.is_ipv4());
        self.ports
            .iter()
            .filter_map(|port| {
                Some(Redirection {
                    protocol: port.protocol,
                    host: (!port.is_routed()).then_some((port.host_ip, port.host_port)),
                    client: None,
                    container: (target(port.host_ip)?, port.container_port),
                })
            })
            .collect()
    }

    /// What its links are for the firewall.
    pub(crate) fn openings(&self) -> Vec<Redirection> {
        let own = |other: IpAddr| self.addresses().find(|address| address.is_ipv4() == other.is_ipv4());
        let opening = |link: &LinkedPort| {
            Some(Redirection {
                protocol: link.protocol,
                host: None,
                client: Some(own(link.address)?),
                container: (link.address, link.port),
            })
        };
        self.links.iter().filter_map(opening).collect()
    }
}
