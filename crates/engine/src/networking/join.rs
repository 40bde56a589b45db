//! A container's namespace on its networks.

use std::os::fd::{AsFd, OwnedFd};

use api::network::EndpointSettings;
use network::{EndpointInfo, EndpointRequest, Networks};

use super::gateway::{Asked, settle};
use crate::error::Error;
use crate::ports;
use crate::settings::Settings;

/// A network namespace of a container's own.
pub(crate) struct Joined {
    pub(crate) netns: OwnedFd,
    /// The first interface first.
    pub(crate) endpoints: Vec<EndpointInfo>,
}

/// Makes a namespace on all of a container's networks; none for containers that use another one. On failure nothing of it
/// is left.
pub(crate) fn join(
    networks: &Networks,
    settings: &Settings,
    name: &str,
    asked: &Asked,
) -> Result<Option<Joined>, Error> {
    let mode = settings.host_config.network_mode.as_str();
    if mode == "host" || mode.starts_with("container:") {
        return Ok(None);
    }
    let mut order: Vec<&String> = asked.keys().collect();
    // The network that the container was made with has its first interface.
    order.sort_by_key(|network| network.as_str() != mode);
    let Some((first, others)) = order.split_first() else {
        let none = EndpointRequest { network: "none".to_owned(), ..request(settings, name, "none", None)? };
        let sandbox = networks.connect(none)?;
        return Ok(Some(Joined { netns: sandbox.netns, endpoints: vec![sandbox.endpoint] }));
    };
    // Of several networks the way out has the ports, and which one that is shows only when all are joined.
    let first_ports = match others.is_empty() {
        true => ports::bindings(&settings.config, &settings.host_config)?,
        false => Vec::new(),
    };
    let sandbox = networks.connect(EndpointRequest {
        ports: first_ports,
        ..request(settings, name, first, asked.get(*first))?
    })?;
    let mut joined = Joined { netns: sandbox.netns, endpoints: vec![sandbox.endpoint] };
    match join_others(networks, settings, name, (others, asked), &mut joined) {
        Ok(()) => Ok(Some(joined)),
        Err(error) => {
            joined.endpoints.iter().for_each(|endpoint| networks.release(endpoint));
            Err(error)
        }
    }
}

fn join_others(
    networks: &Networks,
    settings: &Settings,
    name: &str,
    (others, asked): (&[&String], &Asked),
    joined: &mut Joined,
) -> Result<(), Error> {
    if others.is_empty() {
        return Ok(());
    }
    for other in others {
        let endpoint = attach(networks, settings, name, (other, asked.get(*other)), &joined.netns)?;
        joined.endpoints.push(endpoint);
    }
    let bindings = ports::bindings(&settings.config, &settings.host_config)?;
    settle(networks, &joined.netns, &mut joined.endpoints, asked, &bindings)
}

/// Connects a container's namespace to a further network, without ports or a way out.
pub(super) fn attach(
    networks: &Networks,
    settings: &Settings,
    name: &str,
    (network, asked): (&str, Option<&EndpointSettings>),
    netns: &impl AsFd,
) -> Result<EndpointInfo, Error> {
    Ok(networks.attach(request(settings, name, network, asked)?, netns.as_fd())?)
}

fn request(
    settings: &Settings,
    name: &str,
    network: &str,
    asked: Option<&EndpointSettings>,
) -> Result<EndpointRequest, Error> {
    // The container's own hardware address is meant for the network that it was made with.
    let own_mac = match network == settings.host_config.network_mode {
        true => settings.config.mac_address.as_str(),
        false => "",
    };
    Ok(EndpointRequest {
        container_id: settings.id.clone(),
        container_name: name.to_owned(),
        network: network.to_owned(),
        ..ports::addresses(&asked.cloned().unwrap_or_default(), own_mac)?
    })
}
