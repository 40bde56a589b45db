//! Networks whose containers have interfaces of their own on the wire of one of the host's.
//!
//! Their addresses are those of that wire's network, which is managed elsewhere: the gateway is a router out there, no
//! address of the host. The host itself does not reach them, nor they it: that is in the nature of these interfaces.
//! Published ports mean nothing here, since every port is reached at the container's own address.

use std::os::fd::AsFd;

use netlink_packet_route::link::MacVlanMode;

use crate::error::Error;
use crate::link::MacvlanRequest;
use crate::namespace::{self, Namespace};
use crate::netlink::RouteSocket;
use crate::networks::{Networks, lock};
use crate::options;
use crate::record::{Driver, NetworkRecord};
use crate::sandbox::Parent;

/// The host's interface.
pub(crate) const PARENT: &str = "parent";
/// How the containers of a network reach each other.
pub(crate) const MODE: &str = "macvlan_mode";

impl NetworkRecord {
    /// Refuses options that are not known or have no sense, by name.
    pub(crate) fn check_macvlan_options(&self) -> Result<(), Error> {
        for (name, value) in &self.options {
            let reason = match name.as_str() {
                PARENT if !options::is_interface_name(value) => "it is no interface name",
                MODE if mode(value).is_none() => "it is none of bridge, private, vepa and passthru",
                PARENT | MODE => continue,
                _ => "this driver option is not supported",
            };
            return Err(Error::InvalidOption { name: name.clone(), value: value.clone(), reason });
        }
        match self.options.contains_key(PARENT) {
            true => Ok(()),
            false => Err(Error::InvalidNetwork(vec![
                "a macvlan network needs an interface of the host (-o parent=<interface>)".to_owned(),
            ])),
        }
    }

    /// The interface and mode of a macvlan network.
    pub(crate) fn parent(&self, host: &mut RouteSocket) -> Result<Parent, Error> {
        let name = self.options.get(PARENT).map(String::as_str).unwrap_or_default();
        let failed = |source| Error::Link { action: "look for interface", subject: name.to_owned(), source };
        let link = host.link(name).map_err(failed)?.ok_or_else(|| Error::InvalidOption {
            name: PARENT.to_owned(),
            value: name.to_owned(),
            reason: "the host has no interface of this name",
        })?;
        let mode = self.options.get(MODE).and_then(|value| mode(value)).unwrap_or(MacVlanMode::Bridge);
        Ok(Parent { index: link.index, mtu: link.mtu, mode })
    }
}

fn mode(text: &str) -> Option<MacVlanMode> {
    match text {
        "" | "bridge" => Some(MacVlanMode::Bridge),
        "private" => Some(MacVlanMode::Private),
        "vepa" => Some(MacVlanMode::Vepa),
        "passthru" => Some(MacVlanMode::Passthrough),
        _ => None,
    }
}

impl Networks {
    /// Finds out whether a new macvlan network can work: its interface is there and free, and the kernel has the kind.
    pub(crate) fn check_macvlan(&self, record: &NetworkRecord) -> Result<(), Error> {
        let interface = record.options.get(PARENT);
        let state = self.state();
        let same = |other: &&NetworkRecord| {
            other.driver == Driver::Macvlan && other.options.get(PARENT) == interface
        };
        if let Some(other) = state.networks.values().map(|network| &network.record).find(same) {
            return Err(Error::ParentTaken {
                network: other.name.clone(),
                parent: interface.cloned().unwrap_or_default(),
            });
        }
        drop(state);
        let mut host = lock(&self.host);
        let parent = record.parent(&mut host)?;
        probe(&mut host, parent, interface.map(String::as_str).unwrap_or_default())
    }
}

/// Makes an interface in a namespace that ends at once.
fn probe(host: &mut RouteSocket, parent: Parent, name: &str) -> Result<(), Error> {
    let namespace = namespace::on_own_thread("create", Namespace::create)?;
    let Parent { index, mtu, mode } = parent;
    let (netns, mac) = (namespace.netns.as_fd(), None);
    let request = MacvlanRequest { parent: index, mode, name: "eth0", netns, mac, mtu };
    host.create_macvlan(&request).map_err(|source| match source.raw_os_error() {
        Some(95) => Error::KernelFeature { feature: "macvlan interfaces", hint: "load the module `macvlan`" },
        _ => Error::Link { action: "make a macvlan interface on", subject: name.to_owned(), source },
    })
}
