//! Networks of a container that come and go while it exists.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::Arc;

use api::StringMap;
use api::network::EndpointSettings;
use network::{EndpointInfo, NameSockets};
use shim::ServiceKind;
use tokio::task::spawn_blocking;

use super::command::Command;
use super::published::Published;
use super::supervision;
use super::task::Task;
use crate::discovery::{Named, has_name_server};
use crate::error::Error;
use crate::events::Kind;
use crate::links::Linked;
use crate::networking::{self, Asked, Running};
use crate::state::Status;
use crate::{files, relay};

const HOST_NETWORK: &str = "container cannot be disconnected from host network or connected to host network";

impl Task {
    /// Connects the container to a network; one that does not run is connected at its next start.
    pub(super) async fn connect(&mut self, network: &str, asked: EndpointSettings) -> Result<(), Error> {
        let record = self.shared.networks.inspect(network)?;
        self.check_connectable(&record.name)?;
        let mut networks = BTreeMap::clone(&self.current.networks);
        networks.insert(record.name.clone(), networking::check(&record.name, asked)?);
        if self.run.is_none() {
            return self.keep_networks(networks);
        }
        let network = record.name;
        let (endpoints, asked) = (self.current.endpoints.to_vec(), networks.clone());
        let joined = self.change(move |running| running.connect(&network, endpoints, &asked)).await?;
        let added = joined.last().cloned();
        let before = files::resolv_conf(&self.settings, &self.current.endpoints)?;
        let carrier = relay::carrier(&self.current.endpoints);
        self.keep_endpoints(joined)?;
        self.keep_networks(networks)?;
        self.relay_ports(carrier).await?;
        self.shared.names.set(self.named(), &self.current.endpoints)?;
        self.serve_names().await?;
        files::rewrite_resolv_conf(
            &self.shared.files(&self.settings.id),
            &self.settings,
            &before,
            &self.current.endpoints,
        )?;
        self.network_events("connect", added.as_slice());
        Ok(())
    }

    /// Takes the container out of a network, at once where it runs. With `force` it is out even where its namespace cannot
    /// be changed.
    pub(super) async fn disconnect(&mut self, network: &str, force: bool) -> Result<(), Error> {
        // The network of a container that does not run may be gone.
        let name = match self.shared.networks.inspect(network) {
            Err(_) if self.run.is_none() && self.current.networks.contains_key(network) => network.to_owned(),
            found => found?.name,
        };
        self.check_not_removed()?;
        if name == "host" && self.settings.host_config.network_mode == "host" {
            return Err(Error::invalid(HOST_NETWORK));
        }
        let mut networks = BTreeMap::clone(&self.current.networks);
        if networks.remove(&name).is_none() {
            return Err(Error::NotConnected { id: self.settings.id.clone(), network: name });
        }
        let endpoint = self.current.endpoints.iter().find(|endpoint| endpoint.network_name == name).cloned();
        if let Some(endpoint) = endpoint {
            let (endpoints, asked) = (self.current.endpoints.to_vec(), networks.clone());
            let leaving = endpoint.clone();
            let left = self.change(move |running| running.disconnect(&leaving, endpoints, &asked)).await;
            let left = match left {
                Err(error) if force => self.leave_by_force(&endpoint, &error),
                left => left?,
            };
            self.shared.names.remove(std::slice::from_ref(&endpoint));
            let carrier = relay::carrier(&self.current.endpoints);
            self.keep_endpoints(left)?;
            self.relay_ports(carrier).await?;
            self.serve_names().await?;
            self.network_events("disconnect", &[endpoint]);
        }
        self.keep_networks(networks)
    }

    fn leave_by_force(&self, endpoint: &EndpointInfo, error: &Error) -> Vec<EndpointInfo> {
        let (container, network) = (&self.settings.id, &endpoint.network_name);
        tracing::warn!(container, network, %error, "a container is taken out of a network by force");
        self.shared.networks.release(endpoint);
        let mut left = self.current.endpoints.to_vec();
        left.retain(|other| other.endpoint_id != endpoint.endpoint_id);
        left
    }

