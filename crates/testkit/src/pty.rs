//! Driving a program on a terminal as a person at the keyboard does.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::cli::exit_code;
use crate::wait::wait_for_exit;

const LIMIT: Duration = Duration::from_secs(20);

/// A program with its own session and controlling terminal.
#[derive(Debug)]
pub struct Session {
    description: String,
    master: OwnedFd,
    child: Child,
    seen: Vec<u8>,
    /// Where the next [`expect`](Self::expect) starts to look.
    position: usize,
}

impl Session {
    /// Starts `command`, which must make its standard input its controlling terminal.
    pub(crate) fn start(description: String, mut command: Command) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("open a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock the terminal");
        set_size(&master, 80, 24);
        let name = ptsname(&master, Vec::new()).expect("name of the terminal");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
            .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
            .expect("open the terminal's other side");
        let another = || slave.try_clone().expect("duplicate a descriptor");
        let child = command
            .env("TERM", "xterm")
            .stdin(another())
            .stdout(another())
            .stderr(another())
            .spawn()
            .unwrap_or_else(|error| panic!("start {description}: {error}"));
        Self { description, master, child, seen: Vec::new(), position: 0 }
    }

    /// Types.
    pub fn send(&mut self, keys: impl AsRef<[u8]>) {
        let mut rest = keys.as_ref();
        while !rest.is_empty() {
            let written = rustix::io::write(&self.master, rest).expect("write to the terminal");
            rest = &rest[written..];
        }
    }

    /// Types a line.
    pub fn send_line(&mut self, line: &str) {
        self.send(format!("{line}\r"));
    }

    /// Waits until `text` is on the screen, after what earlier calls found, and returns everything up to its end.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(found) = find(&self.seen[self.position..], text.as_bytes()) {
                let from = self.position;
                self.position += found + text.len();
                return String::from_utf8_lossy(&self.seen[from..self.position]).into_owned();
            }
            if !self.read_more(end) {
                panic!("{} did not show {text:?}; it showed {:?}", self.description, self.screen());
            }
        }
    }

    /// Everything shown since the start.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Changes the size of the terminal; the program is told as by a real one.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        set_size(&self.master, columns, rows);
    }

    /// Waits for the program's end, and returns its exit code and everything shown.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        let end = Instant::now() + LIMIT;
        while self.read_more(end) {}
        let Some(status) = wait_for_exit(&mut self.child, end.saturating_duration_since(Instant::now()))
        else {
            panic!("{} did not end; it showed {:?}", self.description, self.screen());
        };
        (exit_code(status), self.screen())
    }

    /// Reads what there is; false when the program has closed the terminal or nothing came until `end`.
    fn read_more(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).expect("a limit of some seconds");
        match poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&limit)) {
            Ok(0) => return false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("poll the terminal: {error}"),
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer) {
            // EIO is how Linux says that nobody has the other side open.
            Ok(0) | Err(Errno::IO) => false,
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                true
            }
            Err(Errno::INTR) => true,
            Err(error) => panic!("read the terminal: {error}"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Fails only when the program ended in between.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn set_size(master: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("set the terminal's size");
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use crate::cli::Command;

    #[test]
    fn shell_sees_a_terminal_and_its_size() {
        let mut session = Command::new("sh").pty();
        session.send_line("stty size; tty >/dev/null && echo is-a-tty");
        session.expect("24 80");
        session.expect("\r\nis-a-tty");
        session.resize(101, 37);
        session.send_line("stty size");
        session.expect("37 101");
        session.send_line("exit 4");
        assert_eq!(session.finish().0, 4);
    }

    #[test]
    fn control_c_interrupts_the_foreground() {
        let mut session = Command::new("sh").args(["-c", "echo ready; exec sleep 60"]).pty();
        session.expect("ready");
        session.send([3]);
        assert_eq!(session.finish().0, 130);
    }
}
