//! From a request to the settings of a container: completed from the image, checked, then defaults filled in.
//!
//! Everything here is decided before anything is made; a request that is refused leaves nothing.

mod check;
mod image;
mod limits;
mod security;

use std::collections::BTreeMap;

use api::container::{Config, CreateRequest, HostConfig};
use api::network::EndpointSettings;

use crate::config::Config as EngineConfig;
use crate::error::Error;
use crate::links::Link;
use crate::mounts::{MountSettings, ReadOnlyReach};
use crate::settings::Settings;
use crate::volumes::Volumes;
use crate::{logging, mounts, networking, time};

pub(crate) use check::restart_policy;
pub(crate) use security::{Security, security};

/// What the settings of a new container are made of.
pub(crate) struct Ingredients<'a> {
    pub(crate) engine: &'a EngineConfig,
    pub(crate) id: String,
    pub(crate) request: CreateRequest,
    pub(crate) image_id: String,
    pub(crate) image: &'a oci::ImageConfig,
    /// Containers on the default bridge that it knows (`--link`).
    pub(crate) links: Vec<Link>,
    /// Mounts of other containers (`--volumes-from`).
    pub(crate) inherited: Vec<MountSettings>,
    /// How far read-only binds reach that do not say so.
    pub(crate) reach: ReadOnlyReach,
}

/// Makes the settings of a new container.
///
/// # Errors
///
/// [`Error::InvalidParameter`] and [`Error::Unsupported`], each naming the field.
pub(crate) fn settings(ingredients: Ingredients<'_>) -> Result<Settings, Error> {
    let Ingredients { engine, id, request, image_id, image, links, inherited, reach } = ingredients;
    let mut config = request.config;
    let mut host_config = request.host_config.unwrap_or_default();
    check::supported(&config, &host_config)?;
    image::complete(&mut config, image)?;
    fill_defaults(engine, &id, &mut config, &mut host_config);
    check::config(&config)?;
    check::host_config(&host_config)?;
    limits::check(&host_config)?;
    security(&host_config)?;
    logging::check(&host_config.log_config)?;
    let networks =
        networks(&host_config, request.networking_config.and_then(|asked| asked.endpoints_config))?;
    let mut mounts = mounts::collect(&config, &host_config, inherited, reach)?;
    Volumes::name_anonymous(&mut mounts);
    let (path, args) = command(&config)?;
    let created = time::now();
    Ok(Settings { id, created, image_id, path, args, config, host_config, networks, links, mounts })
}

/// The program and its arguments: the entry point followed by the command.
fn command(config: &Config) -> Result<(String, Vec<String>), Error> {
    let words = config.entrypoint.iter().chain(&config.cmd).flat_map(|words| words.iter().cloned());
    let mut words = words.collect::<Vec<_>>().into_iter();
    let path = words.next().ok_or_else(|| Error::invalid("no command specified"))?;
    Ok((path, words.collect()))
}

fn fill_defaults(engine: &EngineConfig, id: &str, config: &mut Config, host_config: &mut HostConfig) {
    if config.hostname.is_empty() && host_config.network_mode != "host" && host_config.uts_mode != "host" {
        config.hostname = id[..12].to_owned();
    }
    fill(&mut host_config.network_mode, "bridge", &["default"]);
    fill(&mut host_config.ipc_mode, "private", &[]);
    fill(&mut host_config.cgroupns_mode, default_cgroupns(), &[]);
    fill(&mut host_config.runtime, "runc", &[]);
    fill(&mut host_config.restart_policy.name, "no", &[]);
    fill(&mut host_config.log_config.driver, &engine.log_driver, &[]);
    if host_config.log_config.driver == engine.log_driver && host_config.log_config.config.is_none() {
        host_config.log_config.config = Some(engine.log_options.clone());
    }
    host_config.log_config.config.get_or_insert_default();
    if host_config.shm_size == 0 {
        host_config.shm_size = engine.shm_size;
    }
    if host_config.memory > 0 && host_config.memory_swap == 0 {
        host_config.memory_swap = host_config.memory.saturating_mul(2);
    }
    if host_config.init.is_none() && engine.init {
        host_config.init = Some(true);
    }
    if host_config.privileged {
        host_config.masked_paths.get_or_insert_default();
        host_config.readonly_paths.get_or_insert_default();
    }
}

fn fill(field: &mut String, default: &str, synonyms: &[&str]) {
    if field.is_empty() || synonyms.contains(&field.as_str()) {
        default.clone_into(field);
    }
}

/// Docker's default: private where the controllers are on the unified hierarchy, the host's elsewhere.
fn default_cgroupns() -> &'static str {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "private" } else { "host" }
}

/// The networks to join, by name. Without an entry of its own the network mode counts as one.
fn networks(
    host_config: &HostConfig,
    asked: Option<BTreeMap<String, EndpointSettings>>,
) -> Result<BTreeMap<String, EndpointSettings>, Error> {
    let mode = host_config.network_mode.as_str();
    if mode.starts_with("container:") {
        return Ok(BTreeMap::new());
    }
    let named = |(name, settings)| {
        let name = if name == "default" { "bridge".to_owned() } else { name };
        networking::check(&name, settings).map(|settings| (name, settings))
    };
    let mut networks: BTreeMap<String, EndpointSettings> =
        asked.unwrap_or_default().into_iter().map(named).collect::<Result<_, _>>()?;
    let own = networks.entry(mode.to_owned()).or_default();
    // Clients can leave it to the engine to ask for them in the network.
    if networking::is_user_defined(mode) && own.links.as_ref().is_none_or(Vec::is_empty) {
        let links = host_config.links.clone().filter(|links| !links.is_empty());
        *own = networking::check(mode, EndpointSettings { links, ..std::mem::take(own) })?;
    }
    if matches!(mode, "host" | "none") && networks.len() > 1 {
        let message = format!("container cannot be connected to network mode {mode} and to another network");
        return Err(Error::invalid(message));
    }
    Ok(networks)
}
