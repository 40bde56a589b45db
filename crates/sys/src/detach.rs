//! Programs that outlive the terminal they were started from.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a session of its own, so that neither the terminal's signals nor its end reach it.
///
/// # Errors
/// What starting the program fails with.
pub fn spawn_detached(command: &mut Command) -> std::io::Result<Child> {
    // SAFETY: between fork and exec only `setsid` is called, which is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
    command.spawn()
}