    /// Lets the supervisor pass on what is published now, where the endpoint that has the ports is another one than before.
    async fn relay_ports(&self, before: Option<String>) -> Result<(), Error> {
        let (endpoints, Some(run)) = (&self.current.endpoints, &self.run) else { return Ok(()) };
        if relay::carrier(endpoints) == before {
            return Ok(());
        }
        let mut requests = relay::requests(&self.shared.networks, endpoints)?;
        if requests.is_empty() {
            requests.push(relay::nothing());
        }
        for reply in run.client.send(requests) {
            reply.await.map_err(|error| Error::SupervisorLost {
                action: "relay ports of",
                id: self.settings.id.clone(),
                reason: error.to_string(),
            })?;
        }
        Ok(())
    }

    /// Writes the container's present name into its endpoints.
    pub(super) fn rename_endpoints(&mut self) -> Result<(), Error> {
        let name = &self.current.name;
        self.shared.networks.rename(&self.settings.id, name);
        if self.current.endpoints.is_empty() {
            return Ok(());
        }
        let rename =
            |endpoint: &EndpointInfo| EndpointInfo { container_name: name.clone(), ..endpoint.clone() };
        let endpoints: Vec<EndpointInfo> = self.current.endpoints.iter().map(rename).collect();
        self.current.endpoints = Arc::new(endpoints);
        files::write_endpoints(&self.shared.files(&self.settings.id), &self.current.endpoints)
    }

    /// Forgets a link.
    pub(super) async fn unlink(&mut self, alias: &str) -> Result<(), Error> {
        let mut links = self.shared.links.of(&self.settings.id);
        links.retain(|link| link.alias != alias);
        self.shared.links.set(&self.settings.id, links);
        self.write_record(&self.current.name, &self.current.networks)?;
        if self.run.is_none() {
            return Ok(());
        }
        let gone = Linked { alias: alias.to_owned(), ..Linked::default() };
        {
            let _changing = self.shared.links.changing_hosts();
            files::relink(&self.shared.files(&self.settings.id), &gone)?;
        }
        self.follow_links().await
    }

    /// Tells those that are linked to this container that it has other addresses.
    pub(super) fn tell_linked(&self) {
        for (owner, _) in self.shared.links.to(&self.settings.id) {
            if let Ok(owner) = self.shared.find(&owner)
                && owner.published().live.is_some()
            {
                // Not waited for: two containers that tell each other must not wait for each other.
                tokio::spawn(async move { owner.tell(Command::FollowLinks).await });
            }
        }
    }

    pub(super) async fn follow_links_or_warn(&mut self) {
        if let Err(error) = self.follow_links().await {
            tracing::warn!(container = %self.settings.id, %error, "a link leads to an old address");
        }
    }

    /// Lets the container reach what it is linked to now.
    async fn follow_links(&mut self) -> Result<(), Error> {
        let linked = self.shared.running_linked(&self.settings.id, &self.current.name);
        let (shared, before) = (Arc::clone(&self.shared), Arc::clone(&self.current.endpoints));
        let changed = spawn_blocking(move || shared.open_links(&before, &linked));
        let endpoints = changed.await.expect("changing links does not panic")?;
        if *self.current.endpoints == endpoints {
            return Ok(());
        }
        self.current.endpoints = Arc::new(endpoints);
        self.publish();
        files::write_endpoints(&self.shared.files(&self.settings.id), &self.current.endpoints)
    }

