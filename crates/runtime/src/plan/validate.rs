//! Refuses by name what a configuration asks for and nobody here does.

use oci::runtime::{Linux, Process, Spec};
use sys::namespace::Namespaces;

use crate::error::Error;

/// Looks at the whole configuration before anything happens.
pub(crate) fn spec(spec: &Spec) -> Result<(), Error> {
    refuse(&[
        ("windows", spec.windows().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
        ("uidMappings", spec.uid_mappings().is_some()),
        ("gidMappings", spec.gid_mappings().is_some()),
    ])?;
    spec.linux().as_ref().map_or(Ok(()), linux)?;
    spec.process().as_ref().map_or(Ok(()), process)
}

fn linux(linux: &Linux) -> Result<(), Error> {
    let label = linux.mount_label().as_deref().is_some_and(|label| !label.is_empty());
    refuse(&[
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.mountLabel (SELinux)", label),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().is_some()),
        ("linux.personality", linux.personality().is_some()),
    ])
}

/// Looks at a process.
pub(crate) fn process(process: &Process) -> Result<(), Error> {
    let label = process.selinux_label().as_deref().is_some_and(|label| !label.is_empty());
    refuse(&[
        ("process.selinuxLabel", label),
        ("process.ioPriority", process.io_priority().is_some()),
        ("process.scheduler", process.scheduler().is_some()),
        ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
        ("process.commandLine", process.command_line().is_some()),
    ])?;
    if process.args().as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid("process.args", "must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::invalid("process.cwd", format!("{:?} is not an absolute path", process.cwd())));
    }
    Ok(())
}

/// Names belong to a UTS namespace: without a private one they would be the host's.
pub(crate) fn names(spec: &Spec, private: Namespaces) -> Result<(), Error> {
    let given = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    if private.contains(Namespaces::UTS) {
        return Ok(());
    }
    match (given(spec.hostname()), given(spec.domainname())) {
        (true, _) => Err(Error::invalid("hostname", "it needs a private UTS namespace")),
        (_, true) => Err(Error::invalid("domainname", "it needs a private UTS namespace")),
        _ => Ok(()),
    }
}

fn refuse(fields: &[(&str, bool)]) -> Result<(), Error> {
    match fields.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(Error::unsupported(*field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Spec {
        serde_json::from_str(json).expect("a configuration")
    }

    #[test]
    fn unsupported_field_is_refused_by_name() {
        let asked = parsed(
            r#"{"ociVersion":"1.2.0","linux":{"intelRdt":{}},
                "process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["a"]}}"#,
        );
        assert_eq!(spec(&asked).expect_err("refused").to_string(), "linux.intelRdt is not supported");
    }

    #[test]
    fn relative_working_directory_is_refused() {
        let asked =
            parsed(r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"cwd":"x","args":["a"]}}"#);
        assert!(spec(&asked).expect_err("refused").to_string().contains("not an absolute path"));
    }

    #[test]
    fn process_without_arguments_is_refused() {
        let asked =
            parsed(r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"cwd":"/","args":[]}}"#);
        assert!(spec(&asked).expect_err("refused").to_string().contains("process.args"));
    }
}
