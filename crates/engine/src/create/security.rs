//! `--security-opt`.

use api::container::HostConfig;
use shim::SeccompProfile;

use crate::error::Error;

/// What the security options of a container come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: SeccompProfile,
    /// `systempaths=unconfined`: nothing in `/proc` and `/sys` is masked or read-only.
    pub(crate) system_paths_confined: bool,
}

/// Reads the security options. A privileged container has no system call filter unless one is named.
///
/// # Errors
///
/// Unknown options, and labels and profiles of security modules that this engine does not drive.
pub(crate) fn security(host_config: &HostConfig) -> Result<Security, Error> {
    let mut security = Security {
        no_new_privileges: false,
        seccomp: if host_config.privileged { SeccompProfile::Unconfined } else { SeccompProfile::Default },
        system_paths_confined: true,
    };
    for option in host_config.security_opt.iter().flatten() {
        apply(&mut security, option)?;
    }
    Ok(security)
}

fn apply(security: &mut Security, option: &str) -> Result<(), Error> {
    let invalid = || Error::invalid(format!("invalid --security-opt: {option:?}"));
    // Older clients separate by a colon.
    let (name, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match (name, value) {
        ("no-new-privileges", None | Some("true")) => security.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => security.no_new_privileges = false,
        ("seccomp", Some("unconfined")) => security.seccomp = SeccompProfile::Unconfined,
        ("seccomp", Some("builtin" | "default")) => security.seccomp = SeccompProfile::Default,
        ("seccomp", Some(profile)) if profile.trim_start().starts_with('{') => {
            security.seccomp = SeccompProfile::Custom(profile.to_owned());
        }
        ("seccomp", Some(_)) => return Err(Error::invalid("opening seccomp profile: not a JSON document")),
        ("systempaths", Some("unconfined")) => security.system_paths_confined = false,
        // Without the module in the kernel, unconfined is what a container is.
        ("apparmor", Some("unconfined")) | ("label", Some("disable")) | ("disable", None) => {}
        ("apparmor" | "label" | "credentialspec" | "writable-cgroups", _) => {
            return Err(Error::unsupported(format!("security option {option}")));
        }
        _ => return Err(invalid()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> Result<Security, Error> {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        security(&HostConfig { security_opt: Some(options), ..HostConfig::default() })
    }

    #[test]
    fn options_are_read_in_both_notations() {
        let security = read(&["no-new-privileges", "seccomp:unconfined", "systempaths=unconfined"]).unwrap();
        assert!(security.no_new_privileges && !security.system_paths_confined);
        assert_eq!(security.seccomp, SeccompProfile::Unconfined);
        assert_eq!(read(&["seccomp={}"]).unwrap().seccomp, SeccompProfile::Custom("{}".into()));
    }

    #[test]
    fn unknown_and_unsupported_options_are_refused() {
        assert_eq!(read(&["foo=bar"]).unwrap_err().to_string(), "invalid --security-opt: \"foo=bar\"");
        assert!(matches!(read(&["apparmor=mine"]), Err(Error::Unsupported { .. })));
        assert!(read(&["seccomp=/a/file"]).is_err());
    }

    #[test]
    fn privileged_container_is_unfiltered_unless_a_profile_is_named() {
        let mut host = HostConfig { privileged: true, ..HostConfig::default() };
        assert_eq!(security(&host).unwrap().seccomp, SeccompProfile::Unconfined);
        host.security_opt = Some(vec!["seccomp=builtin".into()]);
        assert_eq!(security(&host).unwrap().seccomp, SeccompProfile::Default);
    }
}
