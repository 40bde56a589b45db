//! Types of the OCI specifications, as the other crates use them.
//!
//! The runtime specification's types are `oci-spec`'s own, re-exported, so that one version of them is used everywhere.

pub use oci_spec::runtime;
