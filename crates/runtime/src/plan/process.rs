//! What a process is to be, apart from its user, which is known only inside the root.

use std::ffi::CString;
use std::path::PathBuf;

use oci::runtime::{PosixRlimit, Process};

use crate::error::Error;
use crate::process::capabilities::CapabilityPlan;

/// A process, ready to be set up.
#[derive(Debug)]
pub(crate) struct ProcessPlan {
    /// The program's name and arguments.
    pub(crate) arguments: Vec<String>,
    /// Its environment; `HOME` is added later where it is missing.
    pub(crate) environment: Vec<String>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// Numbers of user and groups, unless a name is to be looked up.
    pub(crate) user: oci::runtime::User,
    /// What it may do.
    pub(crate) capabilities: CapabilityPlan,
    /// Whether `execve` may give it more.
    pub(crate) no_new_privileges: bool,
    /// Limits that it sets itself; empty where its parent does.
    pub(crate) limits: Vec<PosixRlimit>,
    /// How willingly the kernel kills it for want of memory.
    pub(crate) oom_score_adjust: Option<i32>,
    /// Its AppArmor profile.
    pub(crate) apparmor: Option<String>,
}

impl ProcessPlan {
    /// # Errors
    /// Strings that cannot be passed to a program.
    pub(crate) fn new(process: &Process) -> Result<Self, Error> {
        Ok(Self {
            arguments: process.args().clone().unwrap_or_default(),
            environment: process.env().clone().unwrap_or_default(),
            directory: process.cwd().clone(),
            user: process.user().clone(),
            capabilities: CapabilityPlan::new(process.capabilities().as_ref()),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            limits: limits(process)?,
            oom_score_adjust: process.oom_score_adj(),
            apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        })
    }
}

fn limits(process: &Process) -> Result<Vec<PosixRlimit>, Error> {
    let limits = process.rlimits().clone().unwrap_or_default();
    for (index, limit) in limits.iter().enumerate() {
        if limits[..index].iter().any(|earlier| earlier.typ() == limit.typ()) {
            return Err(Error::invalid("process.rlimits", format!("{} is there twice", limit.typ())));
        }
    }
    Ok(limits)
}

/// Strings as `execve` takes them.
///
/// # Errors
/// A string with a NUL byte.
pub(crate) fn c_strings(field: &str, strings: &[String]) -> Result<Vec<CString>, Error> {
    strings
        .iter()
        .map(|string| CString::new(string.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::invalid(field, "a string with a NUL byte"))
}
