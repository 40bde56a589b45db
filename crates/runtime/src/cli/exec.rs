//! `exec`.

use std::fs;

use oci::runtime::{Capabilities, ContainerState, LinuxCapabilities, Process, User};

use super::arguments::{Exec, Global};
use super::create::{own_stdio, write_pid};
use super::state::{Directory, State, Status, refuse};
use super::{Failure, console};
use crate::container::{SeccompSource, Stdio};
use crate::exec::{ExecOptions, Lifetime, Privilege, exec as make};

/// Executes a process, and unless detached stays until it ends.
pub(super) fn exec(global: &Global, asked: &Exec) -> Result<u8, Failure> {
    let directory = Directory::new(&global.root, &asked.id)?;
    let state = directory.load()?;
    match state.status(&directory) {
        Status::Known(ContainerState::Stopped) => return Err("cannot exec in a stopped container".into()),
        Status::Paused if !asked.ignore_paused => {
            return Err("cannot exec in a paused container (use --ignore-paused to override)".into());
        }
        _ => {}
    }
    let process = process(asked, &state)?;
    let terminal = process.terminal().unwrap_or(false);
    if terminal && asked.detach && asked.console_socket.is_none() {
        return Err("cannot allocate tty if runtime will detach without setting console socket".into());
    }
    let pidfd = sys::process::pidfd(state.pid).map_err(|_| refuse("not running", &asked.id))?;
    let executed = make(ExecOptions {
        pidfd: std::os::fd::AsFd::as_fd(&pidfd),
        pid: state.pid,
        spec: &state.spec,
        process: &process,
        user: None,
        privilege: Privilege::AsConfigured,
        seccomp: SeccompSource::Spec,
        stdio: if terminal { Stdio::Terminal(None) } else { Stdio::Descriptors(own_stdio()?) },
        cgroup: &state.cgroup()?,
        preserve_fds: asked.preserve_fds,
        lifetime: Lifetime::Own,
    })
    .map_err(|error| format!("exec failed: unable to start container process: {error}"))?;
    let terminal = match (&asked.console_socket, executed.terminal) {
        (Some(socket), Some(master)) => console::send(socket, &master).map(|()| None)?,
        (_, terminal) => terminal,
    };
    write_pid(asked.pid_file.as_deref(), executed.pid)?;
    if asked.detach { Ok(0) } else { console::attend(&executed.pidfd, terminal) }
}

/// What is asked for, with what it leaves open taken from the container's own process.
fn process(asked: &Exec, state: &State) -> Result<Process, Failure> {
    if asked.process_label.is_some() {
        return Err("--process-label is not supported".into());
    }
    let own = state.spec.process().as_ref().ok_or("the container has no process")?;
    if let Some(path) = &asked.process {
        let mut process: Process = serde_json::from_slice(&fs::read(path)?)?;
        if process.capabilities().is_none() {
            process.set_capabilities(own.capabilities().clone());
        }
        return Ok(process);
    }
    let mut process = own.clone();
    process.set_args(Some(asked.command.clone())).set_terminal(Some(asked.tty)).set_console_size(None);
    if let Some(cwd) = &asked.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(profile) = &asked.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if asked.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    process.env_mut().get_or_insert_default().extend(asked.env.iter().cloned());
    set_user(asked, process.user_mut())?;
    let capabilities = with_capabilities(&asked.cap, process.capabilities().clone())?;
    process.set_capabilities(capabilities);
    Ok(process)
}

fn set_user(asked: &Exec, user: &mut User) -> Result<(), Failure> {
    if let Some(text) = &asked.user {
        let (uid, gid) = text.split_once(':').unwrap_or((text, ""));
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no user or group ID"));
        user.set_uid(number(uid)?);
        if !gid.is_empty() {
            user.set_gid(number(gid)?);
        }
    }
    if !asked.additional_gids.is_empty() {
        user.additional_gids_mut().get_or_insert_default().extend(&asked.additional_gids);
    }
    Ok(())
}

fn with_capabilities(
    names: &[String],
    own: Option<LinuxCapabilities>,
) -> Result<Option<LinuxCapabilities>, Failure> {
    if names.is_empty() {
        return Ok(own);
    }
    let mut all = own.unwrap_or_default();
    let added = names
        .iter()
        .map(|name| oci::capability::parse(name).ok_or_else(|| format!("unknown capability {name:?}")))
        .collect::<Result<Vec<_>, _>>()?;
    let with = |set: &Option<Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(added.iter().copied());
        Some(set)
    };
    let (bounding, permitted, effective) =
        (with(all.bounding()), with(all.permitted()), with(all.effective()));
    all.set_bounding(bounding).set_permitted(permitted).set_effective(effective);
    Ok(Some(all))
}
