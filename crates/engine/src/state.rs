//! What a container is doing, as it is stored and shown.

use serde::{Deserialize, Serialize};
use store::Record;

/// The states of the Engine API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Made, never started.
    Created,
    /// Its first process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended and will be started again.
    Restarting,
    /// It is being removed.
    Removing,
    /// It ended.
    Exited,
    /// Its removal failed half-way.
    Dead,
}

impl Status {
    /// The word that the API uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether there is a process: running or frozen.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Whether the API's `Running` flag is set: also between two runs of a restart policy.
    pub(crate) fn counts_as_running(self) -> bool {
        self.is_live() || self == Self::Restarting
    }
}

/// The part of a container that changes while it lives; one small record, written at each change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// What it is doing.
    pub status: Status,
    /// Process ID of its first process as the host sees it; 0 where there is none.
    pub pid: i32,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Why the last start failed; empty where it did not.
    pub error: String,
    /// Whether the last run lost a process for want of memory.
    pub oom_killed: bool,
    /// Start of the last run, nanoseconds since 1970 UTC.
    pub started_at: Option<i64>,
    /// End of the last run, nanoseconds since 1970 UTC.
    pub finished_at: Option<i64>,
    /// How often the restart policy started it again since it was started by request.
    pub restart_count: u32,
    /// Whether somebody asked for the end of the last run.
    pub stopped_on_request: bool,
    /// Number of runs that ended; with it a reader sees an end that was followed by a start at once.
    pub exits: u64,
}

impl State {
    /// The state of a container that was just created.
    pub(crate) fn created() -> Self {
        Self {
            status: Status::Created,
            pid: 0,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: None,
            finished_at: None,
            restart_count: 0,
            stopped_on_request: false,
            exits: 0,
        }
    }
}

impl Record for State {
    const TABLE: &'static str = "container-state";
    const VERSION: u32 = 1;
}
