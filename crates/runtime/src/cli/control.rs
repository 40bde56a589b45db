//! `kill`, `delete`, `pause`, `resume` and `update`.

use std::io::Read;
use std::time::{Duration, Instant};

use oci::runtime::{
    ContainerState, LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNamespaceType, LinuxPids, LinuxResources,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Failure;
use super::arguments::{Delete, Global, Kill, Update};
use super::state::{Directory, State, Status, is_gone, refuse};
use crate::hooks;

/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(10);

/// Sends a signal.
pub(super) fn kill(global: &Global, asked: &Kill) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, &asked.id)?;
    let state = directory.load()?;
    let signal = parse_signal(&asked.signal)?;
    if asked.all {
        return kill_all(&state, signal);
    }
    if !state.is_alive() {
        return Err("container not running".into());
    }
    if signal == SIGKILL && shares_pid_namespace(&state) {
        // The end of its first process is not the end of the others then.
        return kill_all(&state, signal);
    }
    send(state.pid, signal)?;
    if signal == SIGKILL && state.status(&directory) == Status::Paused {
        state.cgroup()?.thaw()?;
    }
    Ok(())
}

const SIGKILL: i32 = 9;

fn send(pid: i32, signal: i32) -> Result<(), Failure> {
    match sys::process::pidfd(pid).and_then(|pidfd| sys::process::signal(pidfd, signal)) {
        Err(errno) if is_gone(errno) => Err("container not running".into()),
        result => Ok(result?),
    }
}

fn kill_all(state: &State, signal: i32) -> Result<(), Failure> {
    let cgroup = state.cgroup()?;
    if signal == SIGKILL {
        return Ok(cgroup.kill_all()?);
    }
    for pid in cgroup.pids()? {
        match sys::process::kill(pid, signal) {
            Err(errno) if !is_gone(errno) => return Err(errno.into()),
            _ => {}
        }
    }
    Ok(())
}

fn shares_pid_namespace(state: &State) -> bool {
    let namespaces = state.spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
    !namespaces.unwrap_or_default().iter().any(|namespace| {
        namespace.typ() == LinuxNamespaceType::Pid
            && namespace.path().as_ref().is_none_or(|path| path.as_os_str().is_empty())
    })
}

/// A number, or a name with or without `SIG`, in any case; `RTMIN+n` and `RTMAX-n` too; 0 sends nothing.
fn parse_signal(text: &str) -> Result<i32, Failure> {
    let number = if text == "0" { Some(0) } else { oci::signal::parse(text) };
    number.ok_or_else(|| Failure::from(format!("unknown signal {text:?}")))
}

/// Whether a running container is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    Yes,
    No,
}

/// Removes all that is left of a container.
pub(super) fn delete(global: &Global, asked: &Delete) -> Result<(), Failure> {
    delete_by_id(global, &asked.id, if asked.force { Force::Yes } else { Force::No })
}

pub(super) fn delete_by_id(global: &Global, id: &str, force: Force) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, id)?;
    let state = match directory.load() {
        Ok(state) => state,
        // Nothing, or what a crash in the middle of a creation left.
        Err(_) if force == Force::Yes => {
            return if directory.exists() { directory.remove() } else { Ok(()) };
        }
        Err(error) => return Err(error),
    };
    match (state.status(&directory), force) {
        (Status::Known(ContainerState::Stopped), _) => {}
        (Status::Known(ContainerState::Created), _) | (_, Force::Yes) => end(&state)?,
        (status, Force::No) => {
            return Err(format!("cannot delete container {id} that is not stopped: {status}").into());
        }
    }
    let cgroup = state.cgroup()?;
    // Processes that outlived the first one, where it was not the first of its PID namespace.
    cgroup.kill_all()?;
    cgroup.remove()?;
    directory.remove()?;
    let hooks = hooks::of(&state.spec, hooks::Kind::Poststop);
    for failure in hooks::run_each(hooks::Kind::Poststop, hooks, &state.hook_state().with("stopped", None)) {
        eprintln!("warning: {failure}");
    }
    Ok(())
}

/// Kills the container's processes and waits for the end of the first one.
fn end(state: &State) -> Result<(), Failure> {
    let pidfd = match sys::process::pidfd(state.pid) {
        Err(errno) if is_gone(errno) => return Ok(()),
        result => result?,
    };
    state.cgroup()?.kill_all()?;
    let _ = sys::process::signal(&pidfd, SIGKILL);
    let until = Instant::now() + END;
    while state.is_alive() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("container {} does not end", state.id).into());
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
    }
    Ok(())
}

/// Freezes it.
pub(super) fn pause(global: &Global, id: &str) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, id)?;
    let state = directory.load()?;
    match state.status(&directory) {
        Status::Known(ContainerState::Running | ContainerState::Created) => Ok(state.cgroup()?.freeze()?),
        status => Err(refuse(&format!("not running or created: {status}"), id)),
    }
}

/// Lets it run again.
pub(super) fn resume(global: &Global, id: &str) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, id)?;
    let state = directory.load()?;
    match state.status(&directory) {
        Status::Paused => Ok(state.cgroup()?.thaw()?),
        _ => Err(refuse("not paused", id)),
    }
}

/// Changes limits.
pub(super) fn update(global: &Global, asked: &Update) -> Result<(), Failure> {
    let directory = Directory::new(&global.root, &asked.id)?;
    let mut state = directory.load()?;
    let resources = match &asked.resources {
        Some(path) if path.as_os_str() == "-" => {
            let mut json = Vec::new();
            std::io::stdin().lock().read_to_end(&mut json)?;
            serde_json::from_slice(&json)?
        }
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => from_options(asked),
    };
    state.cgroup()?.update(&resources)?;
    if let Some(linux) = state.spec.linux_mut() {
        linux.set_resources(Some(resources));
    }
    directory.save(&state)
}

fn from_options(asked: &Update) -> LinuxResources {
    let mut cpu = LinuxCpu::default();
    cpu.set_period(asked.cpu_period).set_quota(asked.cpu_quota).set_shares(asked.cpu_share);
    cpu.set_cpus(asked.cpuset_cpus.clone()).set_mems(asked.cpuset_mems.clone());
    let mut memory = LinuxMemory::default();
    memory.set_limit(asked.memory).set_reservation(asked.memory_reservation).set_swap(asked.memory_swap);
    let mut resources = LinuxResources::default();
    resources.set_cpu(Some(cpu)).set_memory(Some(memory)).set_devices(None);
    if let Some(weight) = asked.blkio_weight {
        let mut block_io = LinuxBlockIo::default();
        block_io.set_weight(Some(weight));
        resources.set_block_io(Some(block_io));
    }
    if let Some(limit) = asked.pids_limit {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_people_write_them() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("sigterm", 15), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(parse_signal(text).expect(text), number);
        }
        for text in ["", "65", "-1", "SIGNOPE", "RTMIN+31", "RTMAX-31"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
