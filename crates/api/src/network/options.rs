//! Parameters of the requests about networks.

use crate::Filters;
use crate::query::{Error, Query, QueryWriter};

/// Parameters of `GET /networks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Only those that match.
    pub filters: Filters,
}

impl ListOptions {
    /// Reads the parameters.
    ///
    /// # Errors
    /// Where the filters are not understood.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self { filters: query.filters()? })
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().filters(&self.filters).finish()
    }
}

/// Parameters of `GET /networks/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InspectOptions {
    /// Whether a swarm's services are listed.
    pub verbose: bool,
    /// Only a network of this scope.
    pub scope: String,
}

impl InspectOptions {
    /// Reads the parameters.
    pub fn from_query(query: &Query<'_>) -> Self {
        Self { verbose: query.flag("verbose"), scope: query.text("scope") }
    }

    /// Writes the parameters.
    pub fn to_query(&self) -> String {
        QueryWriter::new().flag("verbose", self.verbose).text("scope", &self.scope).finish()
    }
}
