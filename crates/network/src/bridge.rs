//! The bridge interface of a network.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::cidr::Cidr;
use crate::error::Error;
use crate::link::{self, Link};
use crate::mac::MacAddress;
use crate::netlink::RouteSocket;

/// Makes the bridge where it is missing, gives it exactly these addresses of our own making, and brings it up.
pub(crate) fn ensure(
    socket: &mut RouteSocket,
    name: &str,
    addresses: &[Cidr],
    mtu: u32,
) -> Result<Link, Error> {
    let failed = |action: &'static str| {
        let subject = name.to_owned();
        move |source| Error::Link { action, subject, source }
    };
    let link = match socket.link(name).map_err(failed("look for bridge"))? {
        Some(link) if link.is_bridge => link,
        Some(_) => return Err(not_a_bridge(name)),
        None => create(socket, name, addresses, mtu)?,
    };
    set_parameters(name, addresses)?;
    let present = socket.addresses(link.index).map_err(failed("list addresses of bridge"))?;
    for stale in present.iter().filter(|address| address.ipv4().is_some() && !addresses.contains(address)) {
        let (message, flags) = link::remove_address(link.index, *stale);
        socket.execute(message, flags).map_err(failed("remove old address of bridge"))?;
    }
    for address in addresses.iter().filter(|address| !present.contains(address)) {
        let (message, flags) = link::add_address(link.index, *address);
        socket.execute(message, flags).map_err(failed("add address to bridge"))?;
    }
    socket.raise(link.index).map_err(failed("bring up bridge"))?;
    Ok(link)
}

/// A bridge has a hardware address of its own: else it has that of one of its ports, and with every port that goes the
/// neighbours would remember a wrong one.
fn create(socket: &mut RouteSocket, name: &str, addresses: &[Cidr], mtu: u32) -> Result<Link, Error> {
    let failed = |source| Error::Link { action: "create bridge", subject: name.to_owned(), source };
    let ipv4 = addresses.iter().find_map(|cidr| match cidr.address() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    let mac = ipv4.map_or_else(MacAddress::random, MacAddress::for_ipv4);
    socket.create_bridge(name, mac).map_err(|source| match source.raw_os_error() {
        // EOPNOTSUPP: the kernel knows no such kind of interface.
        Some(95) => Error::KernelFeature { feature: "bridges", hint: "load the module `bridge`" },
        _ => failed(source),
    })?;
    let link = socket.link(name).and_then(|link| link.ok_or(io::ErrorKind::NotFound.into()));
    let link = link.map_err(failed)?;
    // A bridge follows the sizes of its ports, and without any has the default, until its own is changed: a size that it is
    // made with does not count.
    socket.execute_all(vec![link::set_mtu(link.index, mtu)]).map_err(failed)?;
    Ok(link)
}

fn not_a_bridge(name: &str) -> Error {
    Error::InvalidSetting {
        setting: "bridge",
        value: name.to_owned(),
        reason: "an interface of this name exists and is no bridge",
    }
}

/// Sets what has to be set before the interface is up.
fn set_parameters(name: &str, addresses: &[Cidr]) -> Result<(), Error> {
    let ipv6 = addresses.iter().any(|address| address.address().is_ipv6());
    // The host's connections to 127.0.0.1 leave by this interface once they are redirected; the firewall keeps everybody
    // else from naming that address.
    write_parameter("ipv4", name, "route_localnet", "1")?;
    write_parameter("ipv6", name, "accept_ra", "0")?;
    write_parameter("ipv6", name, "disable_ipv6", if ipv6 { "0" } else { "1" })
}

/// Lets packets between the containers of a bridge pass the firewall, so that a published port shows them each other's true
/// address. Returns whether they do: a kernel without `br_netfilter`, or without that module loaded, knows nothing of it.
pub(crate) fn filter_bridged(socket: &mut RouteSocket, bridge: &Link) -> bool {
    Path::new("/proc/sys/net/bridge").exists()
        && socket.execute_all(vec![link::filter_bridged(bridge.index)]).is_ok()
}

fn write_parameter(family: &str, interface: &str, parameter: &str, value: &str) -> Result<(), Error> {
    let path = PathBuf::from(format!("/proc/sys/net/{family}/conf/{interface}/{parameter}"));
    match fs::write(&path, value) {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound && family == "ipv6" => Ok(()),
        result => result.map_err(|source| Error::File { action: "write", path, source }),
    }
}

/// Switches forwarding on where it is off. For IPv6 the host then no longer listens to router advertisements, so that is
/// done only where a network needs it.
pub(crate) fn enable_forwarding(ipv6: bool) -> Result<(), Error> {
    let path = if ipv6 { "/proc/sys/net/ipv6/conf/all/forwarding" } else { "/proc/sys/net/ipv4/ip_forward" };
    let failed = |action| move |source| Error::File { action, path: path.into(), source };
    if fs::read_to_string(path).map_err(failed("read"))?.trim() == "0" {
        fs::write(path, "1").map_err(failed("write"))?;
    }
    Ok(())
}

/// The packet size of the interface with the default route; 1500 without one.
pub(crate) fn uplink_mtu(socket: &mut RouteSocket) -> io::Result<u32> {
    let default =
        |route: &link::Route| route.destination.prefix() == 0 && route.destination.address().is_ipv4();
    let index = socket.routes()?.into_iter().find(default).and_then(|route| route.interface);
    let links = socket.links()?;
    let uplink = links.into_iter().find(|link| Some(link.index) == index);
    Ok(uplink.map_or(1500, |link| link.mtu))
}

/// The networks that the host has routes into, other than by its default route or the interface `own`.
pub(crate) fn routed_networks(socket: &mut RouteSocket, own: &str) -> io::Result<Vec<Cidr>> {
    let own = socket.link(own)?.map(|link| link.index);
    let routes = socket.routes()?.into_iter();
    Ok(routes
        .filter(|route| route.destination.prefix() > 0 && (own.is_none() || route.interface != own))
        .map(|route| route.destination)
        .filter(|destination| !is_multicast_or_loopback(destination.address()))
        .collect())
}

fn is_multicast_or_loopback(address: IpAddr) -> bool {
    address.is_multicast() || address.is_loopback()
}
