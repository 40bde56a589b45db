//! System call filters: profiles in Docker's JSON format, those of the OCI specification, and the built-in default, compiled
//! to classic BPF here rather than by a library, whose compilation alone takes longer than a whole container's start.
//!
//! ```text
//! built-in table ──┐
//! Docker's JSON  ──┼─> Filter ─> Program ─> load
//! linux.seccomp  ──┘      (filter.rs)  (compile.rs)
//! ```
//!
//! Programs are kept in a cache directory, in a file named by a digest of everything they were made from.

mod arch;
mod cache;
mod compile;
mod default;
mod docker;
mod filter;
mod program;
mod spec;
#[cfg(test)]
mod tests;

use std::io;

use oci::capability;
use oci::runtime::{Capability, LinuxSeccomp};
use shim::SeccompProfile;

pub use arch::{Abi, Machine, X32_BIT};
pub use cache::cached;
pub use filter::{Action, Comparison, Condition, Filter, Rule, Width};
pub use program::Program;

/// A profile that cannot be compiled, or a program that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Not JSON, or not of a profile's form.
    #[error("decoding seccomp profile failed: {0}")]
    Json(#[from] serde_json::Error),
    /// Something valid that is not supported.
    #[error("seccomp: {0} is not supported")]
    Unsupported(&'static str),
    /// Two fields that exclude each other.
    #[error("both '{0}' and '{1}' are specified in the seccomp profile, use either '{0}' or '{1}'")]
    Conflict(&'static str, &'static str),
    /// A kernel version that is none.
    #[error("seccomp: {0:?} is not a kernel version")]
    KernelVersion(String),
    /// An error number beyond what the kernel can return.
    #[error("seccomp: error number {0} is above 4095")]
    Errno(u32),
    /// An argument beyond the sixth.
    #[error("seccomp: a system call has no argument {0}")]
    Argument(usize),
    /// More instructions than the kernel takes.
    #[error("seccomp: the profile compiles to {0} instructions, and the kernel takes 4096")]
    TooLarge(usize),
    /// The running kernel's version cannot be read.
    #[error("seccomp: cannot read the kernel's version {0:?}")]
    Release(String),
    /// The kernel refused the program.
    #[error("cannot load the seccomp filter: {0}")]
    Load(io::Error),
}

/// A kernel's major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl KernelVersion {
    /// That of the running kernel.
    ///
    /// # Errors
    /// It has a name that does not begin with two numbers.
    pub fn running() -> Result<Self, SeccompError> {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        Self::parse(&release).ok_or_else(|| SeccompError::Release(release.into_owned()))
    }

    /// Reads `major.minor`, whatever follows.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.split_once('.')?;
        let minor = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// For whom a profile is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bounding set, a bit for each capability.
    capabilities: u64,
    /// The machine.
    pub machine: Machine,
    /// Its kernel.
    pub kernel: KernelVersion,
}

impl Target {
    /// A process with this bounding set, a bit for each capability's number, on this machine.
    ///
    /// # Errors
    /// The machine's architecture is not supported.
    pub fn native(capabilities: u64) -> Result<Self, SeccompError> {
        Ok(Self { capabilities, machine: Machine::native()?, kernel: KernelVersion::running()? })
    }

    /// A process with this bounding set on any machine.
    pub fn new<'a>(
        bounding: impl IntoIterator<Item = &'a Capability>,
        machine: Machine,
        kernel: KernelVersion,
    ) -> Self {
        let capabilities = bounding.into_iter().fold(0, |set, capability| set | bit(*capability));
        Self { capabilities, machine, kernel }
    }

    fn has(&self, capability: Capability) -> bool {
        self.capabilities & bit(capability) != 0
    }
}

fn bit(capability: Capability) -> u64 {
    1 << capability::number(capability)
}

/// Compiles the built-in profile.
pub fn compile_default(target: &Target) -> Result<Program, SeccompError> {
    Program::compile(&default::filter(target))
}

/// Compiles a profile in Docker's JSON format. `None` where it asks for nothing.
///
/// # Errors
/// Text that is no profile, and what is not supported (`SCMP_ACT_NOTIFY`).
pub fn compile_docker_json(profile: &str, target: &Target) -> Result<Option<Program>, SeccompError> {
    docker::filter(profile, target)?.map(|filter| Program::compile(&filter)).transpose()
}

/// Compiles `linux.seccomp` of a container's configuration, for this machine. `None` where it asks for nothing.
///
/// # Errors
/// What is not supported (`SCMP_ACT_NOTIFY`, a listener).
pub fn compile_spec(seccomp: &LinuxSeccomp) -> Result<Option<Program>, SeccompError> {
    spec::filter(seccomp, Machine::native()?)?.map(|filter| Program::compile(&filter)).transpose()
}

/// Compiles a profile of any kind. `None` where there is nothing to load.
pub fn compile(profile: &SeccompProfile, target: &Target) -> Result<Option<Program>, SeccompError> {
    match profile {
        SeccompProfile::Unconfined => Ok(None),
        SeccompProfile::Default => compile_default(target).map(Some),
        SeccompProfile::Custom(json) => compile_docker_json(json, target),
    }
}
