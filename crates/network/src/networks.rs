//! The networks of an engine.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use store::Store;

use crate::bridge;
use crate::cidr::Cidr;
use crate::config::Config;
use crate::connect::FIRST_INTERFACE;
use crate::endpoint::EndpointInfo;
use crate::error::Error;
use crate::firewall::{Finding, Firewall};
use crate::netlink::RouteSocket;
use crate::options::{self, GatewayMode};
use crate::pool::{Plugged, PoolStatus, SandboxPool};
use crate::port_allocator::PortAllocator;
use crate::predefined::{self, PREDEFINED};
use crate::record::{IpamConfig, NetworkRecord};
use crate::sandbox::Port;
use crate::state::{Network, State};

/// The networks of an engine, and what they have in the kernel. Shared by reference between threads.
///
/// It works in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Networks {
    pub(crate) config: Config,
    /// Of networks that set none.
    pub(crate) mtu: u32,
    pub(crate) store: Store,
    pub(crate) state: Mutex<State>,
    /// Held while a network is created or removed.
    pub(crate) creation: Mutex<()>,
    pub(crate) ports: Mutex<PortAllocator>,
    /// A socket in the host's namespace.
    pub(crate) host: Mutex<RouteSocket>,
    pub(crate) firewall: Option<Mutex<Firewall>>,
    /// Prepared sandboxes on the network named `bridge`.
    pub(crate) pool: OnceLock<SandboxPool>,
    /// Prepared namespaces without a network.
    pub(crate) bare_pool: OnceLock<SandboxPool>,
}

/// Sandboxes on the default bridge that are made ready at the engine's start.
const INITIALLY_READY: usize = 2;

/// What [`Networks::verify_rules`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesState {
    /// Everything is as it should be.
    Intact,
    /// Something else had removed rules; they are back.
    Restored,
}

/// The name of the file with the records.
const DATABASE: &str = "networks.db";

