//! Types of the OCI specifications, as the other crates use them: digests, references, platforms, image configurations.
//!
//! The runtime specification's types are `oci-spec`'s own, re-exported, so that one version of them is used everywhere.

pub mod boolean;
pub mod capability;
pub mod config;
pub mod defaults;
pub mod digest;
pub mod duration;
pub mod platform;
pub mod reference;
pub mod signal;
pub mod user;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, KeySet, RootFs};
pub use digest::{Algorithm, Digest, DigestError, Hasher, HashingReader};
pub use oci_spec::runtime;
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
