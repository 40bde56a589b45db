//! Making a container.

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig};
use crate::json;
use crate::network::NetworkingConfig;

/// The body of `POST /containers/create`. Read it with [`CreateRequest::from_slice`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CreateRequest {
    /// What runs.
    #[serde(flatten)]
    pub config: Config,
    /// How it runs on this host.
    #[serde(rename = "HostConfig", skip_serializing_if = "Option::is_none")]
    pub host_config: Option<HostConfig>,
    /// The networks it is connected to.
    #[serde(rename = "NetworkingConfig", skip_serializing_if = "Option::is_none")]
    pub networking_config: Option<NetworkingConfig>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostPart {
    host_config: Option<HostConfig>,
    networking_config: Option<NetworkingConfig>,
}

impl CreateRequest {
    /// Reads the body. (The two parts are read one after the other: a flattened struct would lose the leniency.)
    ///
    /// # Errors
    /// As [`json::from_slice`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, json::Error> {
        let config = json::from_slice(bytes)?;
        let HostPart { host_config, networking_config } = json::from_slice(bytes)?;
        Ok(Self { config, host_config, networking_config })
    }
}

/// The answer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateResponse {
    /// The new container's ID.
    pub id: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}
