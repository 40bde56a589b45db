//! Interfaces, addresses and routes: the requests this crate makes of rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode, State,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::cidr::Cidr;
use crate::mac::MacAddress;
use crate::netlink::{Request, RouteSocket};

/// The kernel looks at most once a second.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(3);

/// What is known of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
    /// Index of the bridge it is a port of.
    pub(crate) master: Option<u32>,
    pub(crate) is_bridge: bool,
    /// Whether packets pass, as far as the kernel has noticed.
    pub(crate) is_operational: bool,
}

/// A route of the main or local table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Cidr,
    /// Index of the interface it leaves by.
    pub(crate) interface: Option<u32>,
}

/// An interface in a namespace that shares the wire of one of the host's.
#[derive(Debug)]
pub(crate) struct MacvlanRequest<'a> {
    /// Index of the host's interface.
    pub(crate) parent: u32,
    pub(crate) mode: MacVlanMode,
    pub(crate) name: &'a str,
    pub(crate) netns: BorrowedFd<'a>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: u32,
}

/// A veth pair whose peer is in another namespace from the first moment.
#[derive(Debug)]
pub(crate) struct VethRequest<'a> {
    /// The name of the host's end.
    pub(crate) name: &'a str,
    /// Index of the bridge the host's end becomes a port of.
    pub(crate) bridge: u32,
    /// The name of the end in the namespace.
    pub(crate) peer: &'a str,
    /// The namespace.
    pub(crate) netns: BorrowedFd<'a>,
    /// The peer's hardware address.
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: u32,
}

impl RouteSocket {
    /// The interface of this name; `None` where there is none.
    pub(crate) fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let message = link_message(0, vec![LinkAttribute::IfName(name.to_owned())]);
        match self.query(RouteNetlinkMessage::GetLink(message)) {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(describe(message))),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            // ENODEV
            Err(error) if error.raw_os_error() == Some(19) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let objects = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        Ok(objects
            .into_iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewLink(message) => Some(describe(message)),
                _ => None,
            })
            .collect())
    }

    /// Makes a bridge, up.
    pub(crate) fn create_bridge(&mut self, name: &str, mac: MacAddress) -> io::Result<()> {
        let mut message = link_message(
            0,
            vec![
                LinkAttribute::IfName(name.to_owned()),
                LinkAttribute::Address(mac.0.to_vec()),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
            ],
        );
        set_up(&mut message);
        self.execute(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Brings an interface up.
    pub(crate) fn raise(&mut self, index: u32) -> io::Result<()> {
        self.execute_all(vec![raise(index)])
    }

    /// Removes an interface. For one end of a veth pair this takes 20 to 30 ms.
    pub(crate) fn delete_link(&mut self, index: u32) -> io::Result<()> {
        self.execute(RouteNetlinkMessage::DelLink(link_message(index, Vec::new())), 0)
    }

    /// Makes a veth pair in one request: the host's end up and a port of its bridge, its peer inside the namespace. The
    /// kernel cannot bring a peer up before the pair is whole.
    pub(crate) fn create_veth(&mut self, request: &VethRequest<'_>) -> io::Result<()> {
        let mut peer = link_message(
            0,
            vec![
                LinkAttribute::IfName(request.peer.to_owned()),
                LinkAttribute::Mtu(request.mtu),
                LinkAttribute::NetNsFd(request.netns.as_raw_fd()),
            ],
        );
        if let Some(mac) = request.mac {
            peer.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        }
        let mut message = link_message(
            0,
            vec![
                LinkAttribute::IfName(request.name.to_owned()),
                LinkAttribute::Mtu(request.mtu),
                LinkAttribute::Controller(request.bridge),
                LinkAttribute::LinkInfo(vec![
                    LinkInfo::Kind(InfoKind::Veth),
                    LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
                ]),
            ],
        );
        set_up(&mut message);
        self.execute(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes an interface on the wire of another, inside the namespace.
    pub(crate) fn create_macvlan(&mut self, request: &MacvlanRequest<'_>) -> io::Result<()> {
        let mode = vec![InfoMacVlan::Mode(request.mode)];
        let mut attributes = vec![
            LinkAttribute::IfName(request.name.to_owned()),
            LinkAttribute::Link(request.parent),
            LinkAttribute::Mtu(request.mtu),
            LinkAttribute::NetNsFd(request.netns.as_raw_fd()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(mode)),
            ]),
        ];
        attributes.extend(request.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        let message = link_message(0, attributes);
        self.execute(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Waits until an interface whose other end is up passes packets. A bridge forwards nothing to a port before the kernel
    /// has noticed that, which it does in its own time; a container that sends at once would wait a second for its first
    /// answer. Since Linux 6.8 asking for the interface makes the kernel notice.
    pub(crate) fn await_carrier(&mut self, name: &str) -> io::Result<()> {
        self.await_operational(link_message(0, vec![LinkAttribute::IfName(name.to_owned())]))
    }

    /// The same for the interface with this index.
    pub(crate) fn await_carrier_of(&mut self, index: u32) -> io::Result<()> {
        self.await_operational(link_message(index, Vec::new()))
    }

    fn await_operational(&mut self, which: LinkMessage) -> io::Result<()> {
        let start = Instant::now();
        loop {
            let answer = self.query(RouteNetlinkMessage::GetLink(which.clone()))?;
            let RouteNetlinkMessage::NewLink(message) = answer else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if describe(message).is_operational {
                return Ok(());
            }
            if start.elapsed() > CARRIER_TIMEOUT {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// The addresses of an interface.
    pub(crate) fn addresses(&mut self, index: u32) -> io::Result<Vec<Cidr>> {
        let objects = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(objects
            .into_iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
                    address_of(&message)
                }
                _ => None,
            })
            .collect())
    }

    /// All routes, those to the host's own addresses included.
    pub(crate) fn routes(&mut self) -> io::Result<Vec<Route>> {
        let objects = self.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
        Ok(objects
            .into_iter()
            .filter_map(|object| match object {
                RouteNetlinkMessage::NewRoute(message) => route_of(&message),
                _ => None,
            })
            .collect())
    }
}

/// Adds an address to an interface.
pub(crate) fn add_address(index: u32, cidr: Cidr) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = family(cidr.address());
    message.header.prefix_len = cidr.prefix();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Address(cidr.address()));
    message.attributes.push(AddressAttribute::Local(cidr.address()));
    match cidr.last() {
        IpAddr::V4(broadcast) => message.attributes.push(AddressAttribute::Broadcast(broadcast)),
        // The address was just allocated; waiting for duplicate address detection would only delay the start.
        IpAddr::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
    }
    (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes an address from an interface.
pub(crate) fn remove_address(index: u32, cidr: Cidr) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = family(cidr.address());
    message.header.prefix_len = cidr.prefix();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(cidr.address()));
    (RouteNetlinkMessage::DelAddress(message), 0)
}

/// Makes this the default route of the gateway's family.
pub(crate) fn set_default_route(gateway: IpAddr, index: u32) -> Request {
    let mut message = default_route(gateway);
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
    message.attributes.push(RouteAttribute::Oif(index));
    (RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes the default route of this address's family.
pub(crate) fn remove_default_route(of_family: IpAddr) -> Request {
    (RouteNetlinkMessage::DelRoute(default_route(of_family)), 0)
}

fn default_route(of_family: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(of_family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.scope = RouteScope::Universe;
    message
}

/// Brings an interface up.
pub(crate) fn raise(index: u32) -> Request {
    let mut message = link_message(index, Vec::new());
    set_up(&mut message);
    (RouteNetlinkMessage::SetLink(message), 0)
}

/// Lets a bridge send packets back by the port they came from.
pub(crate) fn set_hairpin(index: u32) -> Request {
    let port = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]);
    let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(port)];
    let message = link_message(index, vec![LinkAttribute::LinkInfo(info)]);
    (RouteNetlinkMessage::NewLink(message), 0)
}

/// Lets what a bridge passes between its ports pass the firewall.
pub(crate) fn filter_bridged(index: u32) -> Request {
    let data = vec![InfoBridge::NfCallIpTables(true), InfoBridge::NfCallIp6Tables(true)];
    let info = vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(data))];
    (RouteNetlinkMessage::NewLink(link_message(index, vec![LinkAttribute::LinkInfo(info)])), 0)
}

