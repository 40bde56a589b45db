//! Containers join networks and leave them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::endpoint::{EndpointInfo, EndpointRequest, Sandbox};
use crate::error::Error;
use crate::id;
use crate::namespace::{self, Ipv6, Namespace};
use crate::networks::{Networks, lock};
use crate::options::{self, GatewayMode};
use crate::pool::SandboxPool;
use crate::port::{LinkedPort, PortBinding, Protocol, PublishedPort, RelayedPort};
use crate::record::{Driver, NetworkRecord};
use crate::sandbox::{self, Routes};

/// The interface of a container's first network.
pub(crate) const FIRST_INTERFACE: &str = "eth0";

impl Networks {
    /// Makes a network namespace that is connected to the network; on `none`, one with a loopback interface only.
    /// Its ports are published when this returns.
    pub fn connect(&self, request: EndpointRequest) -> Result<Sandbox, Error> {
        let mut reservation = self.reserve(&request, FIRST_INTERFACE)?;
        let netns = match self.prepared_for(&reservation.endpoint) {
            Some((prepared, host_interface)) => reservation.occupy(prepared, host_interface)?,
            None => self.build(&reservation.endpoint)?,
        };
        reservation.publish()?;
        Ok(Sandbox { id: id::random_id(), netns, endpoint: reservation.persist() })
    }

    /// A prepared sandbox, where the endpoint's network has them.
    fn prepared_for(&self, endpoint: &EndpointInfo) -> Option<(Namespace, String)> {
        let fits = endpoint.network_name == "bridge" && endpoint.ipv4.is_some() && endpoint.ipv6.is_none();
        let prepared = self.pool.get().filter(|_| fits)?.take()?;
        Some((prepared.namespace, prepared.host_interface?))
    }

    /// Makes a namespace for the endpoint.
    fn build(&self, endpoint: &EndpointInfo) -> Result<OwnedFd, Error> {
        let mut namespace = match self.bare_pool.get().and_then(SandboxPool::take) {
            Some(prepared) => prepared.namespace,
            None => namespace::on_own_thread("create", Namespace::create)?,
        };
        if endpoint.ipv6.is_some() {
            namespace::set_ipv6(&namespace, Ipv6::Allowed)?;
        }
        self.plug(&mut namespace, endpoint, Routes::All)?;
        Ok(namespace.netns)
    }

    /// Connects a namespace that exists to a further network. What leaves the network goes as before: [`Networks::route`]
    /// changes that.
    pub fn attach(&self, request: EndpointRequest, netns: BorrowedFd<'_>) -> Result<EndpointInfo, Error> {
        let mut namespace = namespace::open(netns)?;
        let interface = free_interface(&mut namespace)?;
        let mut reservation = self.reserve(&request, &interface)?;
        let has_ipv6 = reservation.endpoint.ipv6.is_some();
        namespace::set_ipv6(&namespace, if has_ipv6 { Ipv6::Allowed } else { Ipv6::Forbidden })?;
        self.plug(&mut namespace, &reservation.endpoint, Routes::Local)?;
        reservation.publish()?;
        Ok(reservation.persist())
    }

    /// Publishes ports of an endpoint that has none. On failure none is published.
    pub fn publish(&self, endpoint: &EndpointInfo, ports: &[PortBinding]) -> Result<EndpointInfo, Error> {
        let record = self.inspect(&endpoint.network_id)?;
        let mut reservation = Reservation {
            networks: self,
            endpoint: EndpointInfo { ports: Vec::new(), ..endpoint.clone() },
            published: Published::No,
            on_drop: OnDrop::ReleasePorts,
        };
        reservation.take_ports(&record, ports)?;
        reservation.publish()?;
        Ok(reservation.persist())
    }

