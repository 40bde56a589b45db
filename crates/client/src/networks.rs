//! Networks.

use api::Filters;
use api::network::{
    ConnectRequest, CreateRequest, CreateResponse, DisconnectRequest, InspectOptions, ListOptions,
    NetworkInspect, PlanRequest, PlanResponse, PruneResponse,
};
use api::query::QueryWriter;
use bytes::Bytes;
use http::Method;

use crate::Error;
use crate::connection::{Call, Client, segment};

fn path(network: &str) -> String {
    format!("/networks/{}", segment(network))
}

/// All methods fail with [`Error::Daemon`] if the engine refuses, and with [`Error::Connect`] or
/// [`Error::Transport`] if it cannot be reached.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Client {
    /// The networks that match.
    pub async fn networks(&self, options: &ListOptions) -> Result<Vec<NetworkInspect>, Error> {
        self.json(Call::get("/networks", &options.to_query())).await
    }

    /// Everything about one network, as the engine's own JSON.
    pub async fn inspect_network_raw(&self, network: &str, options: &InspectOptions) -> Result<Bytes, Error> {
        self.bytes(Call::get(&path(network), &options.to_query())).await
    }

    /// Makes a network.
    pub async fn create_network(&self, request: &CreateRequest) -> Result<CreateResponse, Error> {
        self.json(Call::post("/networks/create", "").json(request)).await
    }

    /// Removes a network.
    pub async fn remove_network(&self, network: &str) -> Result<(), Error> {
        self.empty(Call::new(Method::DELETE, &path(network), "")).await
    }

    /// Removes all networks that no running container is connected to.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<PruneResponse, Error> {
        let query = QueryWriter::new().filters(filters).finish();
        self.json(Call::post("/networks/prune", &query)).await
    }

    /// Connects a container to a network.
    pub async fn connect_network(&self, network: &str, request: &ConnectRequest) -> Result<(), Error> {
        let path = format!("{}/connect", path(network));
        self.empty(Call::post(&path, "").json(request)).await
    }

    /// Takes a container out of a network.
    pub async fn disconnect_network(&self, network: &str, request: &DisconnectRequest) -> Result<(), Error> {
        let path = format!("{}/disconnect", path(network));
        self.empty(Call::post(&path, "").json(request)).await
    }

    /// Asks what publishing ports would do to the firewall.
    pub async fn plan_network(&self, network: &str, request: &PlanRequest) -> Result<PlanResponse, Error> {
        let path = format!("{}/plan", path(network));
        self.json(Call::post(&path, "").json(request)).await
    }
}
