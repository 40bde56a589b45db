//! A container's state in words: `Up 3 minutes (healthy)`.

use api::time::human_duration;

use crate::container::Published;
use crate::health::HealthStatus;
use crate::state::Status;

const NANOSECONDS: i64 = 1_000_000_000;

/// The text that `ps` shows.
pub(crate) fn status_text(published: &Published, now: i64) -> String {
    let state = &published.state;
    let since = |time: Option<i64>| ago(now, time.unwrap_or(now));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Running => match &published.health {
            None => format!("Up {}", since(state.started_at)),
            Some(health) => format!("Up {} ({})", since(state.started_at), health_text(health.status)),
        },
    }
}

fn health_text(status: HealthStatus) -> &'static str {
    match status {
        HealthStatus::Starting => "health: starting",
        HealthStatus::Healthy => "healthy",
        HealthStatus::Unhealthy => "unhealthy",
    }
}

fn ago(now: i64, then: i64) -> String {
    human_duration(now.saturating_sub(then) / NANOSECONDS)
}
