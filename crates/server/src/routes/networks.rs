//! Networks.

use api::network::{
    CreateRequest, EndpointResource, Ipam, IpamConfig, ListOptions, NetworkInspect, PruneResponse,
};
use http::StatusCode;
use network::{EndpointInfo, NetworkRecord};

use super::Api;
use crate::error::Error;
use crate::http::{Call, Response, empty, json};

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

impl Api {
    pub(super) fn list_networks(&self, call: &Call) -> Result<Response, Error> {
        let ListOptions { filters } = ListOptions::from_query(&call.query())?;
        filters.validate(FILTERS)?;
        let dangling = filters.contains("dangling").then(|| filters.flag("dangling", false)).transpose()?;
        let mut networks: Vec<NetworkRecord> = self.engine.networks().list();
        networks.retain(|network| {
            let is_predefined = is_predefined(&network.name);
            let kind = if is_predefined { "builtin" } else { "custom" };
            let is_dangling = !is_predefined && self.engine.networks().endpoints(&network.id).is_empty();
            filters.matches_exactly("driver", network.driver.as_str())
                && filters.matches_prefix("id", &network.id)
                && filters.matches_map("label", &network.labels)
                && (filters.matches_exactly("name", &network.name)
                    || filters.values("name").any(|part| network.name.contains(part)))
                && filters.matches_exactly("scope", "local")
                && filters.matches_exactly("type", kind)
                && dangling.is_none_or(|wanted| wanted == is_dangling)
        });
        // Up to 1.27 the list said which containers are connected.
        let endpoints = |id: &str| match call.version().at_least(28) {
            true => Vec::new(),
            false => self.engine.networks().endpoints(id),
        };
        let shape = |network: NetworkRecord| {
            let endpoints = endpoints(&network.id);
            shape(network, endpoints)
        };
        let list: Vec<_> = networks.into_iter().map(shape).collect();
        Ok(json(StatusCode::OK, &list))
    }

    pub(super) async fn create_network(&self, mut call: Call) -> Result<Response, Error> {
        let mut request = call.json_or_default::<CreateRequest>().await?;
        if !call.version().at_least(48) {
            request.enable_ipv4 = None;
        }
        Ok(json(StatusCode::CREATED, &self.engine.create_network(request).await?))
    }

    pub(super) async fn remove_network(&self, id: String) -> Result<Response, Error> {
        self.engine.remove_network(id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn prune_networks(&self, call: &Call) -> Result<Response, Error> {
        let deleted = self.engine.prune_networks(call.query().filters()?).await?;
        let networks_deleted = (!deleted.is_empty()).then_some(deleted);
        Ok(json(StatusCode::OK, &PruneResponse { networks_deleted }))
    }

    pub(super) async fn connect_network(&self, id: String, mut call: Call) -> Result<Response, Error> {
        self.engine.connect_network(id, call.json_or_default().await?).await?;
        Ok(empty(StatusCode::OK))
    }

    pub(super) async fn disconnect_network(&self, id: String, mut call: Call) -> Result<Response, Error> {
        self.engine.disconnect_network(id, call.json_or_default().await?).await?;
        Ok(empty(StatusCode::OK))
    }

    pub(super) async fn plan_network(&self, id: String, mut call: Call) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.engine.plan_network(id, call.json_or_default().await?).await?))
    }

    pub(super) fn inspect_network(&self, id: &str) -> Result<Response, Error> {
        let network = self.engine.networks().inspect(id)?;
        let endpoints = self.engine.networks().endpoints(&network.id);
        Ok(json(StatusCode::OK, &shape(network, endpoints)))
    }
}

pub(super) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none")
}

fn shape(network: NetworkRecord, endpoints: Vec<EndpointInfo>) -> NetworkInspect {
    let pools = network.ipam.config.into_iter().map(|pool| IpamConfig {
        subnet: pool.subnet.to_string(),
        ip_range: pool.ip_range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: pool.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: Some(
            pool.auxiliary_addresses.into_iter().map(|(name, address)| (name, address.to_string())).collect(),
        ),
    });
    NetworkInspect {
        name: network.name,
        id: network.id,
        created: network.created.parse().unwrap_or_default(),
        scope: "local".to_owned(),
        driver: network.driver.as_str().to_owned(),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        ipam: Ipam {
            driver: network.ipam.driver,
            options: network.ipam.options,
            config: Some(pools.collect()),
        },
        internal: network.internal,
        attachable: network.attachable,
        ingress: network.ingress,
        containers: endpoints.into_iter().map(shape_endpoint).collect(),
        options: Some(network.options),
        labels: Some(network.labels),
        ..NetworkInspect::default()
    }
}

fn shape_endpoint(endpoint: EndpointInfo) -> (String, EndpointResource) {
    let resource = EndpointResource {
        name: endpoint.container_name,
        endpoint_id: endpoint.endpoint_id,
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ipv4_address: endpoint.ipv4.map(|ip| format!("{ip}/{}", endpoint.ipv4_prefix)).unwrap_or_default(),
        ipv6_address: endpoint.ipv6.map(|ip| format!("{ip}/{}", endpoint.ipv6_prefix)).unwrap_or_default(),
    };
    (endpoint.container_id, resource)
}
