//! Standard streams, and the terminal where one is asked for.

use std::os::fd::{AsFd, OwnedFd};

use sys::Errno;
use sys::mount::{Depth, DetachedMount};
use sys::pty::{Pty, control, resize};
use sys::root::Root;

use crate::container::Stdio;
use crate::error::{Error, Step};
use crate::process::install_stdio;

/// Installs the standard streams of the first process; returns the master of its terminal.
pub(crate) fn set_up(stdio: Stdio, root: &Root) -> Result<Option<OwnedFd>, Error> {
    set_up_with(stdio, root, bind_console)
}

/// The same for a further process, whose terminal is not `/dev/console`.
pub(crate) fn set_up_further(stdio: Stdio, root: &Root) -> Result<Option<OwnedFd>, Error> {
    set_up_with(stdio, root, |_, _| Ok(()))
}

fn set_up_with(
    stdio: Stdio,
    root: &Root,
    place: fn(&OwnedFd, &Root) -> Result<(), Errno>,
) -> Result<Option<OwnedFd>, Error> {
    let size = match stdio {
        Stdio::Descriptors(descriptors) => {
            rustix::process::setsid().step("start a session")?;
            install_stdio(descriptors)?;
            return Ok(None);
        }
        Stdio::Terminal(size) => size,
    };
    let pty = Pty::open_in(root).step("open a terminal")?;
    if let Some(size) = size {
        resize(&pty.master, size).step("set the size of the terminal")?;
    }
    place(&pty.slave, root).step("bind the terminal to /dev/console")?;
    control(pty.slave.as_fd()).step("control the terminal")?;
    let copy = || rustix::io::fcntl_dupfd_cloexec(&pty.slave, 3).step("install the terminal");
    install_stdio([copy()?, copy()?, copy()?])?;
    Ok(Some(pty.master))
}

fn bind_console(slave: &OwnedFd, root: &Root) -> Result<(), Errno> {
    let target = root.make_file("dev/console")?;
    DetachedMount::copy_of(slave, Depth::Single)?.attach(target)
}
