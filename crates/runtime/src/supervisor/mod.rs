//! The supervisor of one container: `corten shim`.
//!
//! One thread waits for everything: signals, control connections, the outputs of the container's processes, the sockets of
//! attached clients. It owns the container's standard streams, writes its log and reaps it, so that neither needs the
//! engine. What it is told and tells is in [`shim`].
//!
//! ```text
//!  pipe or terminal ──read──> log file            (first, so that it has everything)
//!                        └──> each attached client (a slow one holds the stream back, a dead one is dropped)
//!  client ──read──> detach keys ──> standard input (a process that does not read holds the client back)
//! ```
//!
//! The end of the first process: its outputs are drained, the record is written, the groups are removed, control
//! clients are told, attached clients get what they have not read yet, and the supervisor ends.

mod attached;
mod control;
mod detach;
mod ending;
mod logging;
mod names;
mod netns;
mod poll;
mod process;
mod relay;
mod requests;
mod services;
mod state;
mod stdio;
mod streams;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::getpid;

use state::Supervisor;

use crate::cgroup::{Cgroup, CgroupError};

/// The descriptor of the first control connection.
const CONTROL: i32 = 3;

/// Blocks above this are given back to the kernel when they are freed.
const MAPPED_BLOCKS: i32 = 64 << 10;

/// The kernel shall take any process before a supervisor.
const OOM_SCORE_ADJUST: &str = "-999";

/// Runs `corten shim <place of an ID>` with the first control connection as descriptor 3, `corten shim --compress <file>`, or
/// `corten shim --clean-up <cgroup>` in place of a supervisor that was killed.
///
/// To be called before the process has a second thread.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let result = match arguments.as_slice() {
        [option, path] if option == logging::COMPRESS => logging::compress_file(Path::new(path))
            .map_err(|error| format!("cannot compress {path:?}: {error}")),
        [option, cgroup] if option == shim::spawn::CLEAN_UP => {
            clean_up(Path::new(cgroup)).map_err(|error| format!("control group {cgroup:?}: {error}"))
        }
        [_place_of_id] => supervise().map_err(|error| format!("supervisor: {error}")),
        _ => Err("usage: corten shim ID, as the engine starts it".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format_args!("{message}"));
            ExitCode::FAILURE
        }
    }
}

/// What a supervisor does at its container's end, for one that cannot any more.
fn clean_up(cgroup: &Path) -> Result<(), CgroupError> {
    let cgroup = Cgroup::open(&cgroup.to_string_lossy())?;
    cgroup.kill_all()?;
    cgroup.remove()
}

fn supervise() -> io::Result<()> {
    let control = take_control()?;
    sys::allocator::map_blocks_above(MAPPED_BLOCKS);
    rustix::process::set_child_subreaper(Some(getpid()))?;
    rustix::process::chdir("/")?;
    protect_from_the_killer();
    let _ = rustix::thread::set_name(c"corten-shim");
    Supervisor::new(control)?.run()
}

/// Lets the kernel take any process before this one when memory runs out.
fn protect_from_the_killer() {
    match fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJUST) {
        // Inside a container of less privilege the engine cannot do better.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            complain(format_args!("cannot set oom_score_adj: {error}"));
        }
        _ => {}
    }
}

/// Shows for whom this process works, and complains to where its container's engine looks. Before it has a container, it has
/// nothing to complain about.
fn belong_to(config: &shim::Config) {
    // Nothing depends on how it is shown.
    let _ = sys::title::set_arguments(&["corten", "shim", &config.id]);
    let log = config.run_dir.join(shim::spawn::LOG_FILE);
    if let Ok(log) = fs::File::options().append(true).create(true).mode(0o600).open(log) {
        let _ = sys::process::install(log.as_fd(), 2);
    }
}

/// The first control connection.
fn take_control() -> io::Result<OwnedFd> {
    let control = sys::spawn::inherited(CONTROL)?;
    rustix::net::sockopt::socket_type(&control)?;
    Ok(control)
}

/// Writes to the supervisor's own log. A full disk is no reason to stop.
fn complain(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{} {message}", shim::log::rfc3339(shim::log::now()));
}
