//! Health checks: run a command in the container from time to time, and count.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use api::container::{Healthcheck, HealthcheckResult};
use api::exec::ExecCreateRequest;
use api::stream::Demultiplexer;
use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::container::{Command, Container};
use crate::exec;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::time;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: i64 = 3;
/// How many results are kept, and how much of what each wrote; Docker's numbers.
const KEPT_RESULTS: usize = 5;
const KEPT_OUTPUT: usize = 4096;

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HealthStatus {
    /// No check has decided yet.
    Starting,
    /// The last check passed.
    Healthy,
    /// Too many checks in a row have failed.
    Unhealthy,
}

impl HealthStatus {
    /// The word that the API uses.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What the checks of one run have found.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last results, oldest first.
    pub results: Vec<HealthcheckResult>,
}

/// One result.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) exit_code: i32,
    pub(crate) output: String,
}

impl Health {
    pub(crate) fn starting() -> Self {
        Self { status: HealthStatus::Starting, failing_streak: 0, results: Vec::new() }
    }

    /// The health after one more result, and the verdict where it changed.
    pub(crate) fn after(
        &self,
        probe: Probe,
        check: &Healthcheck,
        started_at: Option<i64>,
    ) -> (Self, Option<HealthStatus>) {
        let mut next = self.clone();
        let in_start_period = self.status == HealthStatus::Starting
            && probe.start.saturating_sub(started_at.unwrap_or_default()) < check.start_period;
        if probe.exit_code == 0 {
            next.status = HealthStatus::Healthy;
            next.failing_streak = 0;
        } else if !in_start_period {
            next.failing_streak += 1;
            let retries = if check.retries > 0 { check.retries } else { DEFAULT_RETRIES };
            if next.failing_streak >= retries {
                next.status = HealthStatus::Unhealthy;
            }
        }
        next.results.push(HealthcheckResult {
            start: api::Time::from_nanoseconds(probe.start),
            end: api::Time::from_nanoseconds(probe.end),
            exit_code: i64::from(probe.exit_code),
            output: probe.output,
        });
        if next.results.len() > KEPT_RESULTS {
            next.results.remove(0);
        }
        let change = (next.status != self.status).then_some(next.status);
        (next, change)
    }
}

/// The command of a check, for a container's shell; `None` where nothing is checked.
fn command(settings: &Settings) -> Option<Vec<String>> {
    let test = settings.config.healthcheck.as_ref()?.test.as_ref()?;
    match test.split_first() {
        Some((kind, rest)) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
        Some((kind, rest)) if kind == "CMD-SHELL" && !rest.is_empty() => {
            let shell = settings.config.shell.as_ref().filter(|shell| !shell.is_empty());
            let mut words =
                shell.map_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()], |shell| shell.0.clone());
            words.extend(rest.iter().cloned());
            Some(words)
        }
        _ => None,
    }
}

/// Checks a container from its start to the end of the run; dropping it ends the checks.
#[derive(Debug)]
pub(crate) struct Checker {
    task: JoinHandle<()>,
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// Starts to check, where the container has a check.
    pub(crate) fn start(shared: &Arc<Shared>, settings: &Arc<Settings>) -> Option<Self> {
        let command = command(settings)?;
        let check = settings.config.healthcheck.clone()?;
        let (shared, id) = (Arc::clone(shared), settings.id.clone());
        Some(Self { task: tokio::spawn(async move { watch(&shared, &id, &command, &check).await }) })
    }
}

async fn watch(shared: &Shared, id: &str, command: &[String], check: &Healthcheck) {
    let started = tokio::time::Instant::now();
    loop {
        let Ok(container) = shared.find(id) else { return };
        let starting = container
            .published()
            .health
            .as_ref()
            .is_some_and(|health| health.status == HealthStatus::Starting);
        let in_start_period = starting && started.elapsed() < nanoseconds(check.start_period, Duration::ZERO);
        let pause = if in_start_period {
            nanoseconds(check.start_interval, DEFAULT_START_INTERVAL)
        } else {
            nanoseconds(check.interval, DEFAULT_INTERVAL)
        };
        tokio::time::sleep(pause).await;
        // A paused container cannot answer, which says nothing about its health.
        if exec::check_running(&container).is_ok() {
            let probe = probe(shared, &container, command, nanoseconds(check.timeout, DEFAULT_TIMEOUT)).await;
            container.tell(Command::Health(probe)).await;
        }
    }
}

