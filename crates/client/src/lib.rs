//! client

/// An error of the client.
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
