//! `corten daemon`, or the program called as `dockerd`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use server::daemon::{Arguments, run};

/// Runs the daemon with these arguments, the program's name first.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_help = !error.use_stderr();
            let _ = error.print();
            return if is_help { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to start daemon: {error}");
            ExitCode::FAILURE
        }
    }
}
