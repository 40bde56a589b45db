//! The program that runs, and with which rights.

use std::collections::HashSet;
use std::path::PathBuf;

use api::container::{HostConfig, Ulimit};
use api::exec::ExecCreateRequest;
use oci::capability;
use oci::runtime::{
    BoxBuilder, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process,
};

use crate::create::{Security, security};
use crate::error::Error;
use crate::links::{self, Linked};
use crate::settings::Settings;

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's own program.
pub(super) fn process(settings: &Settings, security: &Security, linked: &[Linked]) -> Result<Process, Error> {
    let host = &settings.host_config;
    let mut arguments = vec![settings.path.clone()];
    arguments.extend(settings.args.iter().cloned());
    let mut process = confined(host, security)?;
    process
        .set_terminal(Some(settings.config.tty))
        .set_console_size(console_size(host.console_size))
        .set_args(Some(arguments))
        .set_env(Some(environment(settings, linked)))
        .set_cwd(working_dir(&settings.config.working_dir))
        .set_oom_score_adj(Some(i32::try_from(host.oom_score_adj).unwrap_or_default()));
    Ok(process)
}

/// A further program in a running container.
pub(crate) fn exec_process(
    settings: &Settings,
    request: &ExecCreateRequest,
    linked: &[Linked],
) -> Result<Process, Error> {
    let security = security(&settings.host_config)?;
    let mut process = if request.privileged {
        let everything = HostConfig { privileged: true, ..settings.host_config.clone() };
        confined(&everything, &Security { no_new_privileges: false, ..security })?
    } else {
        confined(&settings.host_config, &security)?
    };
    let mut variables = environment(settings, linked);
    if request.tty {
        set_variable(&mut variables, "TERM=xterm");
    }
    for variable in request.env.iter().flatten() {
        set_variable(&mut variables, variable);
    }
    let directory = match request.working_dir.as_str() {
        "" => settings.config.working_dir.as_str(),
        directory => directory,
    };
    process
        .set_terminal(Some(request.tty))
        .set_console_size(request.console_size.and_then(console_size))
        .set_args(Some(request.cmd.clone().unwrap_or_default()))
        .set_env(Some(variables))
        .set_cwd(working_dir(directory));
    Ok(process)
}

/// A process with the rights of the container and nothing else set.
fn confined(host: &HostConfig, security: &Security) -> Result<Process, Error> {
    let mut process = Process::default();
    process
        .set_capabilities(Some(capabilities(host)?))
        .set_rlimits(Some(limits(host.ulimits.as_deref().unwrap_or_default())?))
        .set_no_new_privileges(Some(security.no_new_privileges))
        .set_apparmor_profile(None)
        .set_selinux_label(None);
    Ok(process)
}

/// Bounding, permitted and effective are the same; inheritable and ambient stay empty.
fn capabilities(host: &HostConfig) -> Result<LinuxCapabilities, Error> {
    let words = |list: &Option<api::container::StrSlice>| {
        list.as_ref().map(|list| list.0.clone()).unwrap_or_default()
    };
    let (add, drop) = (words(&host.cap_add), words(&host.cap_drop));
    let privileged = if host.privileged { capability::Privileged::Yes } else { capability::Privileged::No };
    let set: HashSet<Capability> = capability::resolve(&add, &drop, privileged, capability::available())
        .map_err(|error| Error::invalid(error.to_string()))?;
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(set.clone()))
        .set_permitted(Some(set.clone()))
        .set_effective(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    Ok(capabilities)
}

/// What Docker sets on its own and for links, then the container's variables.
fn environment(settings: &Settings, linked: &[Linked]) -> Vec<String> {
    let mut variables = vec![DEFAULT_PATH.to_owned()];
    if !settings.config.hostname.is_empty() {
        variables.push(format!("HOSTNAME={}", settings.config.hostname));
    }
    if settings.config.tty {
        variables.push("TERM=xterm".to_owned());
    }
    variables.extend(linked.iter().flat_map(links::environment));
    for variable in settings.config.env.iter().flatten() {
        set_variable(&mut variables, variable);
    }
    variables
}

fn set_variable(variables: &mut Vec<String>, variable: &str) {
    let name = variable.split('=').next();
    match variables.iter_mut().find(|other| other.split('=').next() == name) {
        Some(other) => variable.clone_into(other),
        None => variables.push(variable.to_owned()),
    }
}

fn working_dir(directory: &str) -> PathBuf {
    PathBuf::from(if directory.is_empty() { "/" } else { directory })
}

fn console_size(size: [u32; 2]) -> Option<oci::runtime::Box> {
    let [height, width] = size;
    let console = BoxBuilder::default().height(height).width(width).build();
    (height > 0 && width > 0).then(|| console.expect("every field has a default"))
}

fn limits(ulimits: &[Ulimit]) -> Result<Vec<PosixRlimit>, Error> {
    ulimits.iter().map(limit).collect()
}

fn limit(ulimit: &Ulimit) -> Result<PosixRlimit, Error> {
    let unknown = || Error::invalid(format!("invalid ulimit type: {}", ulimit.name));
    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let limit = PosixRlimitBuilder::default()
        .typ(limit_type(&ulimit.name).ok_or_else(unknown)?)
        .hard(number(ulimit.hard))
        .soft(number(ulimit.soft));
    Ok(limit.build().expect("every field has a default"))
}

fn limit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name.to_ascii_lowercase().as_str() {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_variable_replaces_an_earlier_one_in_place() {
        let mut variables = vec!["A=1".to_owned(), "B=2".to_owned()];
        set_variable(&mut variables, "A=3");
        set_variable(&mut variables, "C=4");
        assert_eq!(variables, ["A=3", "B=2", "C=4"]);
    }

    #[test]
    fn unlimited_is_the_largest_number_and_unknown_limits_are_refused() {
        let ulimit = |name: &str| Ulimit { name: name.to_owned(), hard: -1, soft: 5 };
        let limit = limit(&ulimit("nofile")).unwrap();
        assert_eq!((limit.hard(), limit.soft()), (u64::MAX, 5));
        assert_eq!(super::limit(&ulimit("foo")).unwrap_err().to_string(), "invalid ulimit type: foo");
    }
}
