//! Networks are created and removed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::MutexGuard;

use crate::bridge;
use crate::cidr::Cidr;
use crate::config::AddressPool;
use crate::error::Error;
use crate::firewall::{Bridge, Firewall};
use crate::id;
use crate::ipam;
use crate::networks::{Networks, gateways, lock, routes_failed};
use crate::options;
use crate::predefined::{PREDEFINED, first_host};
use crate::record::{Driver, Ipam, IpamConfig, NetworkRecord, Scope};
use crate::state::Network;

/// What is asked for when a network is created.
#[derive(Clone, Debug)]
pub struct NetworkRequest {
    /// Its name.
    pub name: String,
    /// The driver's name; empty is `bridge`.
    pub driver: String,
    /// Whether containers get IPv4 addresses; `None` is yes.
    pub enable_ipv4: Option<bool>,
    /// Whether containers get IPv6 addresses; `None` is no.
    pub enable_ipv6: Option<bool>,
    /// The driver of address management; empty is `default`.
    pub ipam_driver: String,
    /// Options of address management.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Subnets.
    pub ipam_config: Vec<SubnetRequest>,
    /// Cuts the network off from everything outside.
    pub internal: bool,
    /// Whether containers outside a service may join it.
    pub attachable: bool,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A subnet of a new network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetRequest {
    /// The subnet; `None` takes a free one.
    pub subnet: Option<Cidr>,
    /// The range from which containers get addresses.
    pub ip_range: Option<Cidr>,
    /// The bridge's address; `None` takes the first.
    pub gateway: Option<IpAddr>,
    /// Addresses in use by something else, by name.
    pub auxiliary_addresses: BTreeMap<String, IpAddr>,
}

impl NetworkRequest {
    /// A bridge network with Docker's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            driver: String::new(),
            enable_ipv4: None,
            enable_ipv6: None,
            ipam_driver: String::new(),
            ipam_options: None,
            ipam_config: Vec::new(),
            internal: false,
            attachable: false,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl Networks {
    /// Creates a network: its bridge, its rules, its record.
    pub fn create(&self, request: NetworkRequest) -> Result<NetworkRecord, Error> {
        let mut record = blank_record(&request)?;
        // One creation at a time, so that two cannot choose the same subnet or name.
        let _turn = lock(&self.creation);
        if self.state().networks.values().any(|network| network.record.name == record.name) {
            return Err(Error::NameTaken(record.name));
        }
        if record.driver == Driver::Macvlan {
            self.check_macvlan(&record)?;
        }
        record.ipam.config = self.choose_subnets(&record, &request.ipam_config)?;
        if record.driver == Driver::Bridge {
            let bridge = record.options.get(options::BRIDGE_NAME).cloned();
            let bridge = bridge.unwrap_or_else(|| format!("br-{}", &record.id[..12]));
            self.check_interface_is_new(&bridge)?;
            record.bridge = Some(bridge);
        }
        self.install(&record).inspect_err(|_| self.uninstall(&record))?;
        self.store.put(&record.id, &record).inspect_err(|_| self.uninstall(&record))?;
        Ok(record)
    }

    /// Removes a network that no container is connected to.
    pub fn remove(&self, network: &str) -> Result<NetworkRecord, Error> {
        let _turn = lock(&self.creation);
        // The firewall is locked first, so that nobody compares it with the state between the two steps.
        let firewall = self.firewall.as_ref().map(lock);
        // Held until the network is gone from the state, so that nobody joins it meanwhile.
        let mut state = self.state();
        let found = state.find(network)?;
        let record = found.record.clone();
        if is_predefined(&record.name) {
            return Err(Error::PredefinedRemoval(record.name));
        }
        if !found.endpoints.is_empty() {
            let describe = |endpoint: &crate::endpoint::EndpointInfo| {
                format!("name:{:?} id:{:?}", endpoint.container_name, &endpoint.endpoint_id[..12])
            };
            let endpoints = found.endpoints.values().map(describe).collect();
            return Err(Error::ActiveEndpoints { network: record.name, endpoints });
        }
        self.store.remove::<NetworkRecord>(&record.id)?;
        let network = state.networks.remove(&record.id);
        drop(state);
        self.dismantle_network(firewall, network, &record);
        Ok(record)
    }

    /// Removes the networks that no container is connected to and that `selected` chooses; returns them.
    pub fn prune(&self, selected: impl Fn(&NetworkRecord) -> bool) -> Vec<NetworkRecord> {
        let idle: Vec<NetworkRecord> = {
            let state = self.state();
            let idle = state.networks.values().filter(|network| network.endpoints.is_empty());
            idle.map(|network| network.record.clone()).collect()
        };
        let candidates = idle.into_iter().filter(|record| !is_predefined(&record.name) && selected(record));
        candidates.filter(|record| self.remove(&record.id).is_ok()).collect()
    }

    fn check_interface_is_new(&self, name: &str) -> Result<(), Error> {
        let failed = |source| Error::Link { action: "look for bridge", subject: name.to_owned(), source };
        match lock(&self.host).link(name).map_err(failed)? {
            None => Ok(()),
            Some(_) => Err(Error::InvalidOption {
                name: options::BRIDGE_NAME.to_owned(),
                value: name.to_owned(),
                reason: "an interface of this name exists",
            }),
        }
    }

    /// Brings a new network into being, its record not yet stored.
    fn install(&self, record: &NetworkRecord) -> Result<(), Error> {
        let Some(name) = record.bridge.as_deref() else {
            self.state().networks.insert(record.id.clone(), Network::new(record.clone()));
            return Ok(());
        };
        let mut host = lock(&self.host);
        let link = bridge::ensure(&mut host, name, &gateways(record), record.mtu().unwrap_or(self.mtu))?;
        let bridged = self.config.firewall && bridge::filter_bridged(&mut host, &link);
        drop(host);
        if self.config.ip_forward && record.enable_ipv6 {
            bridge::enable_forwarding(true)?;
        }
        let mut network = Network::new(record.clone());
        network.bridged = bridged;
        self.insert(network)
    }

    /// Enters a network, and adds its rules to those that are there; where that fails, all are put into place again.
    fn insert(&self, network: Network) -> Result<(), Error> {
        // The firewall is locked first, so that nobody puts all rules into place between the two steps.
        let mut firewall = self.firewall.as_ref().map(lock);
        let bridge = network.firewall_bridge();
        self.state().networks.insert(network.record.id.clone(), network);
        let (Some(firewall), Some(bridge)) = (&mut firewall, bridge) else { return Ok(()) };
        let (bridges, redirections) = self.state().firewall();
        firewall.add_bridge(&bridge, &bridges).or_else(|error| {
            tracing::warn!(%error, "the firewall's rules are put into place again");
            firewall.replace(&bridges, &redirections)
        })
    }

    /// Takes a network out of the state and the kernel. What fails here is found again at the next start.
    fn uninstall(&self, record: &NetworkRecord) {
        let firewall = self.firewall.as_ref().map(lock);
        let network = self.state().networks.remove(&record.id);
        self.dismantle_network(firewall, network, record);
    }

    /// Takes a network that is in the state no more out of the kernel.
    fn dismantle_network(
        &self,
        firewall: Option<MutexGuard<'_, Firewall>>,
        network: Option<Network>,
        record: &NetworkRecord,
    ) {
        let Some(name) = &record.bridge else { return };
        // Its rules are those of the network as it was, not of what its record alone says.
        let bridge = network.and_then(|network| network.firewall_bridge());
        if let (Some(firewall), Some(bridge)) = (firewall, bridge)
            && let Err(error) = self.remove_rules(firewall, &bridge)
        {
            tracing::warn!(network = record.name, %error, "rules could not be removed");
        }
        let mut host = lock(&self.host);
        let removed =
            host.link(name).and_then(|link| link.map_or(Ok(()), |link| host.delete_link(link.index)));
        if let Err(error) = removed {
            tracing::warn!(network = record.name, bridge = name, %error, "bridge could not be removed");
        }
    }

    fn remove_rules(&self, mut firewall: MutexGuard<'_, Firewall>, bridge: &Bridge) -> Result<(), Error> {
        let (bridges, redirections) = self.state().firewall();
        let removed = firewall.remove_bridge(bridge, &bridges);
        // They may not be there: a network that could not be made, or a firewall that something else flushed.
        removed.or_else(|_| firewall.replace(&bridges, &redirections))
    }

    fn choose_subnets(
        &self,
        record: &NetworkRecord,
        requests: &[SubnetRequest],
    ) -> Result<Vec<IpamConfig>, Error> {
        check_subnets(requests)?;
        let state = self.state();
        let records = state.networks.values().map(|network| &network.record);
        let mut ours: Vec<Cidr> =
            records.flat_map(|record| record.ipam.config.iter().map(|config| config.subnet)).collect();
        drop(state);
        let routed = bridge::routed_networks(&mut lock(&self.host), "").map_err(routes_failed)?;
        let mut configs = Vec::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            if !family.is_enabled(record) {
                continue;
            }
            let matching: Vec<&SubnetRequest> =
                requests.iter().filter(|request| Family::of(request) == family).collect();
            if matching.len() > 1 {
                let driver = record.driver.as_str();
                return Err(Error::InvalidNetwork(vec![format!(
                    "{driver} driver doesn't support multiple subnets"
                )]));
            }
            let request = matching.first().copied().cloned().unwrap_or_default();
            let subnet = match request.subnet {
                Some(subnet) if ours.iter().any(|other| other.overlaps(&subnet)) => {
                    return Err(Error::SubnetOverlaps(subnet));
                }
                Some(subnet) => subnet,
                None => self.free_subnet(family, &[ours.as_slice(), &routed].concat())?,
            };
            ours.push(subnet);
            configs.push(IpamConfig {
                subnet,
                ip_range: request.ip_range,
                gateway: Some(request.gateway.unwrap_or_else(|| first_host(subnet).address())),
                auxiliary_addresses: request.auxiliary_addresses,
            });
        }
        Ok(configs)
    }

