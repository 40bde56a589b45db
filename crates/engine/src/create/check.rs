//! What a request may not say.

use api::container::{Config, Healthcheck, HostConfig};

use crate::error::Error;
use crate::restart::RestartPolicy;
use crate::signal;

/// Refuses, by name, what this engine does not do.
pub(super) fn supported(config: &Config, host_config: &HostConfig) -> Result<(), Error> {
    let unsupported = [
        (
            !host_config.isolation.is_empty() && host_config.isolation != "default",
            "isolation",
            &*host_config.isolation,
        ),
        (!matches!(&*host_config.userns_mode, "" | "host"), "userns mode", &host_config.userns_mode),
        (!host_config.cgroup.is_empty(), "cgroup mode", &host_config.cgroup),
        (!matches!(&*host_config.volume_driver, "" | "local"), "volume driver", &host_config.volume_driver),
        (host_config.storage_opt.as_ref().is_some_and(|map| !map.is_empty()), "storage-opt", "of any kind"),
        (
            host_config.device_requests.as_ref().is_some_and(|list| !list.is_empty()),
            "device request",
            "(--gpus)",
        ),
        (host_config.kernel_memory != 0, "kernel memory limit", "(--kernel-memory)"),
        (host_config.kernel_memory_tcp != 0, "kernel TCP memory limit", "(KernelMemoryTCP)"),
        (host_config.cpu_count != 0, "CpuCount", "(Windows)"),
        (host_config.cpu_percent != 0, "CpuPercent", "(Windows)"),
        (host_config.io_maximum_iops != 0, "IOMaximumIOps", "(Windows)"),
        (host_config.io_maximum_bandwidth != 0, "IOMaximumBandwidth", "(Windows)"),
        (config.args_escaped, "ArgsEscaped", "(Windows)"),
        (config.network_disabled, "NetworkDisabled", "(use network mode none)"),
    ];
    match unsupported.into_iter().find(|(refused, ..)| *refused) {
        Some((_, field, value)) => Err(Error::unsupported(format!("{field} {value}"))),
        None => runtime(host_config),
    }
}

/// There is one runtime, known by Docker's names for its own too.
fn runtime(host_config: &HostConfig) -> Result<(), Error> {
    match host_config.runtime.as_str() {
        "" | "runc" | "corten" | "io.containerd.runc.v2" => Ok(()),
        other => Err(Error::invalid(format!("unknown or invalid runtime name: {other}"))),
    }
}

pub(super) fn config(config: &Config) -> Result<(), Error> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    if !config.stop_signal.is_empty() {
        signal::parse(&config.stop_signal)?;
    }
    if config.hostname.len() > 63 || config.hostname.contains(['\0', '/']) {
        return Err(Error::invalid(format!("invalid hostname format: {}", config.hostname)));
    }
    config.healthcheck.as_ref().map_or(Ok(()), healthcheck)
}

fn healthcheck(check: &Healthcheck) -> Result<(), Error> {
    const MILLISECOND: i64 = 1_000_000;
    let durations = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (field, value) in durations {
        if value != 0 && value < MILLISECOND {
            return Err(Error::invalid(format!("{field} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    match check.test.as_deref().and_then(<[String]>::first).map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(Error::invalid(format!("unknown type \"{other}\" in Healthcheck"))),
    }
}

pub(super) fn host_config(host_config: &HostConfig) -> Result<(), Error> {
    let policy = restart_policy(host_config)?;
    if host_config.auto_remove && policy != RestartPolicy::No {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    mode("network", &host_config.network_mode, &["bridge", "host", "none"], AnyName::Allowed)?;
    mode("PID", &host_config.pid_mode, &["", "host"], AnyName::Refused)?;
    mode("IPC", &host_config.ipc_mode, &["", "none", "private", "shareable", "host"], AnyName::Refused)?;
    mode("UTS", &host_config.uts_mode, &["", "host"], AnyName::Refused)?;
    mode("cgroup namespace", &host_config.cgroupns_mode, &["", "private", "host"], AnyName::Refused)?;
    if !(-1000..=1000).contains(&host_config.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host_config.oom_score_adj
        )));
    }
    if host_config.shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    if let Some(bad) =
        host_config.dns.iter().flatten().find(|server| server.parse::<std::net::IpAddr>().is_err())
    {
        return Err(Error::invalid(format!("bad nameserver address: {bad}")));
    }
    sysctls(host_config)?;
    extra_hosts(host_config)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AnyName {
    Allowed,
    Refused,
}

