//! Kernel parameters: only those that belong to one of the container's own namespaces.

use std::path::PathBuf;

use oci::runtime::Linux;
use sys::namespace::Namespaces;

use crate::error::Error;

/// A parameter to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    /// Its name as configured.
    pub(crate) name: String,
    /// Its file, relative to `/proc/sys`.
    pub(crate) path: PathBuf,
    /// Its value.
    pub(crate) value: String,
}

/// System V IPC parameters that belong to an IPC namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// # Errors
/// A parameter that is not the container's own.
pub(crate) fn plan(linux: Option<&Linux>, private: Namespaces) -> Result<Vec<Sysctl>, Error> {
    let Some(parameters) = linux.and_then(|linux| linux.sysctl().as_ref()) else { return Ok(Vec::new()) };
    let mut plan: Vec<_> = parameters
        .iter()
        .map(|(name, value)| {
            let name = dotted(name);
            check(&name, private)?;
            Ok(Sysctl { path: file(&name)?, name, value: value.clone() })
        })
        .collect::<Result<_, Error>>()?;
    plan.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(plan)
}

/// Both `net.ipv4.conf.eth0/1.x` and `net/ipv4/conf/eth0.1/x` name the same file: the first separator decides.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name
            .chars()
            .map(|character| match character {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn check(name: &str, private: Namespaces) -> Result<(), Error> {
    let needs = |namespace: Namespaces, called: &str| {
        if private.contains(namespace) {
            Ok(())
        } else {
            let reason = format!("sysctl {name:?} is not allowed in the host's {called} namespace");
            Err(Error::invalid("linux.sysctl", reason))
        }
    };
    match name {
        "kernel.domainname" => needs(Namespaces::UTS, "UTS"),
        "kernel.hostname" => Err(Error::invalid("linux.sysctl", "the host name is set by `hostname`")),
        _ if IPC.contains(&name) || name.starts_with("fs.mqueue.") => needs(Namespaces::IPC, "IPC"),
        _ if name.starts_with("net.") => needs(Namespaces::NETWORK, "network"),
        _ if name.starts_with("user.") => needs(Namespaces::USER, "user"),
        _ => Err(Error::invalid(
            "linux.sysctl",
            format!("sysctl {name:?} is not in a separate kernel namespace"),
        )),
    }
}

fn file(name: &str) -> Result<PathBuf, Error> {
    let parts: Vec<String> = name.split('.').map(|part| part.replace('/', ".")).collect();
    if parts.iter().any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::invalid("linux.sysctl", format!("{name:?} is not a name")));
    }
    Ok(parts.iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan_of(name: &str, private: Namespaces) -> Result<Vec<Sysctl>, Error> {
        let json = serde_json::json!({ "sysctl": { name: "1" } });
        plan(Some(&serde_json::from_value(json).expect("a configuration")), private)
    }

    #[test]
    fn network_parameter_needs_a_network_namespace() {
        plan_of("net.ipv4.ip_forward", Namespaces::empty()).expect_err("refused");
        let plan = plan_of("net.ipv4.ip_forward", Namespaces::NETWORK).expect("allowed");
        assert_eq!(plan[0].path, PathBuf::from("net/ipv4/ip_forward"));
    }

    #[test]
    fn global_parameter_is_refused() {
        let error = plan_of("kernel.panic", Namespaces::all()).expect_err("refused");
        assert!(error.to_string().contains("not in a separate kernel namespace"), "{error}");
    }

    #[test]
    fn slashes_keep_dots_inside_of_names() {
        let plan = plan_of("net/ipv4/conf/eth0.1/forwarding", Namespaces::NETWORK).expect("allowed");
        assert_eq!(plan[0].path, PathBuf::from("net/ipv4/conf/eth0.1/forwarding"));
    }

    #[test]
    fn name_that_climbs_is_refused() {
        plan_of("net.//.//.kernel.panic", Namespaces::NETWORK).expect_err("refused");
        plan_of("net/../kernel/panic", Namespaces::NETWORK).expect_err("refused");
        plan_of("net..x", Namespaces::NETWORK).expect_err("refused");
    }

    proptest! {
        #[test]
        fn accepted_name_never_leaves_its_directory(name in "[a-z./]{1,20}") {
            if let Ok(plan) = plan_of(&format!("net.{name}"), Namespaces::all()) {
                let path = &plan[0].path;
                prop_assert!(path.starts_with("net"));
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
