//! The OCI runtime by itself: runc's command line, for other engines; called `docker-init` it is the init program.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.first().and_then(|name| Path::new(name).file_name()) {
        Some(name) if name == "docker-init" => runtime::init::main(arguments),
        _ => runtime::cli::main(arguments),
    }
}
