//! `cargo xtask test`.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::images::Base;

use crate::packages;
use crate::tools::{cargo, describe, is_installed, run as run_tool};

/// What to test.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Run the end-to-end tests that are not about Corten's extras against Debian's dockerd, and nothing else
    #[arg(long)]
    pub(crate) reference: bool,
    /// Only tests whose name contains this
    pub(crate) filter: Option<String>,
}

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Passed.
    pub(crate) passed: usize,
    /// Failed; a run that ended badly without a failed test counts as one.
    pub(crate) failed: usize,
    /// Not run.
    pub(crate) skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// Prepares the machine and runs the tests that `options` choose.
pub(crate) fn run(options: &Options) -> Result<Counts> {
    ensure!(is_root(), "the tests make namespaces, mounts and cgroups: run this as root");
    packages::install()?;
    let images = thread::spawn(|| Base::ALL.map(Base::archive));
    let built = run_tool(cargo().args(["test", "--workspace", "--no-run"]));
    images.join().ok().context("make the base images")?;
    built?;
    let mut counts = Counts::default();
    if is_installed("cargo-nextest") {
        counts += counted(&mut nextest(options))?;
        if !options.reference && options.filter.is_none() {
            counts += counted(cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]))?;
        }
    } else {
        counts += counted(&mut libtest(options))?;
    }
    Ok(counts)
}

/// nextest runs each test in its own process; it is used where it is installed.
fn nextest(options: &Options) -> Command {
    let mut command = cargo();
    command.args(["nextest", "run", "--no-fail-fast", "--no-tests=warn"]);
    if options.reference {
        command.args(["--package", "corten", "--test", "e2e", "-E", "test(/(^|::)docker::/)"]);
        command.env("CORTEN_TEST_ENGINE", "reference");
    } else {
        command.arg("--workspace");
    }
    command.args(&options.filter);
    command
}

fn libtest(options: &Options) -> Command {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]);
    if options.reference {
        command.args(["--package", "corten", "--test", "e2e"]).env("CORTEN_TEST_ENGINE", "reference");
    } else {
        command.arg("--workspace");
    }
    let filter = if options.reference { Some("docker::") } else { None };
    command.args(options.filter.as_deref().or(filter));
    command
}

/// Runs a test runner, shows what it prints, and adds up the summaries in it.
fn counted(command: &mut Command) -> Result<Counts> {
    let description = describe(command);
    eprintln!("+ {description}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {description}"))?;
    let stderr = child.stderr.take().expect("standard error is a pipe");
    let stdout = child.stdout.take().expect("standard output is a pipe");
    let beside = thread::spawn(move || summaries(stderr));
    let mut counts = summaries(stdout);
    counts += beside.join().expect("reading does not panic");
    let status = child.wait().with_context(|| format!("wait for {description}"))?;
    if !status.success() && counts.failed == 0 {
        eprintln!("{description} ended with {status}");
        counts.failed = 1;
    }
    Ok(counts)
}

fn summaries(output: impl Read) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        counts += summary(&line).unwrap_or_default();
    }
    counts
}

/// The counts in a summary of libtest or nextest; `None` for any other line.
fn summary(line: &str) -> Option<Counts> {
    let line = line.trim();
    let counts = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ")?.1,
        None => line.strip_prefix("Summary [")?.split_once(" run: ")?.1,
    };
    let of = |kinds: &[&str]| {
        let words: Vec<&str> = counts.split([' ', ',', ';']).filter(|word| !word.is_empty()).collect();
        words
            .windows(2)
            .filter(|pair| kinds.contains(&pair[1]))
            .filter_map(|pair| pair[0].parse::<usize>().ok())
            .sum()
    };
    Some(Counts {
        passed: of(&["passed"]),
        failed: of(&["failed", "timed", "exec"]),
        skipped: of(&["skipped", "ignored"]),
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn libtest_summary_is_counted() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.01s";
        assert_eq!(summary(line), Some(Counts { passed: 5, failed: 2, skipped: 1 }));
    }

    #[test]
    fn nextest_summary_is_counted() {
        let line =
            "     Summary [  12.345s] 40 tests run: 36 passed (2 slow), 3 failed, 1 timed out, 7 skipped";
        assert_eq!(summary(line), Some(Counts { passed: 36, failed: 4, skipped: 7 }));
    }

    #[test]
    fn other_lines_are_not_counted() {
        assert_eq!(summary("test run::docker::x ... ok"), None);
        assert_eq!(summary("12 passed"), None);
    }
}
