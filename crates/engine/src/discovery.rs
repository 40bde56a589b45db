//! How containers find each other by name: what their name servers are told.
//!
//! There is a file of names for each user-defined network with running containers; the supervisors of these containers
//! follow it and serve it (see [`dns`]). What a name server knows besides is in its [`NameService`].

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::network::EndpointSettings;
use dns::{Endpoint, TableWriter};
use network::EndpointInfo;
use shim::{HostName, NameAlias, NameServer, NameService, Origin};

use crate::error::Error;
use crate::files;
use crate::links;
use crate::network_settings::dns_names;
use crate::networking::is_user_defined;
use crate::settings::Settings;

/// The names that every container has for its host.
pub(crate) const HOST_NAMES: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];

/// The files of names, by network ID.
#[derive(Debug)]
pub(crate) struct Names {
    folder: PathBuf,
    tables: Mutex<BTreeMap<String, TableWriter>>,
}

/// What of a container makes its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) name: &'a str,
    pub(crate) networks: &'a BTreeMap<String, EndpointSettings>,
}

/// Containers of one network, by endpoint ID.
#[derive(Default)]
struct Members<'a> {
    network_name: &'a str,
    entries: Vec<(String, Endpoint)>,
}

impl Names {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, tables: Mutex::default() }
    }

    /// Makes a container's names known in its networks, or gives it other ones.
    pub(crate) fn set(&self, container: Named<'_>, endpoints: &[EndpointInfo]) -> Result<(), Error> {
        self.restore([(container, endpoints)])
    }

    /// Makes the names of many containers known. Each file is written once.
    pub(crate) fn restore<'a>(
        &self,
        containers: impl IntoIterator<Item = (Named<'a>, &'a [EndpointInfo])>,
    ) -> Result<(), Error> {
        let mut by_network: BTreeMap<&str, Members<'_>> = BTreeMap::new();
        for (container, endpoints) in containers {
            for endpoint in endpoints.iter().filter(|endpoint| is_user_defined(&endpoint.network_name)) {
                let entry = (endpoint.endpoint_id.clone(), container.endpoint(endpoint));
                let members = by_network.entry(&endpoint.network_id).or_default();
                members.network_name = &endpoint.network_name;
                members.entries.push(entry);
            }
        }
        let mut tables = self.lock();
        for (id, members) in by_network {
            let table = tables
                .entry(id.to_owned())
                .or_insert_with(|| TableWriter::new(self.folder.join(id), members.network_name));
            table.set(members.entries)?;
        }
        Ok(())
    }

    /// Makes a container's names unknown.
    pub(crate) fn remove(&self, endpoints: &[EndpointInfo]) {
        let mut tables = self.lock();
        for endpoint in endpoints {
            let Some(table) = tables.get_mut(&endpoint.network_id) else { continue };
            if let Err(error) = table.remove(&endpoint.endpoint_id) {
                tracing::warn!(%error, "names of a container that is gone may stay until the next change");
            }
            if table.is_empty() {
                tables.remove(&endpoint.network_id);
            }
        }
    }

    /// Removes files that an earlier engine left of networks that nobody is in.
    pub(crate) fn remove_stale(&self) -> Result<(), Error> {
        let tables = self.lock();
        let failed = |error| Error::file("read folder", &self.folder)(error);
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !tables.contains_key(&*entry.file_name().to_string_lossy()) {
                let path = entry.path();
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// What the name server of a container with these endpoints is told.
    pub(crate) fn service(
        &self,
        container: Named<'_>,
        endpoints: &[EndpointInfo],
    ) -> Result<NameService, Error> {
        let asked = files::name_servers(container.settings)?;
        let origin = if asked.are_hosts { Origin::Host } else { Origin::Container };
        // Networks without a way out let nothing out by way of the host either.
        let is_cut_off = endpoints.iter().all(|endpoint| gateways(endpoint) == (None, None));
        let may_ask = !(is_cut_off && asked.are_hosts);
        let servers = asked.servers.into_iter().filter(|_| may_ask);
        let in_networks = || endpoints.iter().filter(|endpoint| is_user_defined(&endpoint.network_name));
        let aliases = in_networks().enumerate().flat_map(|(table, endpoint)| {
            container.linked(&endpoint.network_name).map(move |(target, name)| NameAlias {
                table,
                name: name.to_owned(),
                target: target.to_owned(),
            })
        });
        Ok(NameService {
            tables: in_networks().map(|endpoint| self.folder.join(&endpoint.network_id)).collect(),
            aliases: aliases.collect(),
            servers: servers.map(|address| NameServer { address, origin }).collect(),
            hosts: host_names(endpoints),
            ask_single_names: !asked.sets_ndots,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, TableWriter>> {
        // A writer that failed half way writes everything at its next change.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Named<'a> {
    /// Those that it is linked to in a network, each with its name for them.
    fn linked(self, network: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let links = self.networks.get(network).and_then(|asked| asked.links.as_deref());
        links.unwrap_or_default().iter().filter_map(|link| links::parse(link))
    }

    fn endpoint(&self, endpoint: &EndpointInfo) -> Endpoint {
        let asked = self.networks.get(&endpoint.network_name);
        let aliases = asked.and_then(|asked| asked.aliases.as_deref());
        let names = dns_names(self.settings, self.name, aliases);
        Endpoint { ipv4: endpoint.ipv4, ipv6: endpoint.ipv6, names }
    }
}

/// Whether a container with these endpoints has a name server: on the default bridge alone it asks others itself.
pub(crate) fn has_name_server(endpoints: &[EndpointInfo]) -> bool {
    endpoints.iter().any(|endpoint| is_user_defined(&endpoint.network_name))
}

/// The host, by the address that the container reaches it under.
fn host_names(endpoints: &[EndpointInfo]) -> Vec<HostName> {
    // A gateway on a network without a bridge is somebody else's.
    let bridged = || endpoints.iter().filter(|endpoint| endpoint.host_interface.is_some());
    let ipv4 = bridged().find_map(|endpoint| endpoint.gateway);
    let ipv6 = bridged().find_map(|endpoint| endpoint.ipv6_gateway);
    if (ipv4, ipv6) == (None, None) {
        return Vec::new();
    }
    HOST_NAMES.map(|name| HostName { name: name.to_owned(), ipv4, ipv6 }).into()
}

fn gateways(endpoint: &EndpointInfo) -> (Option<std::net::Ipv4Addr>, Option<std::net::Ipv6Addr>) {
    (endpoint.gateway, endpoint.ipv6_gateway)
}