fn nanoseconds(value: i64, default: Duration) -> Duration {
    match u64::try_from(value) {
        Ok(value) if value > 0 => Duration::from_nanos(value),
        _ => default,
    }
}

async fn probe(shared: &Shared, container: &Container, command: &[String], limit: Duration) -> Probe {
    let start = time::now();
    let (exit_code, output) = match tokio::time::timeout(limit, run(shared, container, command)).await {
        Ok(Ok(result)) => result,
        Ok(Err(reason)) => (-1, reason),
        Err(_) => (
            -1,
            format!("Health check exceeded timeout ({})", oci::duration::format(limit.as_nanos() as i64)),
        ),
    };
    Probe { start, end: time::now(), exit_code, output }
}

/// Runs the command and collects the beginning of what it writes.
async fn run(shared: &Shared, container: &Container, command: &[String]) -> Result<(i32, String), String> {
    let request = ExecCreateRequest {
        cmd: Some(command.to_vec()),
        attach_stdout: true,
        attach_stderr: true,
        ..ExecCreateRequest::default()
    };
    let text = |error: &dyn std::error::Error| error.to_string();
    let exec = exec::create(shared, container, request).map_err(|error| text(&error))?;
    let (ours, theirs) = StdUnixStream::pair().map_err(|error| text(&error))?;
    ours.set_nonblocking(true).map_err(|error| text(&error))?;
    let socket = OwnedFd::from(theirs);
    exec::start(shared, container, &exec, None, Some(socket)).await.map_err(|error| text(&error))?;
    let mut stream = UnixStream::from_std(ours).map_err(|error| text(&error))?;
    let output = read_output(&mut stream).await;
    Ok((exec.ended().await, output))
}

/// Reads all, so that the command never waits for us, and keeps the beginning.
async fn read_output(stream: &mut UnixStream) -> String {
    let mut kept = Vec::new();
    let mut demultiplexer = Demultiplexer::new();
    let mut buffer = BytesMut::with_capacity(KEPT_OUTPUT);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        demultiplexer.push(buffer.split().freeze());
        while let Ok(Some((_, bytes))) = demultiplexer.next_part() {
            let room = (KEPT_OUTPUT + 1).saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
    let cut = kept.len() > KEPT_OUTPUT;
    kept.truncate(KEPT_OUTPUT);
    let mut text = String::from_utf8_lossy(&kept).into_owned();
    if cut {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(exit_code: i32, start: i64) -> Probe {
        Probe { start, end: start, exit_code, output: String::new() }
    }

    fn check(retries: i64, start_period: i64) -> Healthcheck {
        Healthcheck { retries, start_period, ..Healthcheck::default() }
    }

    #[test]
    fn container_is_unhealthy_after_as_many_failures_in_a_row_as_asked() {
        let check = check(2, 0);
        let (health, change) = Health::starting().after(probe(1, 5), &check, Some(0));
        assert_eq!((health.failing_streak, change), (1, None));
        let (health, change) = health.after(probe(1, 6), &check, Some(0));
        assert_eq!((health.failing_streak, change), (2, Some(HealthStatus::Unhealthy)));
        let (health, change) = health.after(probe(0, 7), &check, Some(0));
        assert_eq!((health.failing_streak, change), (0, Some(HealthStatus::Healthy)));
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let check = check(1, 100);
        let (health, change) = Health::starting().after(probe(1, 50), &check, Some(0));
        assert_eq!((health.failing_streak, change), (0, None));
        assert_eq!(health.after(probe(1, 150), &check, Some(0)).1, Some(HealthStatus::Unhealthy));
    }

    #[test]
    fn only_the_last_results_are_kept() {
        let mut health = Health::starting();
        for time in 0..9 {
            health = health.after(probe(0, time), &check(1, 0), Some(0)).0;
        }
        assert_eq!(health.results.len(), KEPT_RESULTS);
        assert_eq!(health.results[0].start, api::Time::from_nanoseconds(4));
    }
}