    /// The ports of an endpoint that the firewall cannot lead to it, each with where it goes and a socket of the host.
    pub fn relayed(&self, endpoint: &EndpointInfo) -> Result<Vec<RelayedPort>, Error> {
        let ports = lock(&self.ports);
        let relayed = endpoint.ports.iter().filter_map(|port| Some((port, endpoint.relay_target(port)?)));
        let listener = |(port, target): (&PublishedPort, SocketAddr)| {
            let failed = |source| Error::PortUnavailable {
                host_ip: port.host_ip,
                port: port.host_port,
                protocol: port.protocol,
                source,
            };
            let socket = ports.listener(port).map_err(failed)?;
            Ok(RelayedPort { protocol: port.protocol, target, socket })
        };
        relayed.map(listener).collect()
    }

    /// Takes back what an endpoint has published.
    pub fn unpublish(&self, endpoint: &mut EndpointInfo) {
        if !endpoint.ports.is_empty() {
            self.give_ports_back(endpoint, Published::Yes);
        }
    }

    /// Sends what leaves a namespace's networks by these endpoints, one for each family; `None` leaves no way out.
    pub fn route(
        &self,
        netns: BorrowedFd<'_>,
        ipv4: Option<&EndpointInfo>,
        ipv6: Option<&EndpointInfo>,
    ) -> Result<(), Error> {
        let mut namespace = namespace::open(netns)?;
        let ipv4 = ipv4.and_then(|endpoint| Some((endpoint.gateway?.into(), endpoint.interface.as_deref()?)));
        let ipv6 =
            ipv6.and_then(|endpoint| Some((endpoint.ipv6_gateway?.into(), endpoint.interface.as_deref()?)));
        sandbox::route(&mut namespace, ipv4, ipv6).map_err(|source| Error::Link {
            action: "change",
            subject: "default route".to_owned(),
            source,
        })
    }

    /// Takes the endpoint out of a namespace that lives on, and frees its address and ports. Takes 20 to 30 ms.
    pub fn detach(&self, endpoint: &EndpointInfo, netns: BorrowedFd<'_>) -> Result<(), Error> {
        let mut namespace = namespace::open(netns)?;
        if let Some(interface) = &endpoint.interface {
            let failed =
                |source| Error::Link { action: "remove interface", subject: interface.clone(), source };
            if let Some(link) = namespace.socket.link(interface).map_err(failed)? {
                namespace.socket.delete_link(link.index).map_err(failed)?;
            }
        }
        self.release(endpoint);
        Ok(())
    }

    /// Shows a container's endpoints under its new name.
    pub fn rename(&self, container_id: &str, name: &str) {
        self.state().rename(container_id, name);
    }

    /// Lets an endpoint reach these ports of others, and no longer those that it was let reach before, on a network that lets
    /// containers reach nothing of each other. On others nothing changes.
    pub fn link(&self, endpoint: &EndpointInfo, mut ports: Vec<LinkedPort>) -> Result<EndpointInfo, Error> {
        let record = self.inspect(&endpoint.network_id)?;
        if record.driver != Driver::Bridge || record.switch(options::ENABLE_ICC) {
            return Ok(endpoint.clone());
        }
        ports.sort_unstable();
        ports.dedup();
        let linked = EndpointInfo { links: ports, ..endpoint.clone() };
        let (before, after) = (endpoint.openings(), linked.openings());
        self.state().update(&linked);
        if let (Some(firewall), false) = (&self.firewall, before == after) {
            let mut firewall = lock(firewall);
            let changed = firewall.unpublish(&before).and_then(|()| firewall.publish(&after));
            drop(firewall);
            if let Err(error) = changed {
                // As where ports are published.
                tracing::warn!(%error, "the firewall's rules are put into place again");
                self.replace_rules()?;
            }
        }
        Ok(linked)
    }

    /// Frees the endpoint's address and ports. Its interfaces go with the namespace; nothing here waits for that.
    pub fn release(&self, endpoint: &EndpointInfo) {
        self.give_back(endpoint, Published::Yes);
    }

    fn give_back(&self, endpoint: &EndpointInfo, published: Published) {
        let released = self.state().release(&endpoint.network_id, &endpoint.endpoint_id);
        if let Some(mut released) = released {
            let openings = released.openings();
            if let (Some(firewall), false) = (&self.firewall, openings.is_empty())
                && let Err(error) = lock(firewall).unpublish(&openings)
            {
                tracing::warn!(endpoint = released.endpoint_id, %error, "links could not be taken back");
            }
            self.give_ports_back(&mut released, published);
        }
    }

