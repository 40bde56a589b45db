//! Events.

use serde::{Deserialize, Serialize};

use crate::query::{self, Query, QueryWriter};
use crate::{Filters, StringMap, Time, omit};

/// Something that happened to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The action (containers and images, deprecated).
    #[serde(skip_serializing_if = "omit::empty")]
    pub status: String,
    /// The object's ID (containers and images, deprecated).
    #[serde(skip_serializing_if = "omit::empty")]
    pub id: String,
    /// The image's name (containers, deprecated).
    #[serde(skip_serializing_if = "omit::empty")]
    pub from: String,
    /// `container`, `image`, `network`, `volume`, `daemon`, ….
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `start`, `die`, ….
    #[serde(rename = "Action")]
    pub action: String,
    /// To what it happened.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local` or `swarm`.
    #[serde(skip_serializing_if = "omit::empty")]
    pub scope: String,
    /// When, seconds since 1970 UTC.
    #[serde(skip_serializing_if = "omit::empty")]
    pub time: i64,
    /// When, nanoseconds since 1970 UTC.
    #[serde(rename = "timeNano", skip_serializing_if = "omit::empty")]
    pub time_nano: i64,
}

/// An object, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    /// Its ID, or its name where it has no ID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name, image, labels, exit code, ….
    pub attributes: StringMap,
}

/// The parameters of `GET /events`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventOptions {
    /// Only events from then on.
    pub since: Option<Time>,
    /// Only events up to then; the answer ends there.
    pub until: Option<Time>,
    /// Only events that match.
    pub filters: Filters,
}

impl EventOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where one is not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, query::Error> {
        Ok(Self { since: query.time("since")?, until: query.time("until")?, filters: query.filters()? })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .optional("since", self.since)
            .optional("until", self.until)
            .filters(&self.filters)
            .finish()
    }
}
