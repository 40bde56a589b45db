//! The part of a container's configuration that depends on the host.

use serde::{Deserialize, Serialize};

use super::{Mount, PortMap, StrSlice};
use crate::{StringMap, omit};

/// How a container runs on its host. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:target[:options]`.
    pub binds: Option<Vec<String>>,
    /// Where the client writes the ID.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// The log driver.
    pub log_config: LogConfig,
    /// `default`, `bridge`, `host`, `none`, `container:<id>` or a network's name.
    pub network_mode: String,
    /// Published ports by `port/protocol`.
    pub port_bindings: Option<PortMap>,
    /// What happens when it ends.
    pub restart_policy: RestartPolicy,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// The driver of volumes named in `binds`.
    pub volume_driver: String,
    /// Containers whose mounts are taken over, `id[:options]`.
    pub volumes_from: Option<Vec<String>>,
    /// Rows and columns of the terminal.
    pub console_size: [u32; 2],
    /// Free-form metadata that is passed to the runtime.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub annotations: Option<StringMap>,
    /// Capabilities to add.
    pub cap_add: Option<StrSlice>,
    /// Capabilities to drop.
    pub cap_drop: Option<StrSlice>,
    /// `private`, `host` or empty for the engine's default.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Resolver options.
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    pub dns_search: Option<Vec<String>>,
    /// `name:address` for the hosts file.
    pub extra_hosts: Option<Vec<String>>,
    /// Supplementary groups.
    pub group_add: Option<Vec<String>>,
    /// `none`, `private`, `shareable`, `container:<id>`, `host` or empty.
    pub ipc_mode: String,
    /// The cgroup to join (`container:<id>`).
    pub cgroup: String,
    /// Legacy links, `container:alias`.
    pub links: Option<Vec<String>>,
    /// The preference of the kernel's out of memory killer.
    pub oom_score_adj: i64,
    /// `host`, `container:<id>` or empty.
    pub pid_mode: String,
    /// Whether nothing is confined.
    pub privileged: bool,
    /// Whether each exposed port is published on a port of the engine's choice.
    pub publish_all_ports: bool,
    /// Whether `/` is read-only.
    pub readonly_rootfs: bool,
    /// `seccomp=…`, `apparmor=…`, `label=…`, `no-new-privileges`, ….
    pub security_opt: Option<Vec<String>>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub storage_opt: Option<StringMap>,
    /// Paths with a file system in memory, and its options.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub tmpfs: Option<StringMap>,
    /// `host` or empty.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// `host` or empty.
    pub userns_mode: String,
    /// Size of `/dev/shm`.
    pub shm_size: i64,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "omit::empty_map")]
    pub sysctls: Option<StringMap>,
    /// The OCI runtime's name.
    #[serde(skip_serializing_if = "omit::empty")]
    pub runtime: String,
    /// Isolation technology (Windows).
    pub isolation: String,
    /// Relative weight of processor time.
    pub cpu_shares: i64,
    /// Memory limit; 0 is none.
    pub memory: i64,
    /// Processor time in billionths of a processor.
    pub nano_cpus: i64,
    /// The parent cgroup.
    pub cgroup_parent: String,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: u16,
    /// Weights by device.
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    /// Bytes read per second by device.
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    /// Bytes written per second by device.
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    /// Reads per second by device.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    /// Writes per second by device.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// Length of a scheduler period in microseconds.
    pub cpu_period: i64,
    /// Processor time per period in microseconds.
    pub cpu_quota: i64,
    /// Length of a real-time period in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time processor time per period in microseconds.
    pub cpu_realtime_runtime: i64,
    /// Processors, `0-2,4`.
    pub cpuset_cpus: String,
    /// Memory nodes, `0-1`.
    pub cpuset_mems: String,
    /// Devices of the host.
    pub devices: Option<Vec<DeviceMapping>>,
    /// Rules of the device cgroup, `c 42:* rmw`.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Devices asked of a driver.
    pub device_requests: Option<Vec<DeviceRequest>>,
    /// Limit of kernel memory (up to API 1.41).
    #[serde(skip_serializing_if = "omit::empty")]
    pub kernel_memory: i64,
    /// Limit of kernel memory for TCP buffers.
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "omit::empty")]
    pub kernel_memory_tcp: i64,
    /// Soft limit of memory.
    pub memory_reservation: i64,
    /// Limit of memory and swap; -1 is unlimited swap.
    pub memory_swap: i64,
    /// 0 to 100; -1 or null is the kernel's default.
    pub memory_swappiness: Option<i64>,
    /// Whether the kernel's out of memory killer leaves it alone.
    pub oom_kill_disable: Option<bool>,
    /// Limit of processes; 0, -1 or null is none.
    pub pids_limit: Option<i64>,
    /// Resource limits.
    pub ulimits: Option<Vec<Ulimit>>,
    /// Number of processors (Windows).
    pub cpu_count: i64,
    /// Percentage of processor time (Windows).
    pub cpu_percent: i64,
    /// Limit of operations per second of the system drive (Windows).
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Limit of bytes per second of the system drive (Windows).
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
    /// Mounts.
    #[serde(skip_serializing_if = "omit::empty_list")]
    pub mounts: Option<Vec<Mount>>,
    /// Paths that cannot be read; null is the engine's default list.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written; null is the engine's default list.
    pub readonly_paths: Option<Vec<String>>,
    /// Whether a small init is process 1; null is the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// The log driver and its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// The driver; empty is the engine's default.
    #[serde(rename = "Type")]
    pub driver: String,
    /// Its options.
    pub config: Option<StringMap>,
}

/// What happens when a container ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no` (or empty), `always`, `unless-stopped` or `on-failure`.
    pub name: String,
    /// With `on-failure`: how often; 0 is without end.
    pub maximum_retry_count: i64,
}

/// A block device and its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// Path of the device.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A block device and a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// Path of the device.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: u64,
}

/// A device of the host, seen in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// Some of `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// Devices asked of a driver (`--gpus`, CDI).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// The driver.
    pub driver: String,
    /// How many; -1 is all.
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// Any of these sets of capabilities.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// Options for the driver.
    pub options: Option<StringMap>,
}

/// A resource limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The most to which `soft` can be raised; -1 is unlimited.
    pub hard: i64,
    /// The limit in force; -1 is unlimited.
    pub soft: i64,
}
