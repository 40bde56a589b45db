//! Entering namespaces, and what belongs to them: identities, clocks, names, kernel parameters.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sys::namespace::{Namespaces, join, unshare};

use super::Plan;
use crate::error::{Error, Step};
use crate::gate::{ChildSide, Order};
use crate::plan::sysctl::Sysctl;

/// From the namespaces that `clone3` made to all that were asked for.
pub(super) fn enter(plan: &Plan<'_>, side: &ChildSide) -> Result<(), Error> {
    // Joined with the rights of the host, so before identities change.
    for (kind, handle) in &plan.namespaces.joined {
        join(plan.thread, handle, *kind).step_with(|| format!("join a {kind:?} namespace"))?;
    }
    if plan.namespaces.new.contains(Namespaces::USER) {
        side.expect(Order::Mapped);
        become_root()?;
    }
    if plan.namespaces.new.contains(Namespaces::CGROUP) {
        // Its root is where the process is now, so not with `clone3`, which knows the group of version 2 only.
        unshare(plan.thread, Namespaces::CGROUP).step("make a cgroup namespace")?;
    }
    if plan.namespaces.new.contains(Namespaces::TIME) {
        enter_time(plan)?;
    }
    if plan.namespaces.new.contains(Namespaces::NETWORK) {
        sys::network::raise_loopback().step("bring the loopback device up")?;
    }
    match plan.keyring.as_deref().map(sys::keyring::join_session) {
        // A kernel without keys has none to hide.
        None | Some(Ok(()) | Err(sys::Errno::NOSYS)) => Ok(()),
        Some(Err(errno)) => Err(errno).step("make a session keyring"),
    }
}

/// Becomes a user that the user namespace knows.
pub(crate) fn become_root() -> Result<(), Error> {
    let (gid, uid) = (rustix::fs::Gid::ROOT, rustix::fs::Uid::ROOT);
    set_thread_res_gid(gid, gid, gid).step("become group 0 of the user namespace")?;
    set_thread_res_uid(uid, uid, uid).step("become user 0 of the user namespace")?;
    set_thread_groups(&[]).step("drop the groups of the host")
}

/// Only children are born into a new time namespace, so this process joins the one that waits for them.
fn enter_time(plan: &Plan<'_>) -> Result<(), Error> {
    unshare(plan.thread, Namespaces::TIME).step("make a time namespace")?;
    if !plan.namespaces.time_offsets.is_empty() {
        std::fs::write("/proc/self/timens_offsets", &plan.namespaces.time_offsets)
            .step("set the offsets of the time namespace")?;
    }
    let handle = std::fs::File::open("/proc/self/ns/time_for_children").step("open the time namespace")?;
    join(plan.thread, handle, Namespaces::TIME).step("join the time namespace")
}

/// Sets host name and domain name.
pub(super) fn name(plan: &Plan<'_>) -> Result<(), Error> {
    if let Some(name) = plan.spec.hostname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).step("set the host name")?;
    }
    if let Some(name) = plan.spec.domainname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).step("set the domain name")?;
    }
    Ok(())
}

/// Writes kernel parameters through the host's procfs, which shows those of the process's own namespaces.
pub(super) fn write_sysctls(sysctls: &[Sysctl], host_proc: BorrowedFd<'_>) -> Result<(), Error> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    for sysctl in sysctls {
        let path = std::path::Path::new("sys").join(&sysctl.path);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let written = rustix::fs::openat2(host_proc, &path, flags, Mode::empty(), resolve)
            .and_then(|file| rustix::io::write(&file, sysctl.value.as_bytes()).map(|_| ()));
        written.step_with(|| format!("write sysctl {} = {:?}", sysctl.name, sysctl.value))?;
    }
    Ok(())
}