    fn give_ports_back(&self, endpoint: &mut EndpointInfo, published: Published) {
        let redirections = endpoint.redirections();
        if let (Some(firewall), Published::Yes, false) = (&self.firewall, published, redirections.is_empty())
            && let Err(error) = lock(firewall).unpublish(&redirections)
        {
            tracing::warn!(endpoint = endpoint.endpoint_id, %error, "published ports could not be taken back");
        }
        let mut ports = lock(&self.ports);
        endpoint.ports.drain(..).for_each(|port| ports.release(&port));
        drop(ports);
        self.state().update(endpoint);
    }

    /// Takes addresses and ports for a new endpoint.
    fn reserve(&self, request: &EndpointRequest, interface: &str) -> Result<Reservation<'_>, Error> {
        let mut state = self.state();
        let record = state.find(&request.network)?.record.clone();
        if record.driver == Driver::Host {
            return Err(Error::Unsupported {
                network: record.name,
                action: "a network namespace of its own",
            });
        }
        if request.mac.is_some_and(|mac| !mac.is_unicast()) {
            return Err(Error::InvalidSetting {
                setting: "MAC address",
                value: request.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                reason: "it is a group address or zero",
            });
        }
        let endpoint = state.reserve(request, interface)?;
        drop(state);
        let mut reservation =
            Reservation { networks: self, endpoint, published: Published::No, on_drop: OnDrop::Release };
        reservation.take_ports(&record, &request.ports)?;
        Ok(reservation)
    }

    fn plug(&self, namespace: &mut Namespace, endpoint: &EndpointInfo, routes: Routes) -> Result<(), Error> {
        let record = self.inspect(&endpoint.network_id)?;
        let mut host = lock(&self.host);
        if record.driver == Driver::Macvlan {
            let parent = record.parent(&mut host)?;
            return sandbox::plug_macvlan(&mut host, namespace, parent, endpoint, routes);
        }
        let Some(name) = &record.bridge else { return Ok(()) };
        let failed = |source| Error::Link { action: "look for bridge", subject: name.clone(), source };
        let link = host.link(name).map_err(failed)?;
        let link = link.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let port = sandbox::Port { bridge: link.index, mtu: record.mtu().unwrap_or(self.mtu) };
        sandbox::plug(&mut host, namespace, port, endpoint, routes)
    }

    /// Takes the ports of the host that one of the container is published on.
    pub(crate) fn choose_ports(
        &self,
        record: &NetworkRecord,
        endpoint: &EndpointInfo,
        binding: &PortBinding,
    ) -> Result<Vec<PublishedPort>, Error> {
        let addresses = self.binding_addresses(record, endpoint, binding)?;
        let is_routed = |address: &IpAddr| record.gateway_mode(*address) == GatewayMode::Routed;
        let (routed, translated): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(is_routed);
        let container_port = binding.container_port;
        let protocol = binding.protocol;
        let routed = routed.into_iter();
        let mut ports: Vec<PublishedPort> =
            routed.map(|host_ip| PublishedPort { container_port, protocol, host_ip, host_port: 0 }).collect();
        if !translated.is_empty() {
            ports.extend(lock(&self.ports).publish(binding, &translated)?);
        }
        Ok(ports)
    }

    /// The host addresses that a port is published on: those of the families that the container has.
    fn binding_addresses(
        &self,
        record: &NetworkRecord,
        endpoint: &EndpointInfo,
        binding: &PortBinding,
    ) -> Result<Vec<IpAddr>, Error> {
        let default = record.host_binding().unwrap_or(self.config.default_binding);
        let mut wanted = vec![binding.host_ip.unwrap_or(default)];
        if binding.host_ip.is_none() && default.is_unspecified() && default.is_ipv4() {
            wanted.push(Ipv6Addr::UNSPECIFIED.into());
        }
        let reached = |host: &IpAddr| endpoint.addresses().any(|address| address.is_ipv4() == host.is_ipv4());
        wanted.retain(|host| reached(host) || is_relayed(record, endpoint, binding, *host));
        match (wanted.is_empty(), binding.host_ip) {
            (true, Some(host_ip)) => Err(Error::NoAddressForPort { host_ip, network: record.name.clone() }),
            _ => Ok(wanted),
        }
    }
}

