//! Verifying what the engine keeps.

use std::path::PathBuf;

use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// Reads the files of records whole, and tells which of them are damaged and how. Blocks.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn verify_records(&self) -> Result<Vec<(PathBuf, String)>, Error> {
        let containers = (self.shared.config.containers_db(), self.shared.store.verify()?);
        let networks = (self.networks().database(), self.networks().verify_records()?);
        let all = [containers, networks].into_iter();
        Ok(all.flat_map(|(path, problems)| problems.into_iter().map(move |it| (path.clone(), it))).collect())
    }

    /// A container's name, and whether it runs; `None` where there is no such container.
    pub fn name_and_running(&self, id: &str) -> Option<(String, bool)> {
        let container = self.shared.find(id).ok()?;
        let published = container.published();
        Some((published.name.clone(), published.state.status.counts_as_running()))
    }
}
