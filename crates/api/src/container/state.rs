//! The state of a container.

use serde::{Deserialize, Serialize};

use crate::Time;

/// The state of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerState {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// Whether there is a process (also while paused or restarting).
    pub running: bool,
    /// Whether it is frozen.
    pub paused: bool,
    /// Whether it waits to be started again.
    pub restarting: bool,
    /// Whether the kernel killed a process of it for want of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Whether its removal failed.
    pub dead: bool,
    /// Process ID as the host sees it; 0 without a process.
    pub pid: i64,
    /// The last exit code.
    pub exit_code: i64,
    /// Why it could not be started.
    pub error: String,
    /// When it was started.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
    /// Its health, where that is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// The health of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last checks, oldest first.
    pub log: Option<Vec<HealthcheckResult>>,
}

/// One check.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthcheckResult {
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// 0 is healthy.
    pub exit_code: i64,
    /// What it wrote, cut to 4096 bytes.
    pub output: String,
}