fn mode(kind: &str, value: &str, known: &[&str], any_name: AnyName) -> Result<(), Error> {
    let joined = matches!(value.split_once(':'), Some(("container", name)) if !name.is_empty());
    let joinable = matches!(kind, "network" | "PID" | "IPC") && joined;
    let named = any_name == AnyName::Allowed && !value.contains(':');
    if known.contains(&value) || joinable || named {
        Ok(())
    } else {
        Err(Error::invalid(format!("invalid {kind} mode: {value}")))
    }
}

/// The policy of a container.
pub(crate) fn restart_policy(host_config: &HostConfig) -> Result<RestartPolicy, Error> {
    let policy = &host_config.restart_policy;
    let most = u32::try_from(policy.maximum_retry_count)
        .map_err(|_| Error::invalid("invalid restart policy: maximum retry count cannot be negative"))?;
    let parsed = match policy.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => return Ok(RestartPolicy::OnFailure { most }),
        other => {
            return Err(Error::invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            )));
        }
    };
    if most > 0 {
        let message = "invalid restart policy: maximum retry count can only be used with 'on-failure'";
        return Err(Error::invalid(message));
    }
    Ok(parsed)
}

/// Only what belongs to a namespace of the container's own can be set in it.
fn sysctls(host_config: &HostConfig) -> Result<(), Error> {
    for name in host_config.sysctls.iter().flatten().map(|(name, _)| name) {
        let ipc = name.starts_with("fs.mqueue.")
            || matches!(
                name.as_str(),
                "kernel.msgmax"
                    | "kernel.msgmnb"
                    | "kernel.msgmni"
                    | "kernel.sem"
                    | "kernel.shmall"
                    | "kernel.shmmax"
                    | "kernel.shmmni"
                    | "kernel.shm_rmid_forced"
            );
        let net = name.starts_with("net.");
        if ipc && host_config.ipc_mode == "host" {
            return Err(Error::invalid(format!(
                "sysctl '{name}' can't be used with the host's IPC namespace"
            )));
        }
        if net && host_config.network_mode == "host" {
            return Err(Error::invalid(format!(
                "sysctl '{name}' can't be used with the host's network namespace"
            )));
        }
        if !ipc && !net {
            return Err(Error::invalid(format!("sysctl '{name}' is not whitelisted")));
        }
    }
    Ok(())
}

fn extra_hosts(host_config: &HostConfig) -> Result<(), Error> {
    for entry in host_config.extra_hosts.iter().flatten() {
        let valid = entry.split_once([':', '=']).is_some_and(|(name, address)| {
            let literal = address.trim_start_matches('[').trim_end_matches(']');
            !name.is_empty() && (address == "host-gateway" || literal.parse::<std::net::IpAddr>().is_ok())
        });
        if !valid {
            return Err(Error::invalid(format!("bad format for add-host: \"{entry}\"")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HostConfig)) -> String {
        let mut host = HostConfig::default();
        change(&mut host);
        supported(&Config::default(), &host).and_then(|()| host_config(&host)).unwrap_err().to_string()
    }

    #[test]
    fn unknown_policy_mode_and_sysctl_are_refused_by_name() {
        assert!(refused(|host| host.restart_policy.name = "maybe".into()).contains("unknown policy 'maybe'"));
        assert_eq!(refused(|host| host.pid_mode = "foo".into()), "invalid PID mode: foo");
        assert_eq!(refused(|host| host.uts_mode = "container:x".into()), "invalid UTS mode: container:x");
        let sysctls = [("kernel.panic".to_owned(), "1".to_owned())];
        assert_eq!(
            refused(|host| host.sysctls = Some(sysctls.into())),
            "sysctl 'kernel.panic' is not whitelisted"
        );
    }

    #[test]
    fn unsupported_fields_are_refused_by_name() {
        assert_eq!(
            refused(|host| host.userns_mode = "private".into()),
            "userns mode private is not supported by this engine"
        );
        assert_eq!(refused(|host| host.runtime = "crun".into()), "unknown or invalid runtime name: crun");
    }

    #[test]
    fn retry_count_goes_with_on_failure_only() {
        let mut host = HostConfig::default();
        host.restart_policy.maximum_retry_count = 3;
        host.restart_policy.name = "on-failure".into();
        assert_eq!(restart_policy(&host).unwrap(), RestartPolicy::OnFailure { most: 3 });
        host.restart_policy.name = "always".into();
        assert!(restart_policy(&host).is_err());
    }

    #[test]
    fn joined_namespaces_and_named_networks_pass() {
        let host = HostConfig {
            network_mode: "mynet".into(),
            pid_mode: "container:x".into(),
            ipc_mode: "container:x".into(),
            ..HostConfig::default()
        };
        assert!(host_config(&host).is_ok());
    }
}
