//! Corten in one binary; the first argument, or the name it is called by, picks what it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that makes a thread.
    match std::env::args_os().nth(1) {
        Some(argument) if argument == "shim" => runtime::supervisor::main(),
        _ => ExitCode::FAILURE,
    }
}
