//! Credentials for a registry, as clients send them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

/// The request header that carries an [`AuthConfig`].
pub const HEADER: &str = "X-Registry-Auth";

/// The request header of a build that carries credentials for any number of registries, by their addresses.
pub const CONFIG_HEADER: &str = "X-Registry-Config";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials for one registry. Either user name and password, or one of the tokens.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// The user's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// Name and password as base64 of `name:password`; used where `username` is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    /// No longer used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// The registry's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serveraddress: String,
    /// A token that is exchanged for an access token.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
    /// A bearer token that is sent as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registrytoken: String,
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("serveraddress", &self.serveraddress)
            .finish_non_exhaustive()
    }
}

/// The answer to `POST /auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoginResponse {
    /// A token to keep in the place of the password; empty where the registry has none.
    pub identity_token: String,
    /// What to tell the user.
    pub status: String,
}

/// Why a header was not understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not base64.
    #[error("invalid X-Registry-Auth header: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not the JSON of credentials.
    #[error("invalid X-Registry-Auth header: {0}")]
    Json(#[from] crate::json::Error),
}

impl AuthConfig {
    /// Reads the header's value: base64url of JSON. An empty one is no credentials.
    ///
    /// # Errors
    /// Where it is not that.
    pub fn decode(header: &str) -> Result<Self, Error> {
        let header = header.trim();
        if header.is_empty() {
            return Ok(Self::default());
        }
        Ok(crate::json::from_slice(&BASE64.decode(header)?)?)
    }

    /// Writes the header's value.
    pub fn encode(&self) -> String {
        BASE64.encode(serde_json::to_vec(self).expect("a struct of strings"))
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads the value of [`CONFIG_HEADER`]: base64url of a JSON object. An empty one is no credentials.
///
/// # Errors
/// Where it is not that.
pub fn decode_config(header: &str) -> Result<BTreeMap<String, AuthConfig>, Error> {
    let header = header.trim();
    if header.is_empty() {
        return Ok(BTreeMap::new());
    }
    Ok(crate::json::from_slice(&BASE64.decode(header)?)?)
}

/// Writes the value of [`CONFIG_HEADER`].
pub fn encode_config(config: &BTreeMap<String, AuthConfig>) -> String {
    BASE64.encode(serde_json::to_vec(config).expect("a map of structs of strings"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_survive_the_header() {
        let config = AuthConfig { username: "me".into(), password: "p?>>".into(), ..AuthConfig::default() };
        assert_eq!(AuthConfig::decode(&config.encode()).unwrap(), config);
    }

    #[test]
    fn header_without_padding_is_read() {
        let config = AuthConfig { username: "a".into(), ..AuthConfig::default() };
        assert_eq!(AuthConfig::decode(config.encode().trim_end_matches('=')).unwrap(), config);
    }

    #[test]
    fn debug_output_has_no_secret() {
        let config = AuthConfig { password: "hunter2".into(), ..AuthConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn garbage_is_refused_naming_the_header() {
        assert!(AuthConfig::decode("§").unwrap_err().to_string().contains("X-Registry-Auth"));
        assert!(AuthConfig::decode("AAAA").unwrap_err().to_string().contains("X-Registry-Auth"));
    }
}
