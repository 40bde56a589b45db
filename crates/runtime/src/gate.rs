//! The gate between a created container and its running program.

use std::os::fd::OwnedFd;

use crate::error::Error;

/// Holds a created process back; dropping it ends the process.
#[derive(Debug)]
pub struct StartGate {
    #[expect(dead_code, reason = "read by start, which follows")]
    socket: OwnedFd,
}

impl StartGate {
    /// Lets the process execute its program, and returns once it does.
    ///
    /// # Errors
    /// What the process reports, by kind: a program that is missing or cannot be executed, a hook that failed, …
    pub fn start(self) -> Result<(), Error> {
        Err(Error::Unsupported { field: "start".to_owned() })
    }
}
