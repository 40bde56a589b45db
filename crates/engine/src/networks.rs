//! Networks as users make and remove them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::container::{Config, HostConfig};
use api::network::{
    ConnectRequest, CreateRequest, CreateResponse, DisconnectRequest, IpamConfig as AskedSubnet, PlanRequest,
    PlanResponse,
};
use api::{Filters, StringMap, Time};
use network::{Cidr, NetworkRecord, NetworkRequest, SubnetRequest};
use tokio::task::spawn_blocking;

use crate::container::Command;
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Kind;
use crate::ports;

impl Engine {
    /// Makes a network.
    ///
    /// # Errors
    ///
    /// The name is taken, a setting makes no sense or is not supported; nothing is left of it then.
    pub async fn create_network(&self, request: CreateRequest) -> Result<CreateResponse, Error> {
        let request = network_request(request)?;
        let networks = Arc::clone(self.networks());
        let made = spawn_blocking(move || networks.create(request)).await;
        let record = made.expect("making a network does not panic")?;
        self.network_event("create", &record);
        Ok(CreateResponse { id: record.id, warning: String::new() })
    }

    /// Removes a network that no running container is connected to.
    pub async fn remove_network(&self, network: String) -> Result<(), Error> {
        let networks = Arc::clone(self.networks());
        let removed = spawn_blocking(move || networks.remove(&network)).await;
        let record = removed.expect("removing a network does not panic")?;
        self.network_event("destroy", &record);
        Ok(())
    }

    /// Removes the networks that no running container is connected to and that match; returns their names.
    ///
    /// # Errors
    ///
    /// A filter that does not exist or cannot be read.
    pub async fn prune_networks(&self, filters: Filters) -> Result<Vec<String>, Error> {
        filters.validate(&["label", "label!", "until"]).map_err(|error| Error::invalid(error.to_string()))?;
        let until = filters.values("until").next().map(until).transpose()?;
        let networks = Arc::clone(self.networks());
        let pruned = spawn_blocking(move || {
            networks.prune(|record| {
                filters.matches_labels(&record.labels)
                    && until.is_none_or(|until| record.created.parse::<Time>().is_ok_and(|made| made < until))
            })
        });
        let removed = pruned.await.expect("removing networks does not panic");
        for record in &removed {
            self.network_event("destroy", record);
        }
        Ok(removed.into_iter().map(|record| record.name).collect())
    }

    /// Connects a container to a network; one that does not run is connected at its next start.
    pub async fn connect_network(&self, network: String, request: ConnectRequest) -> Result<(), Error> {
        self.networks().inspect(&network)?;
        let settings = Box::new(request.endpoint_config.unwrap_or_default());
        let container = self.find(&request.container)?;
        container.ask(|reply| Command::Connect { network, settings, reply }).await
    }

    /// Takes a container out of a network; with force also one that is gone, whose endpoint is still there.
    pub async fn disconnect_network(&self, network: String, request: DisconnectRequest) -> Result<(), Error> {
        let DisconnectRequest { container, force } = request;
        match self.find(&container) {
            Ok(found) => found.ask(|reply| Command::Disconnect { network, force, reply }).await,
            Err(error) if force => self.forget_endpoint(&network, &container, error),
            Err(error) => Err(error),
        }
    }

    /// Frees what a container that is gone has left in a network.
    fn forget_endpoint(&self, network: &str, container: &str, not_found: Error) -> Result<(), Error> {
        let record = self.networks().inspect(network)?;
        let container = container.strip_prefix('/').unwrap_or(container);
        let endpoints = self.networks().endpoints(&record.id);
        let left = endpoints.iter().find(|endpoint| {
            [&endpoint.container_name, &endpoint.container_id].contains(&&container.to_owned())
        });
        self.networks().release(left.ok_or(not_found)?);
        Ok(())
    }

    /// Tells what publishing ports of a new container would do to the firewall; nothing is changed.
    ///
    /// # Errors
    ///
    /// As those of a start that publishes them.
    pub async fn plan_network(&self, network: String, request: PlanRequest) -> Result<PlanResponse, Error> {
        let host_config = HostConfig { port_bindings: Some(request.port_bindings), ..HostConfig::default() };
        let ports = ports::bindings(&Config::default(), &host_config)?;
        let networks = Arc::clone(self.networks());
        let plan = spawn_blocking(move || networks.plan(&network, &ports)).await;
        let plan = plan.expect("planning does not panic")?;
        let address = plan.endpoint.addresses().next();
        Ok(PlanResponse {
            table: plan.table,
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            changes: plan.changes,
            relayed: plan.relayed,
            before: plan.before,
            after: plan.after,
        })
    }

    fn network_event(&self, action: &str, record: &NetworkRecord) {
        let attributes = StringMap::from([
            ("name".to_owned(), record.name.clone()),
            ("type".to_owned(), record.driver.as_str().to_owned()),
        ]);
        self.events().publish(Kind::Network, action, &record.id, attributes);
    }
}

