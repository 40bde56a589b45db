//! What builds have kept: telling and removing it.

use api::build::{CachePruneOptions, CachePruneResponse};
use build::{CacheFilter, CacheRecord};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Api;
use crate::error::Error;
use crate::http::{Call, Response, json as json_response};

impl Api {
    pub(in crate::routes) async fn prune_builds(&self, call: &Call) -> Result<Response, Error> {
        let options = CachePruneOptions::from_query(&call.query())?;
        let filter = filter(&options)?;
        let builder = self.builder.clone();
        let pruned = tokio::task::spawn_blocking(move || builder.prune(&filter)).await??;
        let answer =
            CachePruneResponse { caches_deleted: Some(pruned.ids), space_reclaimed: pruned.reclaimed };
        Ok(json_response(StatusCode::OK, &answer))
    }
}

fn filter(options: &CachePruneOptions) -> Result<CacheFilter, Error> {
    for (name, value) in [("max-used-space", options.max_used), ("min-free-space", options.min_free)] {
        if value.unwrap_or_default() != 0 {
            return Err(Error::BadRequest(format!("{name} is not supported")));
        }
    }
    let mut filter = CacheFilter { all: options.all, ..CacheFilter::default() };
    filter.keep = u64::try_from(options.keep.unwrap_or_default()).unwrap_or_default();
    let known = ["until", "unused-for", "id", "type", "description", "shared", "private"];
    options.filters.validate(&known)?;
    for value in ["until", "unused-for"].iter().flat_map(|name| options.filters.values(name)) {
        filter.unused_since = Some(age(value)?);
    }
    let values = |name| options.filters.values(name).map(str::to_owned).collect();
    (filter.ids, filter.kinds, filter.descriptions) = (values("id"), values("type"), values("description"));
    let flag = |name| match options.filters.values(name).next() {
        None => Ok(None),
        Some(_) => options.filters.flag(name, false).map(Some),
    };
    filter.shared = match (flag("shared")?, flag("private")?) {
        (shared, None) => shared,
        (None, Some(private)) => Some(!private),
        (Some(shared), Some(private)) if shared != private => Some(shared),
        _ => return Err(Error::BadRequest("what is shared is not private".to_owned())),
    };
    Ok(filter)
}

/// `24h`, or a point in time.
fn age(text: &str) -> Result<Timestamp, Error> {
    let bad = || Error::BadRequest(format!("invalid filter 'until={text}'"));
    if let Ok(nanoseconds) = oci::duration::parse(text) {
        let age = jiff::SignedDuration::from_nanos(nanoseconds);
        return Timestamp::now().checked_sub(age).map_err(|_| bad());
    }
    text.parse().map_err(|_| bad())
}

/// A record as `system df` tells it.
pub(in crate::routes) fn describe(record: CacheRecord) -> Value {
    let parents: Vec<String> = record.parent.iter().map(|parent| parent.hex().to_owned()).collect();
    json!({
        "ID": record.id.hex(),
        "Parents": parents,
        "Type": record.kind,
        "Description": record.description,
        "InUse": record.is_in_use,
        "Shared": record.is_shared,
        "Size": record.size,
        "CreatedAt": record.created.to_string(),
        "LastUsedAt": record.last_used.to_string(),
        "UsageCount": record.uses,
    })
}
