//! What the engine and its host are and can.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{StringMap, omit};

/// The answer to `GET /info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// The engine's ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Containers.
    pub containers: i64,
    /// Containers that run.
    pub containers_running: i64,
    /// Containers that are frozen.
    pub containers_paused: i64,
    /// All others.
    pub containers_stopped: i64,
    /// Images.
    pub images: i64,
    /// The storage driver.
    pub driver: String,
    /// What it says, name and value.
    pub driver_status: Vec<[String; 2]>,
    /// Drivers.
    pub plugins: PluginsInfo,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether kernel memory can be limited (up to API 1.41).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_memory: Option<bool>,
    /// Whether kernel memory for TCP buffers can be limited (up to API 1.41).
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
    pub kernel_memory_tcp: Option<bool>,
    /// Whether the scheduler's period can be set.
    pub cpu_cfs_period: bool,
    /// Whether the scheduler's quota can be set.
    pub cpu_cfs_quota: bool,
    /// Whether processor time can be weighted.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// Whether processors can be chosen.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Whether processes can be limited.
    pub pids_limit: bool,
    /// Whether the host forwards IPv4.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Whether bridged IPv4 traffic passes the firewall (up to API 1.49).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge_nf_iptables: Option<bool>,
    /// Whether bridged IPv6 traffic passes the firewall (up to API 1.49).
    #[serde(rename = "BridgeNfIp6tables", skip_serializing_if = "Option::is_none")]
    pub bridge_nf_ip6tables: Option<bool>,
    /// Whether debug logging is on.
    pub debug: bool,
    /// Open files of the engine.
    #[serde(rename = "NFd")]
    pub nfd: i64,
    /// Whether the out of memory killer can be disabled.
    pub oom_kill_disable: bool,
    /// Tasks of the engine.
    #[serde(rename = "NGoroutines")]
    pub ngoroutines: i64,
    /// The time.
    pub system_time: String,
    /// The default log driver.
    pub logging_driver: String,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub cgroup_version: String,
    /// Clients that read events.
    #[serde(rename = "NEventsListener")]
    pub nevents_listener: i64,
    /// The kernel's release.
    pub kernel_version: String,
    /// The distribution's name.
    pub operating_system: String,
    /// The distribution's version.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// `x86_64`, `aarch64`, ….
    pub architecture: String,
    /// The address of the default registry's index.
    pub index_server_address: String,
    /// Settings for registries.
    pub registry_config: Option<RegistryConfig>,
    /// Processors.
    #[serde(rename = "NCPU")]
    pub ncpu: i64,
    /// Bytes of memory.
    pub mem_total: i64,
    /// Resources for a swarm.
    pub generic_resources: Option<Vec<Value>>,
    /// The engine's directory.
    pub docker_root_dir: String,
    /// Proxy.
    pub http_proxy: String,
    /// Proxy.
    pub https_proxy: String,
    /// Hosts without proxy.
    pub no_proxy: String,
    /// The host's name.
    pub name: String,
    /// The engine's labels.
    pub labels: Vec<String>,
    /// Whether experimental features are on.
    pub experimental_build: bool,
    /// The engine's version.
    pub server_version: String,
    /// OCI runtimes by name.
    pub runtimes: BTreeMap<String, RuntimeInfo>,
    /// The name of the one that is used by default.
    pub default_runtime: String,
    /// The swarm.
    pub swarm: SwarmInfo,
    /// Whether containers run on without the engine.
    pub live_restore_enabled: bool,
    /// Isolation technology (Windows).
    pub isolation: String,
    /// The program of `--init`.
    pub init_binary: String,
    /// Version of containerd.
    pub containerd_commit: Commit,
    /// Version of the runtime.
    pub runc_commit: Commit,
    /// Version of the init program.
    pub init_commit: Commit,
    /// `name=seccomp,profile=builtin`, ….
    pub security_options: Vec<String>,
    /// Licence of the product.
    #[serde(skip_serializing_if = "omit::empty")]
    pub product_license: String,
    /// Pools from which networks get their subnets.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub default_address_pools: Option<Vec<NetworkAddressPool>>,
    /// The firewall (API 1.49).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall_backend: Option<FirewallInfo>,
    /// Directories of CDI specifications (API 1.44).
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    /// What the user should know.
    pub warnings: Option<Vec<String>>,
}

/// Drivers by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PluginsInfo {
    /// Volume drivers.
    pub volume: Vec<String>,
    /// Network drivers.
    pub network: Vec<String>,
    /// Authorisation plugins.
    pub authorization: Option<Vec<String>>,
    /// Log drivers.
    pub log: Vec<String>,
}

/// Settings for registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryConfig {
    /// No longer used (up to API 1.46).
    #[serde(rename = "AllowNondistributableArtifactsCIDRs", skip_serializing_if = "Option::is_none")]
    pub nondistributable_cidrs: Option<Value>,
    /// No longer used (up to API 1.46).
    #[serde(rename = "AllowNondistributableArtifactsHostnames", skip_serializing_if = "Option::is_none")]
    pub nondistributable_hostnames: Option<Value>,
    /// Networks whose registries need no TLS.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Vec<String>,
    /// Settings by registry.
    #[serde(rename = "IndexConfigs")]
    pub index_configs: BTreeMap<String, IndexInfo>,
    /// Mirrors of the default registry.
    #[serde(rename = "Mirrors")]
    pub mirrors: Vec<String>,
}

/// Settings for one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IndexInfo {
    /// Its name.
    pub name: String,
    /// Its mirrors.
    pub mirrors: Vec<String>,
    /// Whether it needs TLS with a valid certificate.
    pub secure: bool,
    /// Whether it is the default one.
    pub official: bool,
}

/// An OCI runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeInfo {
    /// The program.
    #[serde(skip_serializing_if = "omit::empty")]
    pub path: String,
    /// Its arguments.
    #[serde(rename = "runtimeArgs", skip_serializing_if = "omit::empty_list")]
    pub args: Option<Vec<String>>,
    /// What it says (API 1.44).
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub status: Option<StringMap>,
}

/// A swarm, as one of its nodes sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmInfo {
    /// The node's ID.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The node's address.
    pub node_addr: String,
    /// `inactive`, `pending`, `active`, `error` or `locked`.
    pub local_node_state: String,
    /// Whether it is a manager.
    pub control_available: bool,
    /// What is wrong.
    pub error: String,
    /// The managers.
    pub remote_managers: Option<Vec<Value>>,
}

/// The version of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Commit {
    /// The version that is there.
    #[serde(rename = "ID")]
    pub id: String,
    /// The version that is expected (up to API 1.48).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

/// A pool from which networks get their subnets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAddressPool {
    /// The pool, `address/length`.
    pub base: String,
    /// Length of a subnet's prefix.
    pub size: i64,
}

/// The firewall that networks use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FirewallInfo {
    /// `nftables` or `iptables`.
    pub driver: String,
    /// More, name and value.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub info: Option<Vec<[String; 2]>>,
}
