//! How a container ended, as its supervisor leaves it on disk.

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code.
    Code(u8),
    /// It was ended by this signal.
    Signal(u8),
}

impl ExitStatus {
    /// The code a shell would report: the exit code, or 128 and the signal's number.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal(signal) => 128 + i32::from(signal),
        }
    }
}

/// The end of a container's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The container's ID.
    pub id: String,
    /// Its process ID as the host saw it.
    pub pid: i32,
    /// How it ended.
    pub status: ExitStatus,
    /// Whether the kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// When the process was started, nanoseconds since 1970 UTC.
    pub started_at: i64,
    /// When it ended, nanoseconds since 1970 UTC.
    pub finished_at: i64,
}
