//! Typing what nobody is to see.

use std::io::{self, BufRead as _};

use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// What switches a key of the terminal off (`_POSIX_VDISABLE`).
const NO_KEY: u8 = 0;

/// While it lives, the terminal at standard input shows nothing of what is typed. The key that interrupts ends the line,
/// so that the terminal can be given back before the program ends.
pub(crate) struct HiddenInput(Termios);

impl HiddenInput {
    /// `None` if standard input is no terminal.
    pub(crate) fn begin() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        let saved = tcgetattr(stdin).ok()?;
        let mut hidden = saved.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.special_codes[SpecialCodeIndex::VEOL] = saved.special_codes[SpecialCodeIndex::VINTR];
        hidden.special_codes[SpecialCodeIndex::VINTR] = NO_KEY;
        tcsetattr(stdin, OptionalActions::Flush, &hidden).ok()?;
        Some(Self(saved))
    }

    /// Reads a line, with what ended it, and gives the terminal back. If the line was interrupted, this program ends here,
    /// and with it all that the terminal would have ended.
    pub(crate) fn read_line(self) -> io::Result<String> {
        let mut stdin = io::stdin().lock();
        // A terminal gives one line at a time.
        let line = stdin.fill_buf()?.to_vec();
        stdin.consume(line.len());
        let key = self.0.special_codes[SpecialCodeIndex::VINTR];
        drop(self);
        if line.last() == Some(&key) {
            kill_current_process_group(Signal::INT)?;
        }
        String::from_utf8(line).map_err(io::Error::other)
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}