    fn free_subnet(&self, family: Family, taken: &[Cidr]) -> Result<Cidr, Error> {
        let pools = match family {
            Family::Ipv4 => ipv4_pools(&self.config.default_address_pools),
            Family::Ipv6 => vec![AddressPool { base: random_unique_local(), size: 64 }],
        };
        ipam::choose_subnet(&pools, taken).ok_or(Error::SubnetsExhausted)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// A request that names no subnet goes by its other addresses, and without any is meant for IPv4.
    fn of(request: &SubnetRequest) -> Self {
        let address = request.subnet.or(request.ip_range).map(|cidr| cidr.address()).or(request.gateway);
        if address.is_some_and(|address| address.is_ipv6()) { Self::Ipv6 } else { Self::Ipv4 }
    }

    fn is_enabled(self, record: &NetworkRecord) -> bool {
        match self {
            Self::Ipv4 => record.enable_ipv4,
            Self::Ipv6 => record.enable_ipv6,
        }
    }
}

fn ipv4_pools(configured: &[AddressPool]) -> Vec<AddressPool> {
    let four: Vec<AddressPool> =
        configured.iter().filter(|pool| pool.base.address().is_ipv4()).copied().collect();
    if four.is_empty() { ipam::default_pools() } else { four }
}

/// A /48 of the unique local addresses (RFC 4193).
fn random_unique_local() -> Cidr {
    let mut octets = [0; 16];
    sys::random::fill(&mut octets[1..6]);
    octets[0] = 0xfd;
    Cidr::new(IpAddr::from(octets), 48).expect("48 bits fit")
}

/// Whether it is one of the networks every engine has.
pub(crate) fn is_predefined(name: &str) -> bool {
    PREDEFINED.iter().any(|(predefined, _)| *predefined == name)
}

fn blank_record(request: &NetworkRequest) -> Result<NetworkRecord, Error> {
    check_name(&request.name)?;
    let driver = match request.driver.as_str() {
        "" | "bridge" => Driver::Bridge,
        "macvlan" => Driver::Macvlan,
        other => return Err(Error::UnsupportedDriver(other.to_owned())),
    };
    let record = NetworkRecord {
        id: id::random_id(),
        name: request.name.clone(),
        created: id::now(),
        driver,
        scope: Scope::Local,
        enable_ipv4: request.enable_ipv4.unwrap_or(true),
        enable_ipv6: request.enable_ipv6.unwrap_or(false),
        ipam: Ipam {
            driver: "default".to_owned(),
            options: request.ipam_options.clone(),
            config: Vec::new(),
        },
        internal: request.internal,
        attachable: request.attachable,
        ingress: false,
        options: request.options.clone(),
        labels: request.labels.clone(),
        bridge: None,
    };
    check_record(&record, request)?;
    Ok(record)
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_predefined(name) || name == "default" {
        return Err(Error::Predefined(name.to_owned()));
    }
    let invalid = |reason| Error::InvalidSetting { setting: "network name", value: name.to_owned(), reason };
    if name.trim().is_empty() {
        return Err(invalid("it is empty"));
    }
    if name.len() > 255 || name.contains(['/', '\0']) || name.chars().any(char::is_control) {
        return Err(invalid("it has more than 255 bytes, a slash or a control character"));
    }
    Ok(())
}

fn check_record(record: &NetworkRecord, request: &NetworkRequest) -> Result<(), Error> {
    if !["", "default"].contains(&request.ipam_driver.as_str()) {
        return Err(Error::UnsupportedDriver(request.ipam_driver.clone()));
    }
    if let Some((name, value)) = request.ipam_options.iter().flatten().next() {
        return Err(Error::InvalidOption {
            name: name.clone(),
            value: value.clone(),
            reason: "this option of address management is not supported",
        });
    }
    if !record.enable_ipv4 && !record.enable_ipv6 {
        return Err(Error::InvalidNetwork(vec!["IPv4 or IPv6 must be enabled".to_owned()]));
    }
    match record.driver {
        Driver::Macvlan => record.check_macvlan_options(),
        _ => record.check_options(),
    }
}

/// Checks what the requests say against itself, and tells everything that is wrong, in Docker's words.
fn check_subnets(requests: &[SubnetRequest]) -> Result<(), Error> {
    let mut faults = Vec::new();
    for request in requests {
        let Some(subnet) = request.subnet else {
            if request.ip_range.is_some() || request.gateway.is_some() {
                faults.push("a gateway or ip-range needs a subnet".to_owned());
            }
            continue;
        };
        if subnet != subnet.network() {
            faults.push(format!("invalid subnet {subnet}: it should be {}", subnet.network()));
        }
        if let Some(range) = request.ip_range {
            faults.extend(range_faults(range, subnet));
        }
        let gateway =
            request.gateway.and_then(|gateway| address_fault(gateway, subnet).map(|fault| (gateway, fault)));
        faults.extend(gateway.map(|(gateway, fault)| format!("invalid gateway {gateway}: {fault}")));
        for (name, address) in &request.auxiliary_addresses {
            let fault = address_fault(*address, subnet);
            faults.extend(fault.map(|fault| format!("invalid auxiliary address {name}: {fault}")));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::InvalidNetwork(faults)) }
}

fn range_faults(range: Cidr, subnet: Cidr) -> Vec<String> {
    let family = if subnet.address().is_ipv4() { 4 } else { 6 };
    if range.address().is_ipv4() != subnet.address().is_ipv4() {
        return vec![format!("invalid ip-range {range}: parent subnet is an IPv{family} block")];
    }
    let mut faults = Vec::new();
    if range.prefix() < subnet.prefix() {
        faults
            .push(format!("invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.network() {
        faults.push(format!("invalid ip-range {range}: it should be {}", range.network()));
    }
    if !subnet.overlaps(&range) {
        faults.push(format!("invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range"));
    }
    faults
}

fn address_fault(address: IpAddr, subnet: Cidr) -> Option<String> {
    if address.is_ipv4() != subnet.address().is_ipv4() {
        let family = if subnet.address().is_ipv4() { 4 } else { 6 };
        return Some(format!("parent subnet is an IPv{family} block"));
    }
    (!subnet.contains(address)).then(|| format!("parent subnet {subnet} doesn't contain this address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(subnet: &str, range: Option<&str>, gateway: Option<&str>) -> SubnetRequest {
        SubnetRequest {
            subnet: Some(subnet.parse().unwrap()),
            ip_range: range.map(|range| range.parse().unwrap()),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            auxiliary_addresses: BTreeMap::new(),
        }
    }

    #[test]
    fn check_subnets_tells_everything_that_is_wrong() {
        let requests = [
            subnet("10.0.0.1/24", Some("10.0.0.0/16"), Some("10.0.1.1")),
            subnet("fd00::/64", Some("10.0.0.0/24"), Some("10.0.0.1")),
            subnet("10.9.0.0/24", Some("10.9.1.3/25"), None),
        ];
        let message = check_subnets(&requests).unwrap_err().to_string();
        assert_eq!(
            message,
            "invalid network config:\n\
             invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24\n\
             invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.1/24\n\
             invalid gateway 10.0.1.1: parent subnet 10.0.0.1/24 doesn't contain this address\n\
             invalid ip-range 10.0.0.0/24: parent subnet is an IPv6 block\n\
             invalid gateway 10.0.0.1: parent subnet is an IPv6 block\n\
             invalid ip-range 10.9.1.3/25: it should be 10.9.1.0/25\n\
             invalid ip-range 10.9.1.3/25: parent subnet 10.9.0.0/24 doesn't contain ip-range"
        );
        assert!(check_subnets(&[subnet("10.0.0.0/24", Some("10.0.0.128/25"), Some("10.0.0.254"))]).is_ok());
    }

    #[test]
    fn blank_record_unsupported_driver_or_name_is_refused_by_name() {
        let with = |change: fn(&mut NetworkRequest)| {
            let mut request = NetworkRequest::new("lab");
            change(&mut request);
            blank_record(&request).unwrap_err().to_string()
        };
        assert_eq!(
            with(|request| request.driver = "ipvlan".into()),
            "network driver \"ipvlan\" is not supported"
        );
        assert!(with(|request| request.driver = "macvlan".into()).contains("-o parent="));
        assert_eq!(
            with(|request| request.name = "host".into()),
            "operation is not permitted on predefined host network "
        );
        assert!(with(|request| request.name = "a/b".into()).contains("a/b"));
        assert!(with(|request| request.name = " ".into()).contains("empty"));
        assert!(with(|request| request.enable_ipv4 = Some(false)).contains("IPv4 or IPv6 must be enabled"));
        assert!(
            with(|request| drop(request.options.insert("color".into(), "red".into()))).contains("color=red")
        );
    }

    #[test]
    fn random_unique_local_is_in_its_range() {
        let prefix = random_unique_local();
        assert!("fd00::/8".parse::<Cidr>().unwrap().contains(prefix.address()));
        assert_eq!(prefix, prefix.network());
    }
}
