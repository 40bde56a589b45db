//! Turns the copy of the runtime that `clone3` made into the process that was asked for.

pub(crate) mod capabilities;
pub(crate) mod command;
pub(crate) mod user;

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, Uid};
use shim::User;
use sys::Errno;
use sys::root::Root;

use self::user::Identity;
use crate::birth;
use crate::error::{Error, Reason, Step};
use crate::filter::Filter;
use crate::plan::process::{ProcessPlan, c_strings};

/// The mask that a process starts with where none is asked for.
const DEFAULT_UMASK: u32 = 0o022;

/// A process all set up, one system call away from its program.
#[derive(Debug)]
pub(crate) struct Prepared {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// A filter that is loaded last.
    filter: Option<Filter>,
}

/// What else the process is made from.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The root it is in already.
    pub(crate) root: &'a Root,
    /// A user to look up there.
    pub(crate) user: Option<&'a User>,
    /// Its filter.
    pub(crate) filter: Option<Filter>,
    /// Whether it dies with its parent.
    pub(crate) dies_with_parent: bool,
    /// The `/proc/self/attr` of the host, for a security profile.
    pub(crate) attributes: Option<OwnedFd>,
}

/// Becomes the user, with that user's rights and no more. The order is what keeps each step allowed and none too late.
///
/// # Errors
/// Whatever of the plan is wrong inside this root, by kind.
pub(crate) fn prepare(plan: &ProcessPlan, surroundings: Surroundings<'_>) -> Result<Prepared, Error> {
    let identity = identity(plan, &surroundings)?;
    let environment = environment(plan, &identity);
    let Surroundings { mut filter, dies_with_parent, attributes, .. } = surroundings;
    apply_profile(plan, attributes)?;
    own_stdio(identity.uid)?;
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    } else if let Some(filter) = filter.take() {
        // Without no_new_privs the filter needs CAP_SYS_ADMIN, which is gone in a moment.
        filter.load()?;
    }
    birth::set_limits(None, &plan.limits)?;
    let entered = enter_directory(plan)?;
    let known = capabilities::drop_bounding(plan.capabilities.bounding)?;
    rustix::thread::set_keep_capabilities(true).step("keep capabilities")?;
    become_identity(&identity)?;
    if !entered {
        // A directory that only the user may enter, such as a volume of theirs.
        rustix::process::chdir(&plan.directory).step_with(|| chdir_step(plan))?;
    }
    verify_directory(plan)?;
    rustix::thread::set_keep_capabilities(false).step("keep no capabilities")?;
    capabilities::apply(plan.capabilities, known)?;
    rustix::process::umask(Mode::from_raw_mode(plan.user.umask().unwrap_or(DEFAULT_UMASK)));
    if dies_with_parent {
        // A change of identity has cleared it, where it was set before.
        let signal = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(signal)).step("set the parent death signal")?;
    }
    Ok(Prepared {
        program: command::find(&plan.arguments[0], &environment)?,
        arguments: c_strings("process.args", &plan.arguments)?,
        environment: c_strings("process.env", &environment)?,
        filter,
    })
}

/// Executes the program; returns only with what went wrong.
pub(crate) fn execute(prepared: Prepared, preserve_fds: u32) -> Error {
    if let Err(errno) = sys::process::close_from_on_exec(3 + preserve_fds) {
        return Error::Kernel { step: "close descriptors".to_owned(), source: Reason(errno) };
    }
    sys::process::reset_signals();
    if let Some(Err(error)) = prepared.filter.map(|filter| filter.load()) {
        return error;
    }
    let errno = sys::process::execute(&prepared.program, &prepared.arguments, &prepared.environment);
    command::execution_failure(&prepared.program.to_string_lossy(), errno)
}

fn identity(plan: &ProcessPlan, surroundings: &Surroundings<'_>) -> Result<Identity, Error> {
    if let Some(user) = surroundings.user {
        return user::look_up(surroundings.root, user);
    }
    let home = match has_home(plan) {
        true => String::new(),
        false => user::home(surroundings.root, plan.user.uid())?,
    };
    Ok(Identity {
        uid: plan.user.uid(),
        gid: plan.user.gid(),
        groups: plan.user.additional_gids().clone().unwrap_or_default(),
        home,
    })
}

fn has_home(plan: &ProcessPlan) -> bool {
    plan.environment.iter().any(|variable| variable.starts_with("HOME=") && variable.len() > 5)
}

/// Of a variable that is there twice the last one counts, as everywhere a shell is asked.
fn environment(plan: &ProcessPlan, identity: &Identity) -> Vec<String> {
    let mut environment: Vec<String> = Vec::with_capacity(plan.environment.len() + 1);
    for variable in &plan.environment {
        let name = variable.split_inclusive('=').next().unwrap_or_default();
        match environment.iter_mut().find(|earlier| earlier.starts_with(name)) {
            Some(earlier) if name.ends_with('=') => earlier.clone_from(variable),
            _ => environment.push(variable.clone()),
        }
    }
    if !has_home(plan) {
        environment.retain(|variable| variable != "HOME=");
        environment.push(format!("HOME={}", identity.home));
    }
    environment
}

