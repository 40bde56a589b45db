//! From names to containers, and what changes at the other end of a link.

use std::sync::Arc;

use api::container::HostConfig;
use network::EndpointInfo;

use super::{Link, Linked, addresses, parse, ports};
use crate::container::{Container, Published};
use crate::error::Error;
use crate::files;
use crate::networking::is_user_defined;
use crate::settings::Settings;
use crate::shared::Shared;

const HOST_NETWORK: &str = "conflicting options: host type networking can't be used with links. This would result in undefined behavior";
const CONTAINER_NETWORK: &str = "conflicting options: container type network can't be used with links. This would result in undefined behavior";

impl Shared {
    /// The links that a new container asks for. Of two with the same alias the first one holds.
    ///
    /// # Errors
    ///
    /// A container that is not there, or one that cannot be linked to, in Docker's words.
    pub(crate) fn resolve_links(&self, host_config: &HostConfig) -> Result<Vec<Link>, Error> {
        let asked = host_config.links.as_deref().unwrap_or_default();
        let mode = host_config.network_mode.as_str();
        if asked.is_empty() || is_user_defined(mode) {
            return Ok(Vec::new());
        }
        match mode {
            "host" => return Err(Error::invalid(HOST_NETWORK)),
            "none" => return Err(Error::unsupported("link (--link) of a container without a network")),
            mode if mode.starts_with("container:") => return Err(Error::invalid(CONTAINER_NETWORK)),
            _ => {}
        }
        let mut links: Vec<Link> = Vec::new();
        for text in asked {
            let (name, alias) = split(text)?;
            let target = self.link_target(name)?;
            if !links.iter().any(|link| link.alias == alias) {
                let name = target.published().name.clone();
                links.push(Link { alias: alias.to_owned(), target: target.id().to_owned(), name });
            }
        }
        Ok(links)
    }

    /// The container that is meant: of one that uses another's network, the other.
    fn link_target(&self, name: &str) -> Result<Arc<Container>, Error> {
        // Not "not found": a client would take that for the image, and pull it.
        let find = |name: &str| {
            let lost = |error| Error::invalid(format!("could not get container for {name}: {error}"));
            self.find(name).map_err(lost)
        };
        let mut target = find(name)?;
        while let Some(other) = target.settings.host_config.network_mode.strip_prefix("container:") {
            target = find(other)?;
        }
        match target.settings.host_config.network_mode.as_str() {
            "host" => Err(Error::invalid(HOST_NETWORK)),
            _ => Ok(target),
        }
    }

    /// The other ends of a container's links, for its start.
    ///
    /// # Errors
    ///
    /// One of them does not run, or not on the default bridge.
    pub(crate) fn linked(&self, owner: &str, owner_name: &str) -> Result<Vec<Linked>, Error> {
        let links = self.links.of(owner);
        let mut linked = Vec::new();
        for link in links {
            let full_name = format!("/{owner_name}/{}", link.alias);
            let not_running =
                |name: &str| Error::LinkedNotRunning { target: format!("/{name}"), link: full_name.clone() };
            let Ok(target) = self.find(&link.target) else { return Err(not_running(&link.name)) };
            let published = target.published();
            if !published.networks.contains_key("bridge") {
                return Err(Error::LinkedElsewhere { target: format!("/{}", published.name) });
            }
            if !published.state.status.counts_as_running() {
                return Err(not_running(&published.name));
            }
            linked.push(other_end(owner_name, &link.alias, &target.settings, &published));
        }
        Ok(linked)
    }

    /// Those of them that run.
    pub(crate) fn running_linked(&self, owner: &str, owner_name: &str) -> Vec<Linked> {
        let links = self.links.of(owner).into_iter();
        let running = links.filter_map(|link| {
            let target = self.find(&link.target).ok()?;
            let published = target.published();
            let runs = published.state.status.counts_as_running();
            runs.then(|| other_end(owner_name, &link.alias, &target.settings, &published))
        });
        running.collect()
    }

    /// The endpoints as they are where the default bridge lets through what is linked to, and no more.
    ///
    /// # Errors
    ///
    /// Rules that cannot be changed.
    pub(crate) fn open_links(
        &self,
        endpoints: &[EndpointInfo],
        linked: &[Linked],
    ) -> Result<Vec<EndpointInfo>, network::Error> {
        let open = |endpoint: &EndpointInfo| match endpoint.network_name.as_str() {
            "bridge" => self.networks.link(endpoint, ports(linked)),
            _ => Ok(endpoint.clone()),
        };
        endpoints.iter().map(open).collect()
    }

    /// Writes a container's present addresses into the hosts files of those that are linked to it.
    pub(crate) fn tell_owners(&self, settings: &Settings, name: &str, endpoints: &[EndpointInfo]) {
        for (owner, alias) in self.links.to(&settings.id) {
            let Ok(owner) = self.find(&owner) else { continue };
            if owner.published().live.is_none() {
                continue;
            }
            let linked = Linked {
                addresses: addresses(endpoints),
                alias,
                name: name.to_owned(),
                hostname: settings.config.hostname.clone(),
                ..Linked::default()
            };
            let _changing = self.links.changing_hosts();
            if let Err(error) = files::relink(&self.files(owner.id()), &linked) {
                tracing::warn!(container = owner.id(), %error, "a link leads to an old address");
            }
        }
    }

    /// The names that others have for a container, as `/web/db`.
    pub(crate) fn link_names(&self, id: &str) -> Vec<String> {
        let links = self.links.to(id).into_iter();
        let name = |(owner, alias): (String, String)| {
            self.find(&owner).ok().map(|owner| format!("/{}/{alias}", owner.published().name))
        };
        links.filter_map(name).collect()
    }

    /// The links of a container as `inspect` shows them: `/db:/web/alias`.
    pub(crate) fn shown_links(&self, owner: &str, owner_name: &str) -> Option<Vec<String>> {
        let links = self.links.of(owner);
        let shown = links.iter().map(|link| {
            let target = self.find(&link.target).ok();
            let name = target.map_or_else(|| link.name.clone(), |target| target.published().name.clone());
            format!("/{name}:/{owner_name}/{}", link.alias)
        });
        (!links.is_empty()).then(|| shown.collect())
    }
}

/// Reads a link.
///
/// # Errors
///
/// Text that is none.
pub(crate) fn split(text: &str) -> Result<(&str, &str), Error> {
    parse(text).ok_or_else(|| Error::invalid(format!("bad format for links: {text}")))
}

fn other_end(owner_name: &str, alias: &str, target: &Settings, published: &Published) -> Linked {
    let exposed = target.config.exposed_ports.iter().flatten();
    Linked {
        alias: alias.to_owned(),
        full_name: format!("/{owner_name}/{alias}"),
        name: published.name.clone(),
        hostname: target.config.hostname.clone(),
        addresses: addresses(&published.endpoints),
        ports: exposed.map(|(port, _)| port.clone()).collect(),
        variables: target.config.env.clone().unwrap_or_default(),
    }
}