    /// Gives the present run a name server where it needs one, and tells the one that runs what has changed.
    async fn serve_names(&mut self) -> Result<(), Error> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let runs = run.services.contains(&ServiceKind::Names);
        // One that runs goes on without any network: the program keeps what it has read of its address.
        if !runs && !has_name_server(&self.current.endpoints) {
            return Ok(());
        }
        let Published { name, networks, endpoints, .. } = &self.current;
        let named = Named { settings: &self.settings, name, networks };
        let told = self.shared.names.service(named, endpoints)?;
        let sockets = match runs {
            true => None,
            false => Some(open_sockets(run.pid).await?),
        };
        let (body, descriptors) = supervision::serve_names(told, sockets);
        let answer = run.client.request(body, descriptors).await;
        answer.map_err(|error| Error::SupervisorLost {
            action: "serve names for",
            id: self.settings.id.clone(),
            reason: supervision::chain(&error),
        })?;
        if !runs {
            run.services.push(ServiceKind::Names);
        }
        Ok(())
    }

    /// Tells that the container joined or left networks.
    pub(super) fn network_events(&self, action: &str, endpoints: &[EndpointInfo]) {
        for endpoint in endpoints {
            let record = self.shared.networks.inspect(&endpoint.network_id);
            let driver = record.map_or("bridge", |record| record.driver.as_str());
            let attributes = StringMap::from([
                ("container".to_owned(), self.settings.id.clone()),
                ("name".to_owned(), endpoint.network_name.clone()),
                ("type".to_owned(), driver.to_owned()),
            ]);
            self.shared.events.publish(Kind::Network, action, &endpoint.network_id, attributes);
        }
    }

    /// Changes the networks of the present run.
    async fn change(
        &self,
        change: impl FnOnce(&Running<'_>) -> Result<Vec<EndpointInfo>, Error> + Send + 'static,
    ) -> Result<Vec<EndpointInfo>, Error> {
        let (shared, settings) = (Arc::clone(&self.shared), Arc::clone(&self.settings));
        let (name, pid) = (self.current.name.clone(), self.current.state.pid);
        let changed = spawn_blocking(move || {
            change(&Running { networks: &shared.networks, settings: &settings, name: &name, pid })
        });
        changed.await.expect("changing networks does not panic")
    }

    fn check_connectable(&self, network: &str) -> Result<(), Error> {
        self.check_not_removed()?;
        let mode = self.settings.host_config.network_mode.as_str();
        if mode == "host" || mode.starts_with("container:") {
            return Err(Error::invalid(
                "container sharing network namespace with another container or host cannot be connected to any other \
                 network",
            ));
        }
        if network == "host" {
            return Err(Error::invalid(HOST_NETWORK));
        }
        if network == "none" || self.current.networks.contains_key("none") {
            return Err(Error::invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
        Ok(())
    }

    fn check_not_removed(&self) -> Result<(), Error> {
        match self.current.state.status {
            Status::Removing | Status::Dead => Err(Error::conflict(format!(
                "container {} is marked for removal and cannot be connected or disconnected to the network",
                self.settings.id
            ))),
            _ => Ok(()),
        }
    }

    fn keep_networks(&mut self, networks: Asked) -> Result<(), Error> {
        self.write_record(&self.current.name, &networks)?;
        self.current.networks = Arc::new(networks);
        self.publish();
        Ok(())
    }

    fn keep_endpoints(&mut self, endpoints: Vec<EndpointInfo>) -> Result<(), Error> {
        let files = self.shared.files(&self.settings.id);
        self.current.endpoints = Arc::new(endpoints);
        self.publish();
        files::write_endpoints(&files, &self.current.endpoints)?;
        let linked = self.shared.running_linked(&self.settings.id, &self.current.name);
        {
            let _changing = self.shared.links.changing_hosts();
            files::write_hosts(&files, &self.settings, &self.current.endpoints, &linked)?;
        }
        self.shared.tell_owners(&self.settings, &self.current.name, &self.current.endpoints);
        Ok(())
    }
}

/// Opens the sockets of a name server in the namespace of a container that runs.
async fn open_sockets(pid: i32) -> Result<NameSockets, Error> {
    let opened = spawn_blocking(move || NameSockets::open(network::namespace_of(pid)?.as_fd()));
    Ok(opened.await.expect("opening sockets does not panic")?)
}
