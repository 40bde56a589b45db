//! Pseudo-terminals.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::root::Root;
use crate::{Errno, Result};

/// What `fstatfs` says of a devpts, see linux/magic.h.
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of whoever drives the terminal.
    pub master: OwnedFd,
    /// The end of the programs that run in it.
    pub slave: OwnedFd,
}

impl Pty {
    /// Opens a new pseudo-terminal of the devpts at `/dev/pts` in a root.
    ///
    /// # Errors
    /// `ENODEV` where no devpts is mounted there.
    pub fn open_in(root: &Root) -> Result<Self> {
        let master = root.open("dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC)?;
        if rustix::fs::fstatfs(&master)?.f_type != DEVPTS_SUPER_MAGIC {
            return Err(Errno::NODEV);
        }
        Self::from_master(master)
    }

    /// Opens a new pseudo-terminal of the system's own devpts.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open() -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        Self::from_master(rustix::fs::open("/dev/ptmx", flags, Mode::empty())?)
    }

    fn from_master(master: OwnedFd) -> Result<Self> {
        unlockpt(&master)?;
        let slave =
            ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        Ok(Self { master, slave })
    }
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// Sets the size of a terminal, of which either end is given; programs in it get `SIGWINCH`.
///
/// # Errors
/// `ENOTTY` where it is no terminal.
pub fn resize(terminal: impl AsFd, size: Size) -> Result<()> {
    tcsetwinsize(terminal, Winsize { ws_col: size.width, ws_row: size.height, ws_xpixel: 0, ws_ypixel: 0 })
}

/// Starts a session with this terminal as the controlling one.
///
/// # Errors
/// `EPERM` where the process leads a session or group already, or the terminal belongs to another session.
pub fn control(slave: BorrowedFd<'_>) -> Result<()> {
    rustix::process::setsid()?;
    ioctl_tiocsctty(slave)
}
