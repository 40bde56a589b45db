//! The user's terminal: raw mode, size, and the keys that detach.

mod hidden;
mod keys;
mod raw;
mod signals;

pub(crate) use hidden::HiddenInput;
pub(crate) use keys::{DetachKeys, EscapeMatcher, Matched};
pub(crate) use raw::{RawMode, restore};
pub(crate) use signals::{Signals, resizes};

use std::os::fd::AsFd;

use rustix::termios::{isatty, tcgetwinsize};

/// Rows and columns of the terminal at `fd`, if it is one.
pub(crate) fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = tcgetwinsize(fd).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    isatty(rustix::stdio::stdin())
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    isatty(rustix::stdio::stdout())
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    isatty(rustix::stdio::stderr())
}
