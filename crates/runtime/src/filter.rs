//! Which system call filter a process gets.

use oci::runtime::Linux;

use crate::container::SeccompSource;
use crate::error::Error;
use crate::process::capabilities::CapabilityPlan;
use crate::seccomp::{self, Program, Target};

/// A compiled filter.
#[derive(Debug)]
pub(crate) struct Filter(Program);

impl Filter {
    pub(crate) fn load(self) -> Result<(), Error> {
        Ok(self.0.load()?)
    }
}

/// Compiles what a source names, or takes it from the cache.
pub(crate) fn compile(
    source: SeccompSource<'_>,
    linux: Option<&Linux>,
    capabilities: &CapabilityPlan,
) -> Result<Option<Filter>, Error> {
    let program = match source {
        SeccompSource::None => None,
        SeccompSource::Profile { profile, cache } => {
            seccomp::cached(cache, profile, &Target::native(capabilities.bounding)?)?
        }
        SeccompSource::Spec => match linux.and_then(|linux| linux.seccomp().as_ref()) {
            Some(seccomp) => seccomp::compile_spec(seccomp)?,
            None => None,
        },
    };
    Ok(program.map(Filter))
}
