//! Which ports of the host are published, and the sockets that keep everybody else off them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use crate::error::Error;
use crate::port::{PortBinding, Protocol, PublishedPort};

/// Connections that wait until the relay takes them.
const BACKLOG: i32 = 1024;
/// Used where the kernel does not say which ports are ephemeral.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// The ports of an engine's containers.
#[derive(Debug)]
pub(crate) struct PortAllocator {
    taken: BTreeMap<Key, Vec<Holder>>,
    ephemeral: (u16, u16),
    next: u16,
    /// Ports of IPv6 that were given back a moment ago.
    released: Vec<(Key, IpAddr, Instant)>,
}

/// How long a supervisor of this engine may hold a port that was given back: its container is ending, or moves to another
/// network.
const STILL_HELD: Duration = Duration::from_secs(2);

/// Whether a port may be in use by a socket that lets others have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Allowed,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    protocol: Protocol,
    ipv4: bool,
    port: u16,
}

/// Who published a port on an address. The socket is there so that no other program gets the port while it is published: the
/// firewall redirects packets before they reach it. What it does not redirect is relayed, by that socket.
#[derive(Debug)]
struct Holder {
    address: IpAddr,
    socket: Option<OwnedFd>,
}

impl Default for PortAllocator {
    fn default() -> Self {
        let ephemeral = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| parse_range(&text))
            .unwrap_or(EPHEMERAL);
        Self { taken: BTreeMap::new(), ephemeral, next: ephemeral.0, released: Vec::new() }
    }
}

