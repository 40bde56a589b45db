//! Programs that a configuration has run at points of a container's life.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci::runtime::{Hook, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::error::Error;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the namespaces made, in those of the runtime. Deprecated by the specification.
    Prestart,
    /// The same, after [`Kind::Prestart`].
    CreateRuntime,
    /// In the container's namespaces, before the root changes.
    CreateContainer,
    /// In the container, before its program.
    StartContainer,
    /// After the program was started.
    Poststart,
    /// After the container was deleted.
    Poststop,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// The hooks of a kind.
pub fn of(spec: &Spec, kind: Kind) -> &[Hook] {
    let Some(hooks) = spec.hooks() else { return &[] };
    match kind {
        Kind::Prestart => hooks.prestart(),
        Kind::CreateRuntime => hooks.create_runtime(),
        Kind::CreateContainer => hooks.create_container(),
        Kind::StartContainer => hooks.start_container(),
        Kind::Poststart => hooks.poststart(),
        Kind::Poststop => hooks.poststop(),
    }
    .as_deref()
    .unwrap_or_default()
}

/// Whether there are hooks that the parent runs while the container is created.
pub(crate) fn has_outer(spec: &Spec) -> bool {
    !of(spec, Kind::Prestart).is_empty() || !of(spec, Kind::CreateRuntime).is_empty()
}

/// What a hook reads from its standard input: the state of the container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookState {
    /// The version of the specification.
    pub oci_version: String,
    /// The container's ID.
    pub id: String,
    /// `creating`, `created`, `running` or `stopped`.
    pub status: &'static str,
    /// The first process, as whoever runs the hook sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The annotations of the configuration.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl HookState {
    /// The state of a container that is being created.
    pub fn new(id: &str, spec: &Spec, bundle: &Path) -> Self {
        let annotations = spec.annotations().iter().flatten();
        Self {
            oci_version: spec.version().clone(),
            id: id.to_owned(),
            status: "creating",
            pid: None,
            bundle: bundle.to_owned(),
            annotations: annotations.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }

    /// The same with another status and process.
    pub fn with(&self, status: &'static str, pid: Option<i32>) -> Self {
        Self { status, pid, ..self.clone() }
    }

    /// As a hook inside the container sees it while it is created.
    pub(crate) fn creating(&self) -> Self {
        self.with("creating", Some(rustix::process::getpid().as_raw_nonzero().get()))
    }

    /// As a hook inside the container sees it before its program runs.
    pub(crate) fn created(&self) -> Self {
        self.with("created", Some(rustix::process::getpid().as_raw_nonzero().get()))
    }
}

/// Runs hooks in their order, each to its end.
///
/// # Errors
/// The first one that cannot be executed, fails, or takes longer than its timeout.
pub fn run(kind: Kind, hooks: &[Hook], state: &HookState) -> Result<(), Error> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state).expect("a state is plain data");
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, &state).map_err(|reason| Error::Hook { kind: kind.name(), index, reason })?;
    }
    Ok(())
}

/// Runs hooks that come too late to stop anything: each of them, whatever the others do. Returns all failures.
pub fn run_each(kind: Kind, hooks: &[Hook], state: &HookState) -> Vec<Error> {
    let state = serde_json::to_vec(state).expect("a state is plain data");
    let outcome = |(index, hook)| {
        let reason = run_one(hook, &state).err()?;
        Some(Error::Hook { kind: kind.name(), index, reason })
    };
    hooks.iter().enumerate().filter_map(outcome).collect()
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    let mut child = spawn(hook).map_err(|error| format!("{:?}: {error}", hook.path()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read it may close it.
        let _ = stdin.write_all(state);
    }
    if let Some(seconds) = hook.timeout() {
        wait_at_most(&mut child, seconds)?;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}, stdout: {}, stderr: {}", output.status, String::from_utf8_lossy(&output.stdout), said))
}

fn spawn(hook: &Hook) -> std::io::Result<Child> {
    let mut command = Command::new(hook.path());
    if let Some((name, arguments)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(arguments);
    }
    command.env_clear();
    for variable in hook.env().iter().flatten() {
        if let Some((key, value)) = variable.split_once('=') {
            command.env(key, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn wait_at_most(child: &mut Child, seconds: i64) -> Result<(), String> {
    let Ok(seconds) = u64::try_from(seconds) else { return Err("the timeout is negative".to_owned()) };
    let limit = Duration::from_secs(seconds);
    let timeout = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: 0 };
    let pidfd = sys::process::pidfd(child.id() as i32).map_err(|errno| errno.to_string())?;
    let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
    if ready != Ok(0) {
        return Ok(());
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("timed out after {seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(json: &str) -> Hook {
        serde_json::from_str(json).expect("a hook")
    }

    fn state() -> HookState {
        HookState::new("abc", &Spec::default(), Path::new("/bundle"))
    }

    #[test]
    fn hook_reads_the_state() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("state");
        let script = format!("cat > {}", file.display());
        let json = serde_json::json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]});
        run(Kind::CreateRuntime, &[hook(&json.to_string())], &state().with("created", Some(7)))
            .expect("it runs");
        let text = std::fs::read_to_string(file).expect("state");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((value["id"].as_str(), value["pid"].as_i64()), (Some("abc"), Some(7)));
        assert_eq!(value["status"].as_str(), Some("created"));
    }

    #[test]
    fn failing_hook_is_named() {
        let hooks = [hook(r#"{"path":"/bin/true"}"#), hook(r#"{"path":"/bin/false"}"#)];
        let text = run(Kind::Prestart, &hooks, &state()).expect_err("it fails").to_string();
        assert!(text.starts_with("error running prestart hook #1: "), "{text}");
    }

    #[test]
    fn late_hooks_all_run() {
        let hooks = [
            hook(r#"{"path":"/bin/false"}"#),
            hook(r#"{"path":"/bin/true"}"#),
            hook(r#"{"path":"/bin/false"}"#),
        ];
        assert_eq!(run_each(Kind::Poststop, &hooks, &state()).len(), 2);
    }

    #[test]
    fn slow_hook_is_stopped() {
        let hooks = [hook(r#"{"path":"/bin/sleep","args":["sleep","60"],"timeout":1}"#)];
        let text = run(Kind::Poststart, &hooks, &state()).expect_err("it is slow").to_string();
        assert!(text.contains("timed out after 1 s"), "{text}");
    }
}
