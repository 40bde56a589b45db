//! `cargo xtask fuzz`: parsers of foreign input under libFuzzer, with a stable toolchain.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;

mod seeds;

use crate::packages;
use crate::tests::Counts;
use crate::tools::{cargo, command, describe, root, run as run_tool};

/// What to fuzz, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// Seconds for each target [default: 30, or 10 for those of Dockerfiles, which do without files and processes]
    #[arg(long)]
    seconds: Option<u32>,
    /// Only these targets
    targets: Vec<String>,
}

impl Options {
    /// Every target, for as long as it usually takes.
    pub(crate) fn all() -> Self {
        Self { seconds: None, targets: Vec::new() }
    }
}

/// As in `fuzz/src/main.rs`, and the seconds that each usually takes.
const TARGETS: [(&str, u32); 9] = [
    ("manifest", 15),
    ("index", 15),
    ("tar", 15),
    ("decompress", 15),
    ("unpack", 15),
    ("context_archive", 15),
    ("dockerfile", 5),
    ("expand", 5),
    ("ignore", 5),
];

/// What the compiler inserts for libFuzzer: counters of edges, their addresses, and comparisons.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The compiler's target, which is named so that build scripts and procedural macros are not instrumented.
fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Megabytes; what a parser takes must be bounded. A zstd window may have 128.
const MEMORY: u32 = 512;
/// Bytes of one input.
const LENGTH: u32 = 64 << 10;
/// Seconds for one input.
const PATIENCE: u32 = 10;

/// Fuzzes, as many targets at a time as there are processors.
pub(crate) fn run(options: &Options) -> Result<Counts> {
    let chosen: Vec<Target> = match options.targets.as_slice() {
        [] => TARGETS.to_vec(),
        some => some.iter().map(|name| known(name)).collect::<Result<_>>()?,
    };
    packages::install(&[])?;
    let program = build()?;
    let scratch = scratch()?;
    let waiting = Mutex::new(chosen);
    let counts = Mutex::new(Counts::default());
    let work = || {
        while let Some((target, usual)) = next(&waiting) {
            let outcome = fuzz(&program, target, options.seconds.unwrap_or(usual), scratch.path());
            let mut counts = counts.lock().expect("no thread panics");
            match outcome {
                Ok(()) => counts.passed += 1,
                Err(error) => {
                    eprintln!("error: {error:#}");
                    counts.failed += 1;
                }
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    Ok(counts.into_inner().expect("no thread panics"))
}

/// Its name and usual seconds.
type Target = (&'static str, u32);

fn known(name: &str) -> Result<Target> {
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    let names = || TARGETS.map(|(target, _)| target).join(", ");
    found.copied().with_context(|| format!("there is no target {name:?}, only {}", names()))
}

fn next(waiting: &Mutex<Vec<Target>>) -> Option<Target> {
    let mut waiting = waiting.lock().expect("no thread panics");
    if waiting.is_empty() { None } else { Some(waiting.remove(0)) }
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

/// Builds the one program that has all targets.
fn build() -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo
        .current_dir(root().join("fuzz"))
        .args(["build", "--release", "--locked", "--target", &triple(), "--target-dir"])
        .arg(folder())
        .env("RUSTFLAGS", INSTRUMENTATION)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run_tool(&mut cargo)?;
    Ok(folder().join(triple()).join("release/corten-fuzz"))
}

/// Where layers are unpacked: in memory, where there is a file system in memory.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.context("make a folder for what is unpacked")
}

fn fuzz(program: &Path, target: &str, seconds: u32, scratch: &Path) -> Result<()> {
    let corpus = folder().join("corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    seeds::write(target, &corpus)?;
    let log = folder().join(format!("{target}.log"));
    let output = File::create(&log).with_context(|| format!("make {}", log.display()))?;
    let mut command = command(&program.display().to_string());
    command
        .args([
            format!("-max_total_time={seconds}"),
            format!("-rss_limit_mb={MEMORY}"),
            format!("-max_len={LENGTH}"),
            format!("-timeout={PATIENCE}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
        ])
        .arg(&corpus)
        .env("CORTEN_FUZZ", target)
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    eprintln!("+ CORTEN_FUZZ={target} {}", describe(&command));
    let status = command.status().with_context(|| format!("run {}", program.display()))?;
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    ensure!(status.success(), "fuzzing {target} ended with {status}\n{}", last_lines(&text, 40));
    let runs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    eprintln!("{target}: {} inputs without a failure", runs.unwrap_or_default().trim());
    Ok(())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