impl PortAllocator {
    /// Publishes one port on each of `addresses` (one of each family at most), with the same host port.
    ///
    /// # Errors
    /// [`Error::PortAllocated`] where another container has it; [`Error::PortUnavailable`] where another program has it, or
    /// the address is not one of the host's. Of a range, the error is that of its last port.
    pub(crate) fn publish(
        &mut self,
        binding: &PortBinding,
        addresses: &[IpAddr],
    ) -> Result<Vec<PublishedPort>, Error> {
        let candidates: Box<dyn Iterator<Item = u16>> = match binding.host_ports {
            Some((first, last)) => Box::new(first..=last),
            None => Box::new(self.ephemeral_ports()),
        };
        let mut result = Err(no_port(binding));
        for port in candidates {
            match self.take(binding, addresses, port) {
                Ok(published) => {
                    if binding.host_ports.is_none() {
                        self.next = if port == self.ephemeral.1 { self.ephemeral.0 } else { port + 1 };
                    }
                    return Ok(published);
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Another handle of the socket that holds a port; for connections, it listens.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::NotFound`] for a port that an earlier engine published.
    pub(crate) fn listener(&self, port: &PublishedPort) -> io::Result<OwnedFd> {
        let holders = self.taken.get(&key(port.protocol, port.host_ip, port.host_port));
        let holder = holders.into_iter().flatten().find(|holder| holder.address == port.host_ip);
        let socket = holder.and_then(|holder| holder.socket.as_ref()).ok_or(io::ErrorKind::NotFound)?;
        if port.protocol == Protocol::Tcp {
            // What is left of its connections is to keep nobody from the port later.
            sockopt::set_socket_reuseaddr(socket, true)?;
            listen(socket, BACKLOG)?;
        }
        socket.try_clone()
    }

    /// Enters a port of a container that runs. It stays published even where another program got hold of it. The socket of
    /// one that is relayed is the supervisor's.
    pub(crate) fn adopt(&mut self, port: &PublishedPort, is_relayed: bool) {
        if port.is_routed() {
            return;
        }
        if is_relayed {
            let holders = self.taken.entry(key(port.protocol, port.host_ip, port.host_port)).or_default();
            return holders.push(Holder { address: port.host_ip, socket: None });
        }
        let key = key(port.protocol, port.host_ip, port.host_port);
        let socket = reserve(port.protocol, port.host_ip, port.host_port, Sharing::Refused);
        if let Err(error) = &socket {
            tracing::warn!(%port, %error, "a published port is in use by another program");
        }
        let holder = Holder { address: port.host_ip, socket: socket.ok().flatten() };
        self.taken.entry(key).or_default().push(holder);
    }

    /// Gives a port back.
    pub(crate) fn release(&mut self, port: &PublishedPort) {
        let key = key(port.protocol, port.host_ip, port.host_port);
        let Some(holders) = self.taken.get_mut(&key) else { return };
        let before = holders.len();
        holders.retain(|holder| holder.address != port.host_ip);
        let now = Instant::now();
        self.released.retain(|(.., at)| now.duration_since(*at) < STILL_HELD);
        if before > holders.len() && !key.ipv4 {
            self.released.push((key, port.host_ip, now));
        }
        if holders.is_empty() {
            self.taken.remove(&key);
        }
    }

    /// Every ephemeral port once, beginning after the one given last.
    fn ephemeral_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let (first, last) = self.ephemeral;
        (self.next..=last).chain(first..self.next)
    }

    fn take(
        &mut self,
        binding: &PortBinding,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<Vec<PublishedPort>, Error> {
        let protocol = binding.protocol;
        let mut taken = Vec::new();
        for &host_ip in addresses {
            if self.is_taken(protocol, host_ip, port) {
                return Err(Error::PortAllocated { host_ip, port, protocol });
            }
            let sharing = self.sharing(key(protocol, host_ip, port), host_ip);
            let socket = reserve(protocol, host_ip, port, sharing)
                .map_err(|source| Error::PortUnavailable { host_ip, port, protocol, source })?;
            taken.push((host_ip, socket));
        }
        Ok(taken.into_iter().map(|(address, socket)| self.enter(binding, address, port, socket)).collect())
    }

    fn enter(
        &mut self,
        binding: &PortBinding,
        address: IpAddr,
        port: u16,
        socket: Option<OwnedFd>,
    ) -> PublishedPort {
        let holders = self.taken.entry(key(binding.protocol, address, port)).or_default();
        holders.push(Holder { address, socket });
        PublishedPort {
            container_port: binding.container_port,
            protocol: binding.protocol,
            host_ip: address,
            host_port: port,
        }
    }

    /// A port may be shared with supervisors of this engine, which are about to let it go, and with nobody else.
    fn sharing(&self, key: Key, address: IpAddr) -> Sharing {
        let is_ours = |(other, other_address, at): &(Key, IpAddr, Instant)| {
            let overlaps =
                address == *other_address || address.is_unspecified() || other_address.is_unspecified();
            *other == key && overlaps && at.elapsed() < STILL_HELD
        };
        if self.released.iter().any(is_ours) { Sharing::Allowed } else { Sharing::Refused }
    }

    fn is_taken(&self, protocol: Protocol, address: IpAddr, port: u16) -> bool {
        self.taken.get(&key(protocol, address, port)).is_some_and(|holders| {
            holders.iter().any(|holder| {
                address.is_unspecified() || holder.address.is_unspecified() || holder.address == address
            })
        })
    }
}

fn key(protocol: Protocol, address: IpAddr, port: u16) -> Key {
    Key { protocol, ipv4: address.is_ipv4(), port }
}

fn no_port(binding: &PortBinding) -> Error {
    Error::PortAllocated {
        host_ip: binding.host_ip.unwrap_or(IpAddr::from([0, 0, 0, 0])),
        port: binding.host_ports.map_or(0, |(first, _)| first),
        protocol: binding.protocol,
    }
}

/// Binds a socket to the port; `None` where the kernel does not know the protocol, so that nobody can have the port.
fn reserve(protocol: Protocol, address: IpAddr, port: u16, sharing: Sharing) -> io::Result<Option<OwnedFd>> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = match socket_with(family, kind, SocketFlags::CLOEXEC, Some(number)) {
        Err(rustix::io::Errno::PROTONOSUPPORT | rustix::io::Errno::AFNOSUPPORT) => return Ok(None),
        socket => socket?,
    };
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    let address = SocketAddr::new(address, port);
    let mut bound = bind(&socket, &address);
    if bound == Err(rustix::io::Errno::ADDRINUSE) && protocol == Protocol::Tcp {
        // Connections in TIME_WAIT are no reason to refuse the port. With this option they are not counted, and a
        // program that listens still is; without it the socket holds the port against everybody, so that is tried first.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bound = bind(&socket, &address);
    }
    if address.is_ipv6() {
        // Set in any case, so that this engine can have the port again while a supervisor still holds it.
        sockopt::set_socket_reuseport(&socket, true)?;
        if bound == Err(rustix::io::Errno::ADDRINUSE) && sharing == Sharing::Allowed {
            bound = bind(&socket, &address);
        }
    }
    bound?;
    Ok(Some(socket))
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (0 < first && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_range_takes_two_numbers_in_order() {
        assert_eq!(parse_range("32768\t60999\n"), Some((32768, 60999)));
        for text in ["", "1", "2 1", "0 5", "a b", "1 70000"] {
            assert_eq!(parse_range(text), None, "{text:?}");
        }
    }

    #[test]
    fn ephemeral_ports_begin_after_the_last_and_wrap() {
        let allocator =
            PortAllocator { taken: BTreeMap::new(), ephemeral: (10, 13), next: 12, released: Vec::new() };
        assert_eq!(allocator.ephemeral_ports().collect::<Vec<_>>(), [12, 13, 10, 11]);
    }
}
