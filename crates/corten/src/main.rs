//! Corten in one binary; the first argument, or the name it is called by, picks what it is.

mod daemon;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that makes a thread.
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some(OsStr::new("dockerd")) {
        return daemon::main(std::env::args_os());
    }
    match arguments.next() {
        Some(argument) if argument == "shim" => runtime::supervisor::main(),
        Some(argument) if argument == "daemon" => daemon::main(std::env::args_os().skip(1)),
        _ => ExitCode::FAILURE,
    }
}
