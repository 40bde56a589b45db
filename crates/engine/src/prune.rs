//! Removing containers that do not run.

use api::container::RemoveOptions;
use api::{Filters, StringMap, Time};

use crate::engine::Engine;
use crate::error::Error;
use crate::events::Kind;
use crate::networks::until;

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// IDs.
    pub containers: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

impl Engine {
    /// Removes the containers that do not run and that match, without their volumes.
    ///
    /// # Errors
    ///
    /// A filter that does not exist or cannot be read.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<Pruned, Error> {
        filters.validate(&["label", "label!", "until"]).map_err(|error| Error::invalid(error.to_string()))?;
        let until = filters.values("until").next().map(until).transpose()?;
        let mut pruned = Pruned::default();
        // In a variable of its own, so that the index is not held while containers go.
        let containers = self.shared.index().all();
        for container in containers {
            let (published, settings) = (container.published(), &container.settings);
            let is_old = until.is_none_or(|until| Time::from_nanoseconds(settings.created) < until);
            let labels = settings.config.labels.as_ref();
            if published.removed
                || published.state.status.counts_as_running()
                || !is_old
                || !filters.matches_labels(labels.unwrap_or(&StringMap::new()))
            {
                continue;
            }
            let size = self.sizes(&settings.id).await.map_or(0, |(written, _)| written);
            match self.remove(&settings.id, RemoveOptions::default()).await {
                Ok(()) => {
                    pruned.containers.push(settings.id.clone());
                    pruned.reclaimed += u64::try_from(size).unwrap_or(0);
                }
                // Somebody was faster: it runs, or it is gone.
                Err(Error::Conflict { .. } | Error::ContainerNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.tell_pruned(Kind::Container, pruned.reclaimed);
        Ok(pruned)
    }

    /// Publishes that objects of a kind were pruned.
    pub fn tell_pruned(&self, kind: Kind, reclaimed: u64) {
        let attributes = StringMap::from([("reclaimed".to_owned(), reclaimed.to_string())]);
        self.events().publish(kind, "prune", "", attributes);
    }
}
