//! Waiting with an end.

use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Asks again and again until `probe` answers, for at most `limit`; `None` when it never did.
pub fn eventually<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Waits for a child process for at most `limit`; `None` when it still runs.
pub fn wait_for_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    if let Some(status) = child.try_wait().expect("wait for a child") {
        return Some(status);
    }
    ends_within(Pid::from_child(child), limit).then(|| child.wait().expect("wait for a child"))
}

/// Whether a process, of whomever it is a child, ends within `limit`, or has ended.
pub(crate) fn ends_within(pid: Pid, limit: Duration) -> bool {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH) => return true,
        Err(error) => panic!("open process {pid:?}: {error}"),
    };
    let limit = Timespec::try_from(limit).expect("a limit of some minutes");
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)) {
            Ok(count) => return count > 0,
            Err(Errno::INTR) => {}
            Err(error) => panic!("poll a process: {error}"),
        }
    }
}