/// Sets the packet size of an interface.
pub(crate) fn set_mtu(index: u32, mtu: u32) -> Request {
    (RouteNetlinkMessage::SetLink(link_message(index, vec![LinkAttribute::Mtu(mtu)])), 0)
}

/// Gives an interface a hardware address.
pub(crate) fn set_mac(index: u32, mac: MacAddress) -> Request {
    let message = link_message(index, vec![LinkAttribute::Address(mac.0.to_vec())]);
    (RouteNetlinkMessage::SetLink(message), 0)
}

fn link_message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn set_up(message: &mut LinkMessage) {
    message.header.flags |= LinkFlags::Up;
    message.header.change_mask |= LinkFlags::Up;
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn describe(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 0,
        master: None,
        is_bridge: false,
        is_operational: false,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::OperState(state) => link.is_operational = state == State::Up,
            LinkAttribute::LinkInfo(infos) => {
                link.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
            }
            _ => {}
        }
    }
    link
}

fn address_of(message: &AddressMessage) -> Option<Cidr> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    // IPv6 has no local address of its own in the message.
    let address = address.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    Cidr::new(address?, message.header.prefix_len)
}

fn route_of(message: &RouteMessage) -> Option<Route> {
    let mut destination = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::from([0u16; 8]),
        _ => return None,
    };
    let mut interface = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = (*address).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = (*address).into(),
            RouteAttribute::Oif(index) => interface = Some(*index),
            _ => {}
        }
    }
    let destination = Cidr::new(destination, message.header.destination_prefix_length)?;
    Some(Route { destination, interface })
}
