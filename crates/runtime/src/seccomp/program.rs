//! A compiled filter.

use sys::seccomp::Instruction;

use super::SeccompError;
use super::compile;
use super::filter::Filter;

/// A compiled filter, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

impl Program {
    /// Compiles a filter.
    ///
    /// # Errors
    /// It comes to more instructions than the kernel takes.
    pub fn compile(filter: &Filter) -> Result<Self, SeccompError> {
        Ok(Self { instructions: compile::compile(filter)?, flags: filter.flags })
    }

    pub(super) fn from_parts(instructions: Vec<Instruction>, flags: u32) -> Self {
        Self { instructions, flags }
    }

    /// The program.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*` that it is loaded with.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Puts the calling thread, and what it starts, under the filter, for good. The thread needs `no_new_privs` or
    /// `CAP_SYS_ADMIN`. Allocates nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn load(&self) -> Result<(), SeccompError> {
        use super::spec::FLAG_SPEC_ALLOW;
        match sys::seccomp::load(&self.instructions, self.flags) {
            // Before Linux 4.17 there was nothing to leave to the program.
            Err(sys::Errno::INVAL) if self.flags & FLAG_SPEC_ALLOW != 0 => {
                sys::seccomp::load(&self.instructions, self.flags & !FLAG_SPEC_ALLOW)
            }
            other => other,
        }
        .map_err(|error| SeccompError::Load(error.into()))
    }
}