fn apply_profile(plan: &ProcessPlan, attributes: Option<OwnedFd>) -> Result<(), Error> {
    let Some(profile) = &plan.apparmor else { return Ok(()) };
    let step = || format!("apply apparmor profile {profile:?}");
    let attributes = attributes.ok_or(Errno::NOENT).step_with(step)?;
    let write = |path: &str| {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
        let file = rustix::fs::openat(&attributes, path, flags, Mode::empty())?;
        rustix::io::write(&file, format!("exec {profile}").as_bytes()).map(|_| ())
    };
    match write("apparmor/exec") {
        Err(Errno::NOENT) => write("exec").step_with(step),
        result => result.step_with(step),
    }
}

/// The user can open `/dev/stdout` again only if it is theirs. What cannot be given away is left as it is.
fn own_stdio(uid: u32) -> Result<(), Error> {
    let null = rustix::fs::stat("/dev/null").ok();
    for descriptor in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let stat = rustix::fs::fstat(descriptor).step("look at standard streams")?;
        let is_null = null.as_ref().is_some_and(|null| null.st_rdev == stat.st_rdev && stat.st_rdev != 0);
        if is_null || stat.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(descriptor, Some(Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(errno).step("give standard streams to the user"),
        }
    }
    Ok(())
}

fn chdir_step(plan: &ProcessPlan) -> String {
    format!("chdir to cwd ({:?}) set in config.json failed", plan.directory)
}

/// Whether it could be entered with the rights of the runtime.
fn enter_directory(plan: &ProcessPlan) -> Result<bool, Error> {
    match rustix::process::chdir(&plan.directory) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno).step_with(|| chdir_step(plan)),
    }
}

/// A working directory outside of the root would be a way out of it (a leaked descriptor in the path).
fn verify_directory(plan: &ProcessPlan) -> Result<(), Error> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        _ => Err(Error::invalid(
            "process.cwd",
            format!("{:?} is outside of the container's root", plan.directory),
        )),
    }
}

fn become_identity(identity: &Identity) -> Result<(), Error> {
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    if !(groups.is_empty() && setgroups_is_denied()) {
        rustix::thread::set_thread_groups(&groups).step("set groups")?;
    }
    let gid = Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).step_with(|| format!("set gid {}", identity.gid))?;
    let uid = Uid::from_raw(identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).step_with(|| format!("set uid {}", identity.uid))
}

/// In a user namespace that an unprivileged user made.
fn setgroups_is_denied() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Makes three descriptors standard input, output and error, whatever their numbers are.
///
/// # Errors
/// As `dup2(2)`.
pub(crate) fn install_stdio(descriptors: [OwnedFd; 3]) -> Result<(), Error> {
    // One of them may have a number that an earlier one is about to take.
    let lifted = lift(descriptors)?;
    for (number, descriptor) in lifted.iter().enumerate() {
        sys::process::install(descriptor.as_fd(), number as u32).step("install standard streams")?;
    }
    Ok(())
}

fn lift(descriptors: [OwnedFd; 3]) -> Result<Vec<OwnedFd>, Error> {
    descriptors
        .into_iter()
        .map(|descriptor| {
            rustix::io::fcntl_dupfd_cloexec(&descriptor, 3).step("install standard streams").inspect(|_| {
                // A low number belongs to the process, not to this value.
                if std::os::fd::AsRawFd::as_raw_fd(&descriptor) < 3 {
                    std::mem::forget(descriptor);
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(environment: &[&str]) -> ProcessPlan {
        let json =
            serde_json::json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["x"], "env": environment});
        ProcessPlan::new(&serde_json::from_value(json).expect("a process")).expect("a plan")
    }

    fn with_home(environment_of: &[&str]) -> Vec<String> {
        let identity = Identity { uid: 0, gid: 0, groups: Vec::new(), home: "/root".to_owned() };
        environment(&plan(environment_of), &identity)
    }

    #[test]
    fn missing_or_empty_home_is_added() {
        assert_eq!(with_home(&["A=1"]), ["A=1", "HOME=/root"]);
        assert_eq!(with_home(&["HOME=", "A=1"]), ["A=1", "HOME=/root"]);
        assert_eq!(with_home(&["HOME=/x"]), ["HOME=/x"]);
    }

    #[test]
    fn last_of_equal_variables_counts() {
        assert_eq!(with_home(&["A=1", "HOME=/x", "A=2", "AB=3"]), ["A=2", "HOME=/x", "AB=3"]);
    }
}
