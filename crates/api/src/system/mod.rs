//! The engine itself.

mod check;
mod disk_usage;
mod info;
mod ping;
mod version;

pub use check::{CheckFinding, CheckReport};
pub use disk_usage::DiskUsage;
pub use info::{
    Commit, FirewallInfo, IndexInfo, Info, NetworkAddressPool, PluginsInfo, RegistryConfig, RuntimeInfo,
    SwarmInfo,
};
pub use ping::Ping;
pub use version::{ComponentVersion, PlatformName, Version};
