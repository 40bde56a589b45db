//! The init program of `--init`: starts one program, passes signals on to it, and reaps whatever else ends.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use sys::Errno;
use sys::process::{Child, Ended, SingleThreaded, SpawnOptions};
use sys::signalfd::SignalFd;

use crate::error::Reason;
use crate::process::command;

/// `docker-init -- program arguments…`; the exit code is the program's, 127 where it does not exist, and 126 where it
/// cannot be executed.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == "--") {
        arguments.next();
    }
    let arguments: Result<Vec<CString>, _> =
        arguments.map(|argument| CString::new(argument.into_vec())).collect();
    let arguments = arguments.expect("arguments of a program have no NUL bytes");
    if arguments.is_empty() {
        eprintln!("docker-init: a program is missing");
        return ExitCode::FAILURE;
    }
    match supervise(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(errno) => {
            eprintln!("docker-init: {}", Reason(errno));
            ExitCode::FAILURE
        }
    }
}

/// All that can be passed on; the faults of this program itself are its own.
fn forwarded() -> Vec<i32> {
    let own = [
        Signal::KILL,
        Signal::STOP,
        Signal::SEGV,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::TRAP,
        Signal::ABORT,
        Signal::SYS,
    ]
    .map(Signal::as_raw);
    // 32 and 33 are those of the C library.
    (1..=64).filter(|signal| !own.contains(signal) && !(32..34).contains(signal)).collect()
}

fn supervise(arguments: &[CString]) -> sys::Result<u8> {
    let signals = SignalFd::new(&forwarded()).map_err(sys::process::errno)?;
    let child =
        sys::process::spawn(SingleThreaded::check()?, SpawnOptions::default(), || execute(arguments))?;
    loop {
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        while let Some(signal) = signals.take().map_err(sys::process::errno)? {
            if signal != Signal::CHILD.as_raw() {
                let _ = sys::process::signal(&child.pidfd, signal);
            } else if let Some(ended) = reap(&child)? {
                return Ok(match ended {
                    Ended::Exited(code) => code,
                    Ended::Killed(signal) => 128 + signal,
                });
            }
        }
    }
}

/// Reaps all that ended; how the program itself did.
fn reap(child: &Child) -> sys::Result<Option<Ended>> {
    let mut own = None;
    loop {
        match sys::process::reap_any() {
            Ok(Some((pid, ended))) if pid == child.pid => own = Some(ended),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(own),
            Err(errno) => return Err(errno),
        }
    }
}

fn execute(arguments: &[CString]) -> i32 {
    // In its own process group, and in the foreground where there is a terminal.
    let _ = rustix::process::setpgid(None, None);
    // SIGTTOU, which answers this to a process in the background, is blocked here still.
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
    sys::process::reset_signals();
    let environment: Vec<String> = std::env::vars_os()
        .filter_map(|(key, value)| Some(format!("{}={}", key.to_str()?, value.to_str()?)))
        .collect();
    let name = arguments[0].to_string_lossy();
    let error = match command::find(&name, &environment) {
        Ok(program) => {
            let environment = environment.iter().filter_map(|variable| CString::new(variable.as_str()).ok());
            let errno = sys::process::execute(&program, arguments, &environment.collect::<Vec<_>>());
            command::execution_failure(&program.to_string_lossy(), errno)
        }
        Err(error) => error,
    };
    eprintln!("docker-init: {error}");
    match error.kind() {
        shim::FailureKind::CommandNotFound => 127,
        _ => 126,
    }
}
