//! The client's configuration: `~/.docker/config.json`, contexts, and the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use api::auth::AuthConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::Host;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::credentials::{DOCKER_HUB, Keeper, Place, host_of};
use crate::failure::{Failure, io_text};

/// The socket of the engine on this machine.
pub(crate) const DEFAULT_SOCKET: &str = "/run/corten.sock";
/// Names another socket for the engine on this machine, which is started there when none answers.
pub(crate) const HOST_VARIABLE: &str = "CORTEN_HOST";

/// The configuration file. What other programs keep in it is left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Config {
    pub(crate) detach_keys: String,
    pub(crate) ps_format: String,
    pub(crate) images_format: String,
    pub(crate) networks_format: String,
    pub(crate) current_context: String,
    #[serde(rename = "HttpHeaders")]
    pub(crate) http_headers: BTreeMap<String, String>,
    auths: BTreeMap<String, StoredAuth>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredAuth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// Where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Host,
    /// Whether it is the engine of this machine, which the command line starts when none answers.
    pub(crate) ours: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContextMeta {
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Endpoint {
    host: String,
}

impl Config {
    /// Reads the file in `directory`, or where the environment or the user's home has it.
    pub(crate) fn load(directory: &str) -> Self {
        let directory = match (directory, std::env::var_os("DOCKER_CONFIG")) {
            ("", Some(path)) if !path.is_empty() => PathBuf::from(path),
            ("", _) => home().join(".docker"),
            (path, _) => PathBuf::from(path),
        };
        let path = directory.join("config.json");
        let mut config = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                eprintln!("WARNING: Error loading config file: {}: {error}", path.display());
                Self::default()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                eprintln!("WARNING: Error loading config file: open {}: {}", path.display(), io_text(&error));
                Self::default()
            }
        };
        config.directory = directory;
        config
    }

    /// Decides where the engine is: `--context`, `--host`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context,
    /// then this machine.
    pub(crate) fn target(&self, host: Option<&str>, context: &str) -> Result<Target, Failure> {
        if host.is_some() && !context.is_empty() {
            return Err(Failure::message(
                "conflicting options: either specify --host or --context, not both",
            ));
        }
        let name = self.context_name(host, context);
        if name != "default" {
            return Ok(Target { host: self.context_host(&name)?, ours: false });
        }
        let variable = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        match host.map(str::to_owned).or(variable) {
            Some(host) => Ok(Target { host: parse_host(&host)?, ours: false }),
            None => local_target(),
        }
    }

    /// The name of the context in use.
    pub(crate) fn context_name(&self, host: Option<&str>, context: &str) -> String {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let name = match context {
            "" if host.is_some() || variable("DOCKER_HOST").is_some() => None,
            "" => variable("DOCKER_CONTEXT").or_else(|| Some(self.current_context.clone())),
            name => Some(name.to_owned()),
        };
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
    }

    fn context_host(&self, name: &str) -> Result<Host, Failure> {
        let id: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.directory.join("contexts/meta").join(id).join("meta.json");
        let fail = |reason: String| {
            Failure::message(format!(
                "Failed to initialize: unable to resolve docker endpoint: context \"{name}\": {reason}"
            ))
        };
        let bytes = std::fs::read(&path).map_err(|error| {
            fail(format!("context not found: open {}: {}", path.display(), io_text(&error)))
        })?;
        let meta: ContextMeta = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("parsing {}: {error}", path.display())))?;
        let endpoint = meta
            .endpoints
            .get("docker")
            .ok_or_else(|| fail(format!("cannot find docker endpoint in context \"{name}\"")))?;
        parse_host(&endpoint.host)
    }

    /// The credentials for the registry that `domain` names. A program that keeps them and fails is reported, and counts as
    /// having none: many images can be had without.
    pub(crate) fn auth(&self, domain: &str) -> Option<AuthConfig> {
        let address = if domain == "docker.io" { DOCKER_HUB } else { domain };
        self.stored(address).unwrap_or_else(|failure| {
            eprintln!("WARNING: {}", failure.text().unwrap_or_default());
            None
        })
    }

    /// All credentials, by their addresses, for a build that may need any of them.
    pub(crate) fn all_auths(&self) -> BTreeMap<String, AuthConfig> {
        let addresses: BTreeSet<&String> = self.auths.keys().chain(self.cred_helpers.keys()).collect();
        let found = addresses.into_iter().filter_map(|address| {
            let auth = self.stored(address).unwrap_or_else(|failure| {
                eprintln!("WARNING: {}", failure.text().unwrap_or_default());
                None
            })?;
            Some((address.clone(), auth))
        });
        found.collect()
    }

    /// The credentials that are kept for an address.
    pub(crate) fn stored(&self, address: &str) -> Result<Option<AuthConfig>, Failure> {
        match self.keeper(address) {
            Some(keeper) => keeper.find(address),
            None => Ok(self.auth_in_file(address)),
        }
    }

    /// Where credentials for an address are kept.
    pub(crate) fn place(&self, address: &str) -> Place {
        Place { keeper: self.keeper(address), file: self.directory.join("config.json") }
    }

    /// Where lists of images in the making are kept.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.directory.join("manifests")
    }

    fn keeper(&self, address: &str) -> Option<Keeper> {
        let named = self.cred_helpers.get(address).unwrap_or(&self.creds_store);
        (!named.is_empty()).then(|| Keeper(named.clone()))
    }

    /// By its address, or as older versions wrote it.
    fn auth_in_file(&self, address: &str) -> Option<AuthConfig> {
        let stored = self.auths.get(address).or_else(|| {
            let host = |key: &str| host_of(key) == host_of(address);
            self.auths.iter().find(|(key, _)| host(key)).map(|(_, stored)| stored)
        })?;
        let (username, password) = stored.login();
        Some(AuthConfig {
            username,
            password,
            serveraddress: address.to_owned(),
            identitytoken: stored.identitytoken.clone(),
            registrytoken: stored.registrytoken.clone(),
            ..AuthConfig::default()
        })
    }
}

