//! Decides what is to be done, from the configuration alone; `setup` and `process` do it.

pub(crate) mod mount_options;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod process;
pub(crate) mod sysctl;
pub(crate) mod validate;