/// A moment, or how long ago it was.
pub(crate) fn until(text: &str) -> Result<Time, Error> {
    let ago = || {
        let ago = text.parse::<jiff::SignedDuration>().ok()?;
        jiff::Timestamp::now().checked_sub(ago).ok().map(Time)
    };
    api::time::parse_seconds(text)
        .or_else(|| text.parse().ok())
        .or_else(ago)
        .ok_or_else(|| Error::invalid(format!("invalid filter 'until={text}'")))
}

/// # Errors
///
/// Everything that cannot be read, in one answer, as Docker does; what is not supported, by name.
fn network_request(request: CreateRequest) -> Result<NetworkRequest, Error> {
    let unsupported = [
        (request.ingress, "ingress network (swarm mode)"),
        (!matches!(request.scope.as_str(), "" | "local"), "network scope other than local"),
        (request.config_only, "configuration-only network (--config-only)"),
        (
            request.config_from.as_ref().is_some_and(|from| !from.network.is_empty()),
            "configuration from another network (--config-from)",
        ),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(asked, _)| *asked) {
        return Err(Error::unsupported(what));
    }
    let ipam = request.ipam.unwrap_or_default();
    let mut faults = Vec::new();
    let subnets = ipam.config.into_iter().flatten().map(|asked| subnet_request(asked, &mut faults)).collect();
    if !faults.is_empty() {
        return Err(network::Error::InvalidNetwork(faults).into());
    }
    Ok(NetworkRequest {
        name: request.name,
        driver: request.driver,
        enable_ipv4: request.enable_ipv4,
        enable_ipv6: request.enable_ipv6,
        ipam_driver: ipam.driver,
        ipam_options: ipam.options,
        ipam_config: subnets,
        internal: request.internal,
        attachable: request.attachable,
        options: request.options.unwrap_or_default(),
        labels: request.labels.unwrap_or_default(),
    })
}

fn subnet_request(asked: AskedSubnet, faults: &mut Vec<String>) -> SubnetRequest {
    let mut block = |what: &str, text: &str| -> Option<Cidr> {
        let parsed = text.parse().ok();
        if parsed.is_none() && !text.is_empty() {
            faults.push(format!("invalid {what} {text}: invalid CIDR block notation"));
        }
        parsed
    };
    let subnet = block("subnet", &asked.subnet);
    let ip_range = block("ip-range", &asked.ip_range);
    let mut address = |what: &str, text: &str| -> Option<IpAddr> {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            faults.push(format!("invalid {what} {text}: invalid address"));
        }
        parsed
    };
    let gateway = if asked.gateway.is_empty() { None } else { address("gateway", &asked.gateway) };
    let auxiliary = asked.auxiliary_addresses.unwrap_or_default();
    let auxiliary_addresses: BTreeMap<String, IpAddr> = auxiliary
        .into_iter()
        .filter_map(|(name, text)| {
            Some((name.clone(), address(&format!("auxiliary address {name}"), &text)?))
        })
        .collect();
    SubnetRequest { subnet, ip_range, gateway, auxiliary_addresses }
}

#[cfg(test)]
mod tests {
    use api::network::{ConfigReference, Ipam};

    use super::*;

    fn with_subnet(subnet: AskedSubnet) -> CreateRequest {
        let ipam = Ipam { config: Some(vec![subnet]), ..Ipam::default() };
        CreateRequest { name: "lab".to_owned(), ipam: Some(ipam), ..CreateRequest::default() }
    }

    #[test]
    fn unreadable_addresses_are_told_together() {
        let asked = AskedSubnet {
            subnet: "10.0.0.0".to_owned(),
            gateway: "x".to_owned(),
            auxiliary_addresses: Some([("printer".to_owned(), "10.0.0.256".to_owned())].into()),
            ..AskedSubnet::default()
        };
        let message = network_request(with_subnet(asked)).unwrap_err().to_string();
        for part in ["invalid subnet 10.0.0.0", "invalid gateway x", "invalid auxiliary address printer"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn readable_addresses_are_passed_on() {
        let asked = AskedSubnet { subnet: "10.0.0.0/24".to_owned(), ..AskedSubnet::default() };
        let request = network_request(with_subnet(asked)).unwrap();
        assert_eq!(request.ipam_config[0].subnet.unwrap().to_string(), "10.0.0.0/24");
        assert_eq!(request.ipam_config[0].gateway, None);
    }

    #[test]
    fn kinds_of_networks_that_are_not_there_are_refused_by_name() {
        let base = || with_subnet(AskedSubnet::default());
        let from = Some(ConfigReference { network: "other".to_owned() });
        for (request, word) in [
            (CreateRequest { ingress: true, ..base() }, "ingress"),
            (CreateRequest { config_only: true, ..base() }, "--config-only"),
            (CreateRequest { scope: "swarm".to_owned(), ..base() }, "scope"),
            (CreateRequest { config_from: from, ..base() }, "--config-from"),
        ] {
            assert!(network_request(request).unwrap_err().to_string().contains(word), "{word}");
        }
    }
}
