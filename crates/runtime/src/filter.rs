//! Which system call filter a process gets.

use oci::runtime::Linux;
use shim::SeccompProfile;

use crate::container::SeccompSource;
use crate::error::Error;
use crate::plan::validate;
use crate::process::capabilities::CapabilityPlan;

/// A compiled filter.
#[derive(Debug)]
pub(crate) enum Filter {}

impl Filter {
    pub(crate) fn load(self) -> Result<(), Error> {
        match self {}
    }
}

/// Compiles what a source names, or takes it from the cache.
pub(crate) fn compile(
    source: SeccompSource<'_>,
    linux: Option<&Linux>,
    _capabilities: &CapabilityPlan,
) -> Result<Option<Filter>, Error> {
    let asked = match source {
        SeccompSource::None => false,
        SeccompSource::Profile { profile, .. } => *profile != SeccompProfile::Unconfined,
        SeccompSource::Spec => linux.is_some_and(|linux| linux.seccomp().is_some()),
    };
    validate::refuse(&[("linux.seccomp", asked)]).map(|()| None)
}
