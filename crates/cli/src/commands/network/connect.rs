//! `network connect` and `network disconnect`.

use api::network::{ConnectRequest, DisconnectRequest, EndpointIpamConfig, EndpointSettings};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, List, Options, Strings};
use crate::opts::{LinkFlag, pairs_to_map};

/// Connects a container to a network.
pub(super) struct Connect;

#[derive(Default)]
pub(super) struct ConnectFlags {
    alias: Strings,
    driver_opt: Strings,
    gateway_priority: i64,
    ip: String,
    ip6: String,
    link: List<LinkFlag>,
    link_local_ip: Strings,
}

impl Options for ConnectFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("alias", "Another name of the container in the network", |o| &mut o.alias),
        Flag::new("driver-opt", "Option of the driver", |o| &mut o.driver_opt),
        Flag::new("gw-priority", "The network with the highest number is the way out", |o| {
            &mut o.gateway_priority
        }),
        Flag::new("ip", "IPv4 address", |o| &mut o.ip),
        Flag::new("ip6", "IPv6 address", |o| &mut o.ip6),
        Flag::new("link", "Link to another container", |o| &mut o.link),
        Flag::new("link-local-ip", "Link-local address", |o| &mut o.link_local_ip),
    ];
}

fn list(items: Vec<String>) -> Option<Vec<String>> {
    (!items.is_empty()).then_some(items)
}

impl ConnectFlags {
    fn endpoint(self) -> Result<EndpointSettings, Failure> {
        if let Some(option) = self.driver_opt.0.iter().find(|option| !option.contains('=')) {
            return Err(Failure::message(format!(
                "invalid key/value pair format in driver options: {option}"
            )));
        }
        let ipam = EndpointIpamConfig {
            ipv4_address: self.ip,
            ipv6_address: self.ip6,
            link_local_ips: list(self.link_local_ip.0),
        };
        Ok(EndpointSettings {
            ipam_config: Some(ipam),
            links: list(self.link.0.into_iter().map(|link| link.0).collect()),
            aliases: list(self.alias.0),
            driver_opts: Some(pairs_to_map(&self.driver_opt.0)).filter(|options| !options.is_empty()),
            gw_priority: self.gateway_priority,
            ..EndpointSettings::default()
        })
    }
}

impl Leaf for Connect {
    type Options = ConnectFlags;
    const NAME: &'static str = "connect";
    const ABOUT: &'static str = "Connect a container to a network";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ARITY: Arity = Arity::Exactly(2);

    fn run(app: &App, flags: ConnectFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let request =
            ConnectRequest { container: arguments[1].clone(), endpoint_config: Some(flags.endpoint()?) };
        Ok(app.block_on(app.client()?.connect_network(&arguments[0], &request))?)
    }
}

/// Takes a container out of a network.
pub(super) struct Disconnect;

#[derive(Default)]
pub(super) struct DisconnectFlags {
    force: bool,
}

impl Options for DisconnectFlags {
    const FLAGS: &'static [Flag<Self>] =
        &[Flag::lettered('f', "force", "Disconnect whatever the container's state", |o| &mut o.force)];
}

impl Leaf for Disconnect {
    type Options = DisconnectFlags;
    const NAME: &'static str = "disconnect";
    const ABOUT: &'static str = "Disconnect a container from a network";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ARITY: Arity = Arity::Exactly(2);

    fn run(app: &App, flags: DisconnectFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let request = DisconnectRequest { container: arguments[1].clone(), force: flags.force };
        Ok(app.block_on(app.client()?.disconnect_network(&arguments[0], &request))?)
    }
}
