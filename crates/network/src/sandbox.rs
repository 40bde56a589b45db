//! Sandboxes in the kernel: namespaces, and the veth pairs that connect them.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use netlink_packet_route::link::MacVlanMode;

use crate::cidr::Cidr;
use crate::endpoint::EndpointInfo;
use crate::error::Error;
use crate::link::{self, MacvlanRequest, VethRequest};
use crate::namespace::Namespace;
use crate::netlink::{Request, RouteSocket};

/// Where an endpoint's host end goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    /// The bridge's index.
    pub(crate) bridge: u32,
    pub(crate) mtu: u32,
}

/// Which routes an interface comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routes {
    /// Those to its own network.
    Local,
    /// The default routes too.
    All,
}

/// Makes the endpoint's veth pair and gives its inner end addresses and routes. `host` is a socket in the host's
/// namespace.
pub(crate) fn plug(
    host: &mut RouteSocket,
    namespace: &mut Namespace,
    port: Port,
    endpoint: &EndpointInfo,
    routes: Routes,
) -> Result<(), Error> {
    let (Some(inner), Some(outer)) = (&endpoint.interface, &endpoint.host_interface) else { return Ok(()) };
    let failed = |action: &'static str, subject: &str| {
        let subject = subject.to_owned();
        move |source| Error::Link { action, subject, source }
    };
    host.create_veth(&VethRequest {
        name: outer,
        bridge: port.bridge,
        peer: inner,
        netns: namespace.netns.as_fd(),
        mac: endpoint.mac,
        mtu: port.mtu,
    })
    .map_err(|source| match source.raw_os_error() {
        Some(95) => Error::KernelFeature { feature: "veth interfaces", hint: "load the module `veth`" },
        _ => failed("create interface", outer)(source),
    })?;
    address(namespace, inner, endpoint, routes).map_err(failed("configure interface", inner))?;
    host.await_carrier(outer).map_err(failed("wait for interface", outer))?;
    // The bridge's first port brings the bridge itself up, and what is sent before the kernel has noticed is lost.
    host.await_carrier_of(port.bridge).map_err(failed("wait for the bridge of", outer))
}

/// The host's interface whose wire a network's containers share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    pub(crate) index: u32,
    pub(crate) mtu: u32,
    pub(crate) mode: MacVlanMode,
}

/// Makes the endpoint's interface on the parent's wire and gives it addresses and routes.
pub(crate) fn plug_macvlan(
    host: &mut RouteSocket,
    namespace: &mut Namespace,
    parent: Parent,
    endpoint: &EndpointInfo,
    routes: Routes,
) -> Result<(), Error> {
    let Some(name) = &endpoint.interface else { return Ok(()) };
    let failed =
        |action: &'static str| move |source| Error::Link { action, subject: name.to_owned(), source };
    host.create_macvlan(&MacvlanRequest {
        parent: parent.index,
        mode: parent.mode,
        name,
        netns: namespace.netns.as_fd(),
        mac: endpoint.mac,
        mtu: parent.mtu,
    })
    .map_err(|source| match source.raw_os_error() {
        Some(95) => Error::KernelFeature { feature: "macvlan interfaces", hint: "load the module `macvlan`" },
        _ => failed("create macvlan interface")(source),
    })?;
    address(namespace, name, endpoint, routes).map_err(failed("configure interface"))
}

/// Gives the interface that a prepared namespace has the endpoint's addresses.
pub(crate) fn occupy(namespace: &mut Namespace, endpoint: &EndpointInfo) -> Result<(), Error> {
    let Some(interface) = &endpoint.interface else { return Ok(()) };
    let failed = |source| Error::Link { action: "configure interface", subject: interface.clone(), source };
    let link = namespace.socket.link(interface).map_err(failed)?;
    let link = link.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mac = endpoint.mac.map(|mac| link::set_mac(link.index, mac));
    let requests = mac.into_iter().chain(address_requests(link.index, endpoint, Routes::All)).collect();
    namespace.socket.execute_all(requests).map_err(failed)
}

fn address(
    namespace: &mut Namespace,
    interface: &str,
    endpoint: &EndpointInfo,
    routes: Routes,
) -> io::Result<()> {
    let link = namespace.socket.link(interface)?.ok_or(io::ErrorKind::NotFound)?;
    namespace.socket.raise(link.index)?;
    if endpoint.ipv6.is_some() {
        // IPv6 does not use an interface before the kernel has noticed that packets pass.
        namespace.socket.await_carrier(interface)?;
    }
    namespace.socket.execute_all(address_requests(link.index, endpoint, routes))
}

fn address_requests(index: u32, endpoint: &EndpointInfo, routes: Routes) -> Vec<Request> {
    let four = endpoint.ipv4.and_then(|address| Cidr::new(IpAddr::V4(address), endpoint.ipv4_prefix));
    let six = endpoint.ipv6.and_then(|address| Cidr::new(IpAddr::V6(address), endpoint.ipv6_prefix));
    let addresses = four.into_iter().chain(six).map(|cidr| link::add_address(index, cidr));
    let gateways = endpoint.gateway.map(IpAddr::V4).into_iter().chain(endpoint.ipv6_gateway.map(IpAddr::V6));
    let gateways = gateways.filter(|_| routes == Routes::All);
    addresses.chain(gateways.map(|gateway| link::set_default_route(gateway, index))).collect()
}

/// Makes these gateways, each with the interface that it is reached by, a namespace's ways out.
pub(crate) fn route(
    namespace: &mut Namespace,
    ipv4: Option<(IpAddr, &str)>,
    ipv6: Option<(IpAddr, &str)>,
) -> io::Result<()> {
    for (way_out, unspecified) in [(ipv4, IpAddr::from([0; 4])), (ipv6, IpAddr::from([0; 16]))] {
        let request = match way_out {
            Some((gateway, interface)) => {
                let link = namespace.socket.link(interface)?.ok_or(io::ErrorKind::NotFound)?;
                link::set_default_route(gateway, link.index)
            }
            None => link::remove_default_route(unspecified),
        };
        match namespace.socket.execute_all(vec![request]) {
            // ESRCH and, where there is no table for it, ENOENT: there was none to remove. EOPNOTSUPP and EAFNOSUPPORT: a
            // kernel without IPv6.
            Err(error) if way_out.is_none() && matches!(error.raw_os_error(), Some(2 | 3 | 95 | 97)) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Lets a bridge send packets back by the port they came from. On machines where bridged packets pass the firewall, a
/// container that connects to a port of its own as the host publishes it is redirected to itself on the bridge.
pub(crate) fn reflect(host: &mut RouteSocket, endpoint: &EndpointInfo) -> Result<(), Error> {
    let Some(name) = &endpoint.host_interface else { return Ok(()) };
    let failed = |source| Error::Link { action: "configure interface", subject: name.clone(), source };
    let link = host.link(name).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    host.execute_all(vec![link::set_hairpin(link.index)]).map_err(failed)
}