/// Whether a port on an IPv6 address of the host is passed on to a container that has none itself.
fn is_relayed(record: &NetworkRecord, endpoint: &EndpointInfo, binding: &PortBinding, host: IpAddr) -> bool {
    let Some(ipv4) = endpoint.ipv4 else { return false };
    let translated = record.gateway_mode(ipv4.into()) != GatewayMode::Routed;
    // A kernel without IPv6 has no such address either.
    let has_ipv6 = || Path::new("/proc/net/if_inet6").exists();
    host.is_ipv6() && translated && binding.protocol != Protocol::Sctp && has_ipv6()
}

/// Whether an endpoint's ports are in the firewall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    Yes,
    No,
}

/// What is given back where something fails on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Release,
    ReleasePorts,
    Keep,
}

/// An endpoint, or the ports of one, given back unless it is kept.
struct Reservation<'a> {
    networks: &'a Networks,
    endpoint: EndpointInfo,
    published: Published,
    on_drop: OnDrop,
}

impl Reservation<'_> {
    /// Moves into a prepared sandbox.
    fn occupy(&mut self, mut namespace: Namespace, host_interface: String) -> Result<OwnedFd, Error> {
        self.endpoint.host_interface = Some(host_interface);
        self.networks.state().update(&self.endpoint);
        sandbox::occupy(&mut namespace, &self.endpoint)?;
        Ok(namespace.netns)
    }

    /// As in Docker, ports of a container on an internal network are not published.
    fn take_ports(&mut self, record: &NetworkRecord, ports: &[PortBinding]) -> Result<(), Error> {
        if record.driver != Driver::Bridge || record.internal {
            return Ok(());
        }
        ports.iter().try_for_each(|binding| self.take_port(record, binding)).map_err(|source| {
            Error::Publish {
                container: self.endpoint.container_name.clone(),
                endpoint: self.endpoint.endpoint_id.clone(),
                source: Box::new(source),
            }
        })
    }

    fn take_port(&mut self, record: &NetworkRecord, binding: &PortBinding) -> Result<(), Error> {
        let chosen = self.networks.choose_ports(record, &self.endpoint, binding)?;
        self.endpoint.ports.extend(chosen);
        self.networks.state().update(&self.endpoint);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        let redirections = self.endpoint.redirections();
        if let (Some(firewall), false) = (&self.networks.firewall, redirections.is_empty()) {
            sandbox::reflect(&mut lock(&self.networks.host), &self.endpoint)?;
            let published = lock(firewall).publish(&redirections);
            if let Err(error) = published {
                // Something else has removed the table; the whole of it has these ports too.
                tracing::warn!(%error, "the firewall's rules are put into place again");
                self.networks.replace_rules()?;
            }
        }
        self.published = Published::Yes;
        Ok(())
    }

    fn persist(mut self) -> EndpointInfo {
        self.on_drop = OnDrop::Keep;
        self.endpoint.clone()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::Release => self.networks.give_back(&self.endpoint, self.published),
            OnDrop::ReleasePorts => self.networks.give_ports_back(&mut self.endpoint, self.published),
            OnDrop::Keep => {}
        }
    }
}

/// The first `eth<n>` that the namespace does not have.
fn free_interface(namespace: &mut Namespace) -> Result<String, Error> {
    let failed = |source| Error::Link { action: "list", subject: "interfaces".to_owned(), source };
    let links = namespace.socket.links().map_err(failed)?;
    let free = (0..).map(|number| format!("eth{number}"));
    let mut free = free.filter(|name| !links.iter().any(|link| link.name == *name));
    Ok(free.next().expect("there are more names than interfaces"))
}
