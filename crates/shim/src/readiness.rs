//! Waiting for descriptors that tokio has no type for.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers an owned descriptor for readability.
#[expect(deprecated, reason = "the replacement is unsafe; `AsFd` is what the old function lacks as a bound")]
pub(crate) fn readable<T: AsFd + AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
