//! System call filters, seccomp(2).

use crate::process::last_error;
use crate::{Errno, Result};

/// One instruction of classic BPF (`struct sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip where a comparison holds.
    pub jump_true: u8,
    /// How many where it does not.
    pub jump_false: u8,
    /// The constant operand.
    pub constant: u32,
}

#[repr(C)]
struct Program {
    length: libc::c_ushort,
    instructions: *const Instruction,
}

/// Puts the calling thread, and all it starts, under a filter. It needs `no_new_privs` or `CAP_SYS_ADMIN`. Flags are
/// `SECCOMP_FILTER_FLAG_*`, without those that return a descriptor. Allocates nothing.
///
/// # Errors
/// The kernel's: `EINVAL` for a program or flags it does not take, `EACCES` without either privilege.
pub fn load(instructions: &[Instruction], flags: u32) -> Result<()> {
    const SET_MODE_FILTER: libc::c_uint = 1;
    const RETURNS_DESCRIPTOR: u32 = 1 << 3;
    if flags & RETURNS_DESCRIPTOR != 0 {
        return Err(Errno::INVAL);
    }
    let length = libc::c_ushort::try_from(instructions.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { length, instructions: instructions.as_ptr() };
    // SAFETY: the pointer is to a `sock_fprog` whose length is that of the instructions; the kernel copies both and checks
    // the program before it uses it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, std::ptr::from_ref(&program)) };
    match result {
        0 => Ok(()),
        // With TSYNC a positive result is the thread that could not follow.
        1.. => Err(Errno::SRCH),
        _ => Err(last_error()),
    }
}
