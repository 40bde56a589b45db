//! The values of flags: sizes, mounts, limits, devices, environment files and the like, with `docker`'s messages.

mod cpus;
mod csv;
mod device;
mod env;
mod filter;
pub(crate) mod go;
mod mount;
mod network;
mod pairs;
mod port;
mod quantity;
mod restart;
mod security;
mod ulimit;
mod volume;

pub(crate) use cpus::NanoCpus;
pub(crate) use csv::csv_fields;
pub(crate) use device::{
    CgroupRule, ThrottleByBytes, ThrottleByCount, WeightByDevice, device_mapping, is_cdi_device,
};
pub(crate) use env::{EnvVar, LabelFlag, Origin, read_file};
pub(crate) use filter::FilterFlag;
pub(crate) use mount::MountFlag;
pub(crate) use network::{
    AddHost, AttachStream, DnsSearch, IpAddress, LinkFlag, NetworkAttachment, parse_mac,
};
pub(crate) use pairs::{Sysctls, pairs_to_map};
pub(crate) use port::{expose_ports, publish_ports};
pub(crate) use quantity::{DurationFlag, MemoryBytes, MemorySwap};
pub(crate) use restart::parse_restart_policy;
pub(crate) use security::parse_security_options;
pub(crate) use ulimit::Ulimits;
pub(crate) use volume::{BindOrVolume, bind_or_volume};
