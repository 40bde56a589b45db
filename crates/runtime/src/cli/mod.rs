//! `corten runtime`: an OCI runtime with runc's command line.
//!
//! Each container has a directory `<root>/<id>` with `state.json`, and with `start.sock` as long as its program waits
//! for `start`.

mod arguments;
mod console;
mod control;
mod create;
mod exec;
mod inspect;
mod log;
mod state;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use self::arguments::{Arguments, Command};
use self::log::Log;

/// What went wrong, as it is printed.
type Failure = Box<dyn std::error::Error>;

/// Runs one command; `arguments` begin with the name of the program.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Err(error) = protect(&arguments) {
        eprintln!("cannot protect the executable of the runtime: {error}");
        return ExitCode::FAILURE;
    }
    let parsed = match Arguments::try_parse_from(with_own_name(arguments)) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let log = Log::new(&parsed.global);
    match run(parsed) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Executed through the path of its mount the program has no useful name of its own.
fn with_own_name(mut arguments: Vec<OsString>) -> Vec<OsString> {
    match arguments.first_mut() {
        Some(first) => *first = OsString::from("corten runtime"),
        None => arguments.push(OsString::from("corten runtime")),
    }
    arguments
}

/// Containers must not reach the file that is executed here, see [`sys::process::execute_protected`].
///
/// # Errors
/// What the kernel refused.
fn protect(_: &[OsString]) -> Result<(), sys::Errno> {
    let c_string = |string: OsString| CString::new(string.into_vec()).map_err(|_| sys::Errno::INVAL);
    let arguments = std::env::args_os().map(c_string).collect::<Result<Vec<_>, _>>()?;
    let variables = std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        c_string(key)
    });
    sys::process::execute_protected(&arguments, &variables.collect::<Result<Vec<_>, _>>()?)
}

fn run(arguments: Arguments) -> Result<u8, Failure> {
    let global = arguments.global;
    if global.systemd_cgroup {
        return Err("--systemd-cgroup is not supported: control groups are made in the file system".into());
    }
    match arguments.command {
        Command::Create(asked) => create::create(&global, &asked).map(|()| 0),
        Command::Start(asked) => create::start(&global, &asked.id).map(|()| 0),
        Command::Run(asked) => create::run(&global, &asked),
        Command::Exec(asked) => exec::exec(&global, &asked),
        Command::State(asked) => inspect::state(&global, &asked.id).map(|()| 0),
        Command::List(asked) => inspect::list(&global, &asked).map(|()| 0),
        Command::Ps(asked) => inspect::processes(&global, &asked).map(|()| 0),
        Command::Events(asked) => inspect::events(&global, &asked).map(|()| 0),
        Command::Features => inspect::features().map(|()| 0),
        Command::Spec(asked) => inspect::spec(&asked).map(|()| 0),
        Command::Kill(asked) => control::kill(&global, &asked).map(|()| 0),
        Command::Delete(asked) => control::delete(&global, &asked).map(|()| 0),
        Command::Pause(asked) => control::pause(&global, &asked.id).map(|()| 0),
        Command::Resume(asked) => control::resume(&global, &asked.id).map(|()| 0),
        Command::Update(asked) => control::update(&global, &asked).map(|()| 0),
    }
}
