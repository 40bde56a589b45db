//! Session keyrings.

use std::ffi::CStr;

use crate::Result;
use crate::process::last_error;

/// Gives this process a new session keyring, so that it finds no key of whoever started it, and lets processes of its
/// user search it.
///
/// # Errors
/// As `keyctl(KEYCTL_JOIN_SESSION_KEYRING)`: `ENOSYS` where the kernel has no keys, `EDQUOT`.
pub fn join_session(name: &CStr) -> Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    const SET_PERMISSIONS: libc::c_long = 5;
    /// All for the possessor; view, read and search for the owner, as a session keyring is made without the last.
    const PERMISSIONS: libc::c_long = 0x3f0b_0000;
    // SAFETY: the name is a valid string for the duration of the call.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    if key == -1 {
        return Err(last_error());
    }
    // SAFETY: the call takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, SET_PERMISSIONS, key, PERMISSIONS) };
    if result == -1 { Err(last_error()) } else { Ok(()) }
}
