//! What programs do not take over from whoever starts them: the terminal, the umask.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::fs::Mode;

/// Starts `command` in a session of its own, so that neither the terminal's signals nor its end reach it.
///
/// # Errors
/// What starting the program fails with.
pub fn spawn_detached(command: &mut Command) -> std::io::Result<Child> {
    // SAFETY: between fork and exec only `setsid` is called, which is async-signal-safe and allocates nothing.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
    command.spawn()
}

/// Lets `command` make files with this umask, whatever this process has.
pub fn set_umask(command: &mut Command, mask: u32) {
    let mask = Mode::from_raw_mode(mask);
    // SAFETY: between fork and exec only `umask` is called, which is async-signal-safe, allocates nothing and cannot fail.
    unsafe {
        command.pre_exec(move || {
            rustix::process::umask(mask);
            Ok(())
        })
    };
}
