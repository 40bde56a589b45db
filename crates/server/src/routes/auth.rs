//! Logging in to registries.

use api::auth::{AuthConfig, LoginResponse};
use http::StatusCode;

use super::Api;
use super::transfer::from_config;
use crate::error::Error;
use crate::http::{Call, Response, json};

impl Api {
    /// Nothing is kept here: what to do with the answer is the client's business.
    pub(super) async fn login(&self, mut call: Call) -> Result<Response, Error> {
        let config: AuthConfig = call.json_or_default().await?;
        let domain = domain_of(&config.serveraddress).to_owned();
        let credentials = from_config(AuthConfig { serveraddress: String::new(), ..config });
        let client = self.registries.client().clone();
        let identity = client.login(&domain, &credentials.unwrap_or_default()).await.map_err(|error| {
            match error.kind() {
                registry::ErrorKind::Unauthorized => Error::Login(error),
                _ => Error::Registry(error),
            }
        })?;
        let answer = LoginResponse {
            status: "Login Succeeded".to_owned(),
            identity_token: identity.unwrap_or_default(),
        };
        Ok(json(StatusCode::OK, &answer))
    }
}

/// The registry that an address names; Docker Hub has one of its own from former times.
fn domain_of(address: &str) -> &str {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    match host.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_any_form_names_a_registry() {
        for address in ["", "https://index.docker.io/v1/", "docker.io", "index.docker.io"] {
            assert_eq!(domain_of(address), "docker.io", "{address}");
        }
        assert_eq!(domain_of("http://localhost:5000/v2/"), "localhost:5000");
        assert_eq!(domain_of("[::1]:5000"), "[::1]:5000");
    }
}
