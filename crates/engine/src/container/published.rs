use std::collections::BTreeMap;
use std::sync::Arc;

use api::network::EndpointSettings;
use network::EndpointInfo;
use shim::ServiceKind;
use shim::client::Client;

use crate::health::Health;
use crate::state::State;

/// A container's state at one moment, as every reader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Its name, without the leading slash.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// The networks it is to be connected to, by name, with what was asked for.
    pub networks: Arc<BTreeMap<String, EndpointSettings>>,
    /// Its network endpoints while it runs, the first interface first.
    pub endpoints: Arc<Vec<EndpointInfo>>,
    /// What its health checks found; `None` where it has none.
    pub health: Option<Arc<Health>>,
    /// Whether it is removed; the last state published says so.
    pub removed: bool,
    pub(crate) live: Option<Live>,
}

/// The supervisor of a container that runs, for requests that change no state of the container.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) client: Arc<Client>,
    pub(crate) pid: i32,
}

/// One run of a container, from the start of its supervisor to its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) client: Arc<Client>,
    pub(crate) events: shim::client::Events,
    pub(crate) pid: i32,
    pub(crate) started_at: i64,
    pub(crate) endpoints: Vec<EndpointInfo>,
    /// Servers that run beside it.
    pub(crate) services: Vec<ServiceKind>,
}