impl StoredAuth {
    fn login(&self) -> (String, String) {
        let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((name, password)) => (name.to_owned(), password.trim_end_matches('\0').to_owned()),
            None => (self.username.clone(), self.password.clone()),
        }
    }
}

fn local_target() -> Result<Target, Failure> {
    let host = match std::env::var(HOST_VARIABLE).ok().filter(|host| !host.is_empty()) {
        Some(host) => parse_host(&host)?,
        None => Host::Unix(PathBuf::from(DEFAULT_SOCKET)),
    };
    let ours = matches!(host, Host::Unix(_));
    Ok(Target { host, ours })
}

fn parse_host(text: &str) -> Result<Host, Failure> {
    text.parse().map_err(|error: client::HostError| Failure::message(error.to_string()))
}

fn home() -> PathBuf {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| Path::new("/root").to_owned(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_is_found_by_registry() {
        let config: Config = serde_json::from_str(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjOnJldA=="},"localhost:5000":{"identitytoken":"t"}}}"#,
        )
        .unwrap();
        let auth = config.auth("docker.io").unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("me", "sec:ret"));
        assert_eq!(config.auth("localhost:5000").unwrap().identitytoken, "t");
        assert!(config.auth("example.org").is_none());
        let all = config.all_auths();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["https://index.docker.io/v1/", "localhost:5000"]);
        assert_eq!(all["localhost:5000"].identitytoken, "t");
    }

    #[test]
    fn credentials_are_with_the_program_that_is_named_for_them() {
        let config: Config = serde_json::from_str(
            r#"{"credsStore":"all","credHelpers":{"r.example":"one"},"auths":{"r.example":{"auth":"bWU6cA=="}}}"#,
        )
        .unwrap();
        let keeper = |address: &str| config.place(address).keeper.map(|keeper| keeper.0);
        assert_eq!(keeper("r.example").as_deref(), Some("one"));
        assert_eq!(keeper(DOCKER_HUB).as_deref(), Some("all"));
        assert_eq!(Config::default().place("r.example").keeper, None);
    }

    #[test]
    fn context_names_the_host() {
        let directory = std::env::temp_dir().join(format!("corten-cli-context-{}", std::process::id()));
        let id: String = Sha256::digest(b"remote").iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = directory.join("contexts/meta").join(id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://far:1"}}}"#,
        )
        .unwrap();
        let config = Config { directory: directory.clone(), ..Config::default() };
        let target = config.target(None, "remote");
        let missing = config.target(None, "nope");
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(target.unwrap(), Target { host: Host::Tcp("far:1".into()), ours: false });
        assert!(missing.unwrap_err().to_string().contains("context not found: open "));
        assert!(config.target(Some("tcp://x"), "remote").is_err());
    }
}
