//! Work on files, off the threads that serve clients.

use crate::error::Error;

/// Runs `work` where it may block. It runs to its end even if the client leaves.
pub(super) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    Ok(tokio::task::spawn_blocking(work).await??)
}
