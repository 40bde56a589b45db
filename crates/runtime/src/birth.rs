//! What a parent does for a process that it has just made and that is not allowed to do it itself.

use std::fs;
use std::os::fd::OwnedFd;

use oci::runtime::{PosixRlimit, PosixRlimitType};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Pid, Resource, Rlimit};
use sys::namespace::{Namespaces, join};
use sys::process::{Child, SingleThreaded};

use crate::error::{Error, Step};
use crate::gate::{ParentSide, Report};

/// Keeps processes of containers from looking into this process and the copies of it that become theirs.
pub(crate) fn hide() -> Result<(), Error> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("become undumpable")
}

/// Makes a child in an existing PID namespace, where one is given: only children can be in another one.
pub(crate) fn in_pid_namespace(
    thread: SingleThreaded,
    namespace: Option<&OwnedFd>,
    make: impl FnOnce() -> sys::Result<Child>,
) -> Result<Child, Error> {
    let Some(namespace) = namespace else { return make().step("make the container's process") };
    let own = fs::File::open("/proc/self/ns/pid").step("open the PID namespace")?;
    join(thread, namespace, Namespaces::PID).step("join the PID namespace")?;
    let made = make().step("make the container's process");
    join(thread, own, Namespaces::PID).step("leave the PID namespace")?;
    made
}

/// Waits until the process stands at the gate; the hooks it asks for are run by `hooks`.
pub(crate) fn await_ready(
    side: &ParentSide,
    mut hooks: impl FnMut() -> Result<(), Error>,
) -> Result<Option<OwnedFd>, Error> {
    loop {
        match side.listen()? {
            Report::Hooks => hooks()?,
            Report::Ready(terminal) => return Ok(terminal),
            Report::Failed(failure) => return Err(Error::Process(failure)),
            Report::End => return Err(Error::Ended { stage: "setting up" }),
        }
    }
}

/// Ends a process that cannot be finished, and prefers its own account of why.
pub(crate) fn abandon(child: &Child, side: &ParentSide, error: Error) -> Error {
    let own = reported(side);
    let _ = sys::process::signal(&child.pidfd, rustix::process::Signal::KILL.as_raw());
    let _ = sys::process::wait(&child.pidfd);
    own.unwrap_or(error)
}

fn reported(side: &ParentSide) -> Option<Error> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&side.0, PollFlags::IN)], Some(&now));
    match ready.is_ok_and(|ready| ready > 0).then(|| side.listen()) {
        Some(Ok(Report::Failed(failure))) => Some(Error::Process(failure)),
        _ => None,
    }
}

/// Sets how willingly the kernel kills it for want of memory.
pub(crate) fn set_oom_score(pid: i32, adjust: Option<i32>) -> Result<(), Error> {
    let Some(adjust) = adjust else { return Ok(()) };
    fs::write(format!("/proc/{pid}/oom_score_adj"), adjust.to_string())
        .step_with(|| format!("set oom_score_adj to {adjust}"))
}

/// Sets the limits of a process, or of the calling one. Late, because they hold for the rest of its set-up too.
pub(crate) fn set_limits(pid: Option<i32>, limits: &[PosixRlimit]) -> Result<(), Error> {
    for limit in limits {
        let value = |value: u64| Some(value).filter(|value| *value != u64::MAX);
        let new = Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) };
        rustix::process::prlimit(pid.and_then(Pid::from_raw), resource(limit.typ()), new)
            .step_with(|| format!("set {} to {}:{}", limit.typ(), limit.soft(), limit.hard()))?;
    }
    Ok(())
}

fn resource(typ: PosixRlimitType) -> Resource {
    match typ {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}