impl Networks {
    /// Loads the networks, makes the predefined ones where they are missing, and brings the bridges into place. Rules are
    /// put into place by [`Networks::restore`], which has to follow even where there is nothing to restore.
    pub fn open(config: Config) -> Result<Self, Error> {
        check(&config)?;
        let mut host = RouteSocket::open().map_err(|source| Error::Link {
            action: "open",
            subject: "rtnetlink".to_owned(),
            source,
        })?;
        let path = &config.state_dir;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| Error::File {
            action: "create",
            path: path.clone(),
            source,
        })?;
        let store = Store::open(&path.join(DATABASE))?;
        let mtu = match config.mtu {
            Some(mtu) => mtu,
            None => bridge::uplink_mtu(&mut host).map_err(routes_failed)?,
        };
        let state = load(&store, &config, mtu, &mut host)?;
        let firewall = config.firewall.then(|| Firewall::open(&config.table)).transpose()?.map(Mutex::new);
        let networks = Self {
            config,
            mtu,
            store,
            state: Mutex::new(state),
            creation: Mutex::default(),
            ports: Mutex::default(),
            host: Mutex::new(host),
            firewall,
            pool: OnceLock::new(),
            bare_pool: OnceLock::new(),
        };
        networks.raise_bridges()?;
        Ok(networks)
    }

    /// The file with the records.
    pub fn database(&self) -> PathBuf {
        self.config.state_dir.join(DATABASE)
    }

    /// Reads that file whole and tells what is damaged in it.
    pub fn verify_records(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.verify()?)
    }

    /// All networks, in the order of their names.
    pub fn list(&self) -> Vec<NetworkRecord> {
        let state = self.state();
        let mut records: Vec<_> = state.networks.values().map(|network| network.record.clone()).collect();
        records.sort_by(|one, other| one.name.cmp(&other.name));
        records
    }

    /// The network with this name, ID, or unique beginning of an ID.
    pub fn inspect(&self, network: &str) -> Result<NetworkRecord, Error> {
        Ok(self.state().find(network)?.record.clone())
    }

    /// The endpoints of a network, by its ID.
    pub fn endpoints(&self, network_id: &str) -> Vec<EndpointInfo> {
        let state = self.state();
        let network = state.networks.get(network_id);
        network.map(|network| network.endpoints.values().cloned().collect()).unwrap_or_default()
    }

    /// Tells which endpoints are in use by running containers, and puts the firewall's rules into place for them. Called
    /// once, before the first [`Networks::connect`]. Interfaces on our bridges that belong to no endpoint are removed.
    pub fn restore(&self, endpoints: Vec<EndpointInfo>) -> Result<(), Error> {
        for endpoint in endpoints {
            if self.state().adopt(endpoint.clone()) {
                let mut ports = lock(&self.ports);
                let ports_of = endpoint.ports.iter();
                ports_of.for_each(|port| ports.adopt(port, endpoint.relay_target(port).is_some()));
            } else {
                let (id, network) = (endpoint.endpoint_id, endpoint.network_name);
                tracing::warn!(endpoint = id, network, "endpoint does not fit its network any more");
            }
        }
        self.replace_rules()?;
        self.remove_orphans()?;
        self.start_pool()
    }

    /// Looks whether something else changed the rules, and puts them back where it did. Cheap enough for every few seconds.
    ///
    /// It also lets our packets through the iptables chain FORWARD where that drops by default.
    pub fn verify_rules(&self) -> Result<RulesState, Error> {
        let Some(firewall) = &self.firewall else { return Ok(RulesState::Intact) };
        let mut firewall = lock(firewall);
        let (bridges, redirections) = self.state().firewall();
        match firewall.verify(&bridges)? {
            Finding::Intact => Ok(RulesState::Intact),
            Finding::Damaged => {
                firewall.replace(&bridges, &redirections)?;
                Ok(RulesState::Restored)
            }
        }
    }

    /// What the pool of prepared sandboxes on the default bridge has at this moment.
    pub fn pool_status(&self) -> PoolStatus {
        self.pool.get().map(SandboxPool::status).unwrap_or_default()
    }

    /// Puts all rules into place, in one step, whatever is there: after something else flushed the firewall, too.
    pub fn replace_rules(&self) -> Result<(), Error> {
        let Some(firewall) = &self.firewall else { return Ok(()) };
        // The firewall is locked first, so that no change of the state falls between what is read and what is written.
        let mut firewall = lock(firewall);
        let (bridges, redirections) = self.state().firewall();
        firewall.replace(&bridges, &redirections)
    }

    /// Removes what the networks have in the kernel: bridges and rules. For an engine whose containers are all gone and
    /// that will not come back; records stay.
    pub fn dismantle(&self) -> Result<(), Error> {
        let bridges: Vec<String> =
            self.state().networks.values().filter_map(|network| network.record.bridge.clone()).collect();
        [&self.pool, &self.bare_pool].into_iter().filter_map(OnceLock::get).for_each(SandboxPool::stop);
        if let Some(firewall) = &self.firewall {
            lock(firewall).remove()?;
        }
        let mut host = lock(&self.host);
        for name in bridges {
            let failed = |source| Error::Link { action: "remove bridge", subject: name.clone(), source };
            if let Some(link) = host.link(&name).map_err(failed)? {
                host.delete_link(link.index).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What the pool of prepared namespaces without a network has at this moment.
    pub fn bare_pool_status(&self) -> PoolStatus {
        self.bare_pool.get().map(SandboxPool::status).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn raise_bridges(&self) -> Result<(), Error> {
        let mut state = self.state();
        let mut host = lock(&self.host);
        for network in state.networks.values_mut() {
            let Some(name) = &network.record.bridge else { continue };
            let mtu = network.record.mtu().unwrap_or(self.mtu);
            let link = bridge::ensure(&mut host, name, &gateways(&network.record), mtu)?;
            network.bridged = self.config.firewall && bridge::filter_bridged(&mut host, &link);
        }
        if self.config.ip_forward {
            bridge::enable_forwarding(false)?;
            if state.networks.values().any(|network| network.record.enable_ipv6) {
                bridge::enable_forwarding(true)?;
            }
        }
        Ok(())
    }

    fn start_pool(&self) -> Result<(), Error> {
        let failed = |source| Error::Link { action: "start", subject: "sandbox pool".to_owned(), source };
        if self.config.sandbox_pool == 0 {
            return Ok(());
        }
        let link = lock(&self.host).link(&self.config.bridge).map_err(failed)?;
        let link = link.ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        let plugged =
            Plugged { port: Port { bridge: link.index, mtu: self.mtu }, interface: FIRST_INTERFACE };
        let limit = self.config.sandbox_pool;
        let pool = SandboxPool::start(Some(plugged), INITIALLY_READY, limit).map_err(failed)?;
        // Who does not use them does not pay for them.
        let bare = SandboxPool::start(None, 0, limit).map_err(failed)?;
        // A second call of `restore` keeps the pools that are there.
        let _ = self.pool.set(pool);
        let _ = self.bare_pool.set(bare);
        Ok(())
    }

    fn remove_orphans(&self) -> Result<(), Error> {
        let failed = |source| Error::Link { action: "list", subject: "interfaces".to_owned(), source };
        let links = lock(&self.host).links().map_err(failed)?;
        let state = self.state();
        let bridges: Vec<&String> =
            state.networks.values().filter_map(|network| network.record.bridge.as_ref()).collect();
        let ours: Vec<u32> =
            links.iter().filter(|link| bridges.contains(&&link.name)).map(|link| link.index).collect();
        let known = |name: &String| {
            let mut endpoints = state.networks.values().flat_map(|network| network.endpoints.values());
            endpoints.any(|endpoint| endpoint.host_interface.as_ref() == Some(name))
        };
        for link in &links {
            let is_ours = link.master.is_some_and(|master| ours.contains(&master));
            if is_ours && link.name.starts_with("veth") && !known(&link.name) {
                match lock(&self.host).delete_link(link.index) {
                    // ENODEV: the kernel was faster.
                    Err(error) if error.raw_os_error() != Some(19) => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The network namespace of a running process, for `--network container:…` and [`Networks::attach`].
pub fn namespace_of(pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/ns/net");
    let opened = fs::File::open(&path);
    opened.map(OwnedFd::from).map_err(|source| Error::File { action: "open", path: path.into(), source })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No holder leaves a value half changed where it could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn routes_failed(source: std::io::Error) -> Error {
    Error::Link { action: "list", subject: "routes".to_owned(), source }
}

fn check(config: &Config) -> Result<(), Error> {
    if !options::is_interface_name(&config.bridge) {
        return Err(Error::InvalidSetting {
            setting: "bridge",
            value: config.bridge.clone(),
            reason: "an interface's name has 1 to 15 letters, digits, `-`, `_` and `.`",
        });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if config.table.is_empty() || config.table.len() > 64 || !config.table.bytes().all(allowed) {
        return Err(Error::InvalidSetting {
            setting: "table",
            value: config.table.clone(),
            reason: "a table's name has 1 to 64 letters, digits, `-`, `_` and `.`",
        });
    }
    Ok(())
}

/// Reads all networks and makes the predefined ones where they are missing.
fn load(store: &Store, config: &Config, mtu: u32, host: &mut RouteSocket) -> Result<State, Error> {
    let mut records: Vec<NetworkRecord> =
        store.list::<NetworkRecord>()?.into_iter().map(|(_, record)| record).collect();
    for (name, driver) in PREDEFINED {
        if !records.iter().any(|record| record.name == name) {
            records.push(predefined::record(name, driver));
        }
    }
    let routed = bridge::routed_networks(host, &config.bridge).map_err(routes_failed)?;
    for record in records.iter_mut().filter(|record| record.name == "bridge") {
        predefined::configure_bridge(record, config, mtu, &routed)?;
    }
    store.transaction(|transaction| {
        records.iter().try_for_each(|record| transaction.put(&record.id, record))
    })?;
    let networks = records.into_iter().map(|record| (record.id.clone(), Network::new(record)));
    Ok(State { networks: networks.collect() })
}

/// The addresses of a network's bridge.
pub(crate) fn gateways(record: &NetworkRecord) -> Vec<Cidr> {
    let isolated =
        |config: &IpamConfig| record.gateway_mode(config.subnet.address()) == GatewayMode::Isolated;
    let config = record.ipam.config.iter().filter(|config| !isolated(config));
    config.filter_map(|config| Cidr::new(config.gateway?, config.subnet.prefix())).collect()
}
