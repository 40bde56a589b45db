//! Networks and how containers are connected to them.

mod endpoint;
mod options;
mod settings;
mod spec;

pub use endpoint::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};
pub use options::{InspectOptions, ListOptions};
pub use settings::{Address, NetworkSettings};
pub use spec::{
    ConfigReference, ConnectRequest, CreateRequest, CreateResponse, DisconnectRequest, EndpointResource,
    Ipam, IpamConfig, NetworkInspect, PlanRequest, PlanResponse, PruneResponse,
};
