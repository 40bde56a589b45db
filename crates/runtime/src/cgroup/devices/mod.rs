//! Which device nodes a container may make, read and write.

mod program;
mod rules;

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use oci::runtime::LinuxResources;

use super::{Cgroup, CgroupError, UnifiedGroup, file};
use rules::{Exception, RuleSet};

/// Restricts fresh groups.
pub(super) fn restrict(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let target = RuleSet::of_container(resources.devices().as_deref().unwrap_or_default())?;
    if let Some(directory) = cgroup.v1_directory("devices") {
        return restrict_v1(directory, &target);
    }
    match &cgroup.unified {
        Some(_) if target.allows_everything() => Ok(()),
        Some(group) => attach(group, &target),
        None => Err(missing()),
    }
}

/// Changes the restrictions of groups in use.
pub(super) fn update(cgroup: &Cgroup, resources: &LinuxResources) -> Result<(), CgroupError> {
    let target = RuleSet::of_container(resources.devices().as_deref().unwrap_or_default())?;
    if let Some(directory) = cgroup.v1_directory("devices") {
        let current = RuleSet::parse_list(&file::read(&directory.join("devices.list"))?)?;
        return if current.default_allow == target.default_allow {
            change_v1(directory, &current, &target)
        } else {
            restrict_v1(directory, &target)
        };
    }
    match &cgroup.unified {
        Some(group) => replace(group, &target),
        None => Err(missing()),
    }
}

fn missing() -> CgroupError {
    CgroupError::unsupported(
        "devices",
        "this machine has no `devices` cgroup controller and no cgroup version 2",
    )
}

/// Sets the default, which clears all exceptions, and then the exceptions.
fn restrict_v1(directory: &Path, target: &RuleSet) -> Result<(), CgroupError> {
    if !target.default_allow {
        file::write(&directory.join("devices.deny"), "a")?;
        write_lines(directory, "devices.allow", target.exceptions.iter())
    } else if target.allows_everything() && is_unrestricted(directory)? {
        Ok(())
    } else {
        file::write(&directory.join("devices.allow"), "a")?;
        write_lines(directory, "devices.deny", target.exceptions.iter())
    }
}

fn is_unrestricted(directory: &Path) -> Result<bool, CgroupError> {
    Ok(file::read(&directory.join("devices.list"))?.trim() == "a *:* rwm")
}

/// Goes from one list of exceptions to another without a moment in which something allowed in both is denied.
fn change_v1(directory: &Path, current: &RuleSet, target: &RuleSet) -> Result<(), CgroupError> {
    let (add, drop) = if target.default_allow {
        ("devices.deny", "devices.allow")
    } else {
        ("devices.allow", "devices.deny")
    };
    write_lines(directory, add, target.exceptions.iter())?;
    let surplus: Vec<Exception> =
        current.exceptions.iter().filter_map(|exception| target.surplus(exception)).collect();
    write_lines(directory, drop, surplus.iter())
}

fn write_lines<'a>(
    directory: &Path,
    name: &str,
    exceptions: impl Iterator<Item = &'a Exception>,
) -> Result<(), CgroupError> {
    let path = directory.join(name);
    let mut file = file::open_for_writing(&path)?;
    for exception in exceptions {
        let line = exception.to_string();
        file.write_all(line.as_bytes()).map_err(|source| file::refused(&path, &line, source))?;
    }
    Ok(())
}

fn attach(group: &UnifiedGroup, target: &RuleSet) -> Result<(), CgroupError> {
    let program = sys::bpf::load_device_program(&program::compile(target))
        .map_err(|source| failed(group, "load", source))?;
    sys::bpf::attach_device_program(group.descriptor.as_fd(), program.as_fd())
        .map_err(|source| failed(group, "attach", source))
}

/// Attaches the new program before the old ones go: all attached programs must agree, so nothing is open in between.
fn replace(group: &UnifiedGroup, target: &RuleSet) -> Result<(), CgroupError> {
    let descriptor = group.descriptor.as_fd();
    let old =
        sys::bpf::attached_device_programs(descriptor).map_err(|source| failed(group, "query", source))?;
    if !target.allows_everything() {
        attach(group, target)?;
    }
    for id in old {
        let program = sys::bpf::program_by_id(id).map_err(|source| failed(group, "open", source))?;
        sys::bpf::detach_device_program(descriptor, program.as_fd())
            .map_err(|source| failed(group, "detach", source))?;
    }
    Ok(())
}

fn failed(group: &UnifiedGroup, action: &'static str, source: sys::Errno) -> CgroupError {
    CgroupError::DeviceProgram { action, path: group.path.clone(), source: source.into() }
}
