//! Development tasks: `cargo xtask test`, `cargo xtask ci`, `cargo xtask bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod checks;
mod conformance;
mod fuzz;
mod packages;
mod tests;
mod tools;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Corten's development tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the tests need and runs all of them; the last line has the counts
    Test(tests::Options),
    /// The whole check: format, lints, licences, tests
    Ci,
    /// Parsers of foreign input under a fuzzer; the last line has the counts
    Fuzz(fuzz::Options),
    /// Figures of Corten beside Debian's dockerd and the bare kernel
    Bench(bench::Options),
    /// What Debian's dockerd makes of the table of Dockerfiles, written into it
    RecordConformance(conformance::Options),
    /// What `bench` runs to measure the kernel alone
    #[command(hide = true)]
    Floor(bench::FloorOptions),
    /// What `bench` asks through published ports
    #[command(hide = true)]
    HttpServer(bench::ServerOptions),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Test(options) => tests::run(&options).map(report),
        Task::Ci => checks::run_all().map(report),
        Task::Fuzz(options) => fuzz::run(&options).map(report),
        Task::Bench(options) => bench::run(options).map(|()| ExitCode::SUCCESS),
        Task::RecordConformance(options) => conformance::record(&options).map(|()| ExitCode::SUCCESS),
        Task::Floor(options) => bench::run_floor(&options).map(|()| ExitCode::SUCCESS),
        Task::HttpServer(options) => bench::serve(&options).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Ends the output with the counts, alone on the last line.
fn report(counts: tests::Counts) -> ExitCode {
    println!("{counts}");
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
