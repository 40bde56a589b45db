//! Trying again what may succeed a little later.

use crate::Config;
use crate::error::Error;

/// How often something was tried.
pub(crate) struct Retry<'c> {
    config: &'c Config,
    attempts: u32,
}

impl<'c> Retry<'c> {
    /// Before the first attempt.
    pub(crate) fn new(config: &'c Config) -> Self {
        Self { config, attempts: 1 }
    }

    /// Waits until the next attempt: as long as the registry asks for, or else longer each time. The error comes back where
    /// it is for good, or was the last one.
    pub(crate) async fn after(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_transient() || self.attempts >= self.config.attempts {
            return Err(error);
        }
        tokio::time::sleep(error.pause(self.config, self.attempts)).await;
        self.attempts += 1;
        Ok(())
    }
}
