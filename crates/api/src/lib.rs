//! The Docker Engine API as data: models, query options, filters and stream framing, for versions 1.24 to 1.50.
//!
//! The types emit what dockerd emits: its field order, its nulls, sorted maps, Go's time format. They read what Go's decoder
//! reads: unknown fields are skipped and `null` is the zero value, as long as [`json::from_slice`] is used.
//!
//! This crate does *no* I/O and decides nothing: checking a request is the engine's work.
//!
//! # Nulls and absent fields
//!
//! | Go | here | emitted when empty |
//! |---|---|---|
//! | `[]string`, `map`, pointer | `Option<…>` | `null` for `None`, `[]` or `{}` for an empty value |
//! | the same that dockerd always fills | `Vec<…>`, `BTreeMap<…>` | `[]`, `{}` |
//! | `…,omitempty` | `Option` or the plain type | left out |

pub mod auth;
pub mod build;
pub mod container;
pub mod error;
pub mod event;
pub mod exec;
pub mod filters;
pub mod image;
pub mod json;
mod lenient;
pub mod network;
mod omit;
pub mod query;
pub mod stream;
pub mod system;
pub mod time;
pub mod version;
pub mod volume;

pub use error::ErrorResponse;
pub use filters::Filters;
pub use time::Time;
pub use version::ApiVersion;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};

/// A sorted map of strings: labels, options, sysctls, ….
pub type StringMap = BTreeMap<String, String>;

/// The value of a set written as an object: `{"80/tcp": {}}`. Emitted as `{}`; anything is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A set of strings written as an object with empty values.
pub type StringSet = BTreeMap<String, Empty>;

/// The answer to a request that makes something: its ID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdResponse {
    /// The ID.
    #[serde(rename = "Id")]
    pub id: String,
}
