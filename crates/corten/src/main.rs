//! Corten in one binary; the first argument, or the name it is called by, picks what it is.

mod daemon;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything that makes a thread.
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called = arguments.first().and_then(|name| Path::new(name).file_name()).unwrap_or_default();
    match called.to_str() {
        Some("dockerd") => return daemon::main(std::env::args_os()),
        Some("docker-init") => return runtime::init::main(arguments),
        Some("corten-runtime") => return runtime::cli::main(arguments),
        _ => {}
    }
    match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some("shim") => runtime::supervisor::main(),
        Some("runtime") => runtime::cli::main(arguments.into_iter().skip(1).collect()),
        Some("daemon") => daemon::main(std::env::args_os().skip(1)),
        _ => cli::main(arguments),
    }
}
