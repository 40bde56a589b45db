//! Finding images in a registry.

use serde::{Deserialize, Serialize};

use crate::Filters;
use crate::query::{Error, Query, QueryWriter};

/// Query parameters of `GET /images/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchOptions {
    /// What is looked for, after a registry and a slash where it is not Docker Hub.
    pub term: String,
    /// How many results there may be; 0 where nobody says.
    pub limit: i64,
    /// Which results are wanted.
    pub filters: Filters,
}

impl SearchOptions {
    /// Reads a request's parameters.
    ///
    /// # Errors
    /// When the limit is no number, or the filters are malformed.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            term: query.text("term"),
            limit: query.number("limit")?.unwrap_or_default(),
            filters: query.filters()?,
        })
    }

    /// Writes them.
    pub fn to_query(&self) -> String {
        QueryWriter::new()
            .text("term", &self.term)
            .optional("limit", (self.limit != 0).then_some(self.limit))
            .filters(&self.filters)
            .finish()
    }
}

/// A repository that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResult {
    /// How many like it.
    pub star_count: i64,
    /// Whether it is one of Docker's official images.
    pub is_official: bool,
    /// Its name.
    pub name: String,
    /// Always false; it meant that Docker Hub built it.
    pub is_automated: bool,
    /// What it is, in its owner's words.
    pub description: String,
}
