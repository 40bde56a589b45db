//! `state`, `list`, `ps`, `events`, `features` and `spec`.

use std::fs;
use std::io::Write;
use std::process::Command;

use oci::runtime::{
    Capabilities, Linux, LinuxCapabilities, LinuxNamespace, LinuxNamespaceType, LinuxResources, Process,
    Root, Spec,
};
use serde_json::json;

use super::Failure;
use super::arguments::{Events, Format, Global, List, Ps, SpecFile};
use super::state::{Directory, Printed};

/// Prints the state of a container.
pub(super) fn state(global: &Global, id: &str) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, id)?;
    let state = directory.load()?;
    print(&serde_json::to_string_pretty(&state.printed(state.status(&directory)))?)
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints all containers.
pub(super) fn list(global: &Global, asked: &List) -> Result<(), Failure> {
    let mut names: Vec<String> = match fs::read_dir(&global.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        entries => entries?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, _>>()?,
    };
    names.sort();
    let mut states = Vec::new();
    for name in &names {
        let directory = Directory::new(&global.root, name)?;
        // One that is being created, or is gone by now.
        let Ok(state) = directory.load() else { continue };
        let status = state.status(&directory);
        states.push((state, status));
    }
    let printed: Vec<Printed<'_>> = states.iter().map(|(state, status)| state.printed(*status)).collect();
    match (asked.quiet, asked.format) {
        (true, _) => printed.iter().try_for_each(|state| print(state.id)),
        (false, Format::Json) => print(&serde_json::to_string(&printed)?),
        (false, Format::Table) => print(table(&printed).trim_end()),
    }
}

fn table(states: &[Printed<'_>]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(states.iter().map(|state| {
        let (pid, created) = (state.pid.to_string(), state.created.to_string());
        let bundle = state.bundle.display().to_string();
        [state.id.to_owned(), pid, state.status.clone(), bundle, created, state.owner.to_owned()]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(9) + 3;
    let widths: Vec<usize> = (0..6).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("{}\n", cells.collect::<String>().trim_end())
        })
        .collect()
}

/// Prints the processes of a container.
pub(super) fn processes(global: &Global, asked: &Ps) -> Result<(), Failure> {
    let state = Directory::new(&global.root, &asked.id)?.load()?;
    let pids = state.cgroup()?.pids()?;
    if asked.format == Format::Json {
        return print(&serde_json::to_string(&pids)?);
    }
    let options = if asked.options.is_empty() { &["-ef".to_owned()][..] } else { &asked.options[..] };
    let output = Command::new("ps").args(options).output().map_err(|error| format!("ps: {error}"))?;
    if !output.status.success() {
        return Err(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    print(own_lines(&String::from_utf8_lossy(&output.stdout), &pids)?.trim_end())
}

fn own_lines(table: &str, pids: &[i32]) -> Result<String, Failure> {
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or("couldn't find PID field in ps output")?;
    let is_own = |line: &&str| {
        line.split_whitespace()
            .nth(column)
            .and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    Ok([header].into_iter().chain(lines.filter(is_own)).map(|line| format!("{line}\n")).collect())
}

/// Prints what a container uses.
pub(super) fn events(global: &Global, asked: &Events) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, &asked.id)?;
    let state = directory.load()?;
    loop {
        let stats = state.cgroup()?.stats()?;
        let data = json!({
            "cpu": {"usage": {"total": stats.cpu.total, "percpu": stats.cpu.per_cpu, "kernel": stats.cpu.kernel,
                "user": stats.cpu.user}, "throttling": {"periods": stats.cpu.periods,
                "throttledPeriods": stats.cpu.throttled_periods, "throttledTime": stats.cpu.throttled_time}},
            "memory": {"usage": {"limit": stats.memory.limit, "usage": stats.memory.usage,
                "max": stats.memory.max_usage, "failcnt": stats.memory.fail_count}, "raw": stats.memory.details},
            "pids": {"current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0)},
        });
        print(&json!({ "type": "stats", "id": asked.id, "data": data }).to_string())?;
        if asked.stats || !state.is_alive() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_secs(asked.interval.max(1)));
    }
}

/// Prints what this runtime does, in the form of the specification's `features.md`.
pub(super) fn features() -> Result<(), Failure> {
    let capabilities: Vec<String> =
        oci::capability::ALL.iter().map(|capability| format!("CAP_{capability}")).collect();
    let options = vec![
        "async",
        "atime",
        "bind",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "nosymfollow",
        "private",
        "ratime",
        "rbind",
        "rdev",
        "rdiratime",
        "relatime",
        "rexec",
        "rnoatime",
        "rnodev",
        "rnodiratime",
        "rnoexec",
        "rnorelatime",
        "rnostrictatime",
        "rnosuid",
        "rnosymfollow",
        "ro",
        "rprivate",
        "rrelatime",
        "rro",
        "rrw",
        "rshared",
        "rslave",
        "rstrictatime",
        "rsuid",
        "rsymfollow",
        "runbindable",
        "rw",
        "shared",
        "slave",
        "strictatime",
        "suid",
        "symfollow",
        "sync",
        "tmpcopyup",
        "unbindable",
    ];
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.1",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
            "seccomp": {"enabled": true},
            "apparmor": {"enabled": true},
            "selinux": {"enabled": false},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": false}},
        },
    });
    print(&serde_json::to_string_pretty(&features)?)
}

/// Writes a configuration to begin with.
pub(super) fn spec(asked: &SpecFile) -> Result<(), Failure> {
    let path = asked.bundle.join("config.json");
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(|error| format!("{path:?}: {error}"))?;
    file.write_all(&serde_json::to_vec_pretty(&example())?)?;
    Ok(())
}

/// What a container has that asks for nothing special.
fn example() -> Spec {
    let set: Option<Capabilities> = Some(oci::capability::DEFAULT.into_iter().collect());
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(set.clone()).set_permitted(set.clone()).set_effective(set);
    capabilities.set_inheritable(None).set_ambient(None);
    let mut process = Process::default();
    process.set_terminal(Some(true)).set_capabilities(Some(capabilities)).set_no_new_privileges(Some(true));
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(true));
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(oci::defaults::device_rules()));
    let kinds = [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ];
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    let mut linux = Linux::default();
    linux.set_namespaces(Some(kinds.map(namespace).to_vec())).set_resources(Some(resources));
    linux.set_masked_paths(Some(oci::defaults::masked_paths()));
    linux.set_readonly_paths(Some(oci::defaults::readonly_paths()));
    let mut spec = Spec::default();
    spec.set_version("1.2.1".to_owned()).set_process(Some(process)).set_root(Some(root));
    spec.set_hostname(Some("corten".to_owned())).set_mounts(Some(oci::defaults::mounts()));
    spec.set_linux(Some(linux)).set_annotations(None::<std::collections::HashMap<_, _>>);
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_processes_are_left_out() {
        let table = "UID PID CMD\nroot 1 init\nroot 12 sh\nroot 2 x 12\n";
        assert_eq!(own_lines(table, &[12]).expect("a table"), "UID PID CMD\nroot 12 sh\n");
        assert!(own_lines("no such column\n", &[1]).is_err());
    }

    #[test]
    fn example_is_a_configuration_that_is_accepted() {
        crate::plan::validate::spec(&example()).expect("accepted");
    }
}
