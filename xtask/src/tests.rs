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
#[derive(Args)]
pub(crate) struct Options {
    /// Run the end-to-end tests that are not about Corten's extras against Debian's dockerd, and nothing else
    #[arg(long)]
    pub(crate) reference: bool,
    /// Of these, only every so many-th in the order of names
    #[arg(skip = 1_usize)]
    pub(crate) every: usize,
    /// Only tests whose name contains this
    pub(crate) filter: Option<String>,
}

impl Options {
    /// Every test.
    pub(crate) fn all() -> Self {
        Self { reference: false, every: 1, filter: None }
    }

    /// Every `every`-th of the tests that the reference engine runs.
    pub(crate) fn reference_sample(every: usize) -> Self {
        Self { reference: true, every, filter: None }
    }
}

/// What runs the tests; each has its own summary.
#[derive(Clone, Copy)]
enum Runner {
    Nextest,
    Libtest,
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
    /// Passed, but not at the first try.
    pub(crate) flaky: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.flaky += other.flaky;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if self.flaky > 0 {
            write!(f, " ({} flaky)", self.flaky)?;
        }
        write!(f, ", {} failed", self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

/// Prepares the machine and runs the tests that `options` choose.
pub(crate) fn run(options: &Options) -> Result<Counts> {
    ensure!(is_root(), "the tests make namespaces, mounts and cgroups: run this as root");
    packages::install(&[])?;
    let images = thread::spawn(|| Base::ALL.map(Base::archive));
    let built = run_tool(cargo().args(["test", "--workspace", "--no-run"]));
    images.join().ok().context("make the base images")?;
    built?;
    let chosen = chosen(options)?;
    if is_installed("cargo-nextest") {
        let mut counts = counted(&mut nextest(&chosen), Runner::Nextest)?;
        if matches!(chosen, Chosen::Workspace(None)) {
            let mut documentation = cargo();
            documentation.args(["test", "--workspace", "--doc", "--no-fail-fast"]);
            counts += counted(&mut documentation, Runner::Libtest)?;
        }
        Ok(counts)
    } else {
        counted(&mut libtest(&chosen), Runner::Libtest)
    }
}

/// Which tests are run.
enum Chosen {
    /// Of the whole workspace, by a part of their names.
    Workspace(Option<String>),
    /// End-to-end tests by their whole names, against another engine than Corten.
    Foreign { names: Vec<String>, external: bool },
}

fn chosen(options: &Options) -> Result<Chosen> {
    let external = !options.reference && std::env::var_os("DOCKER_HOST").is_some();
    if !options.reference && !external {
        return Ok(Chosen::Workspace(options.filter.clone()));
    }
    let mut listing = end_to_end();
    let output = listing.args(["--", "--list"]).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("run {}", describe(&listing)))?;
    ensure!(output.status.success(), "{} ended with {}", describe(&listing), output.status);
    let list = String::from_utf8_lossy(&output.stdout);
    let all = foreign_tests(&list, external, options.filter.as_deref());
    let names: Vec<String> = all.iter().step_by(options.every).map(|name| (*name).to_owned()).collect();
    ensure!(!names.is_empty(), "no end-to-end test has such a name");
    eprintln!(
        "{} of the {} end-to-end tests that need no engine of Corten's, in the order of names",
        names.len(),
        all.len()
    );
    Ok(Chosen::Foreign { names, external })
}

/// The tests in libtest's list that any engine can run, in order: those with the `docker` client that are not about
/// Corten's extras. An engine that is there already cannot be given a small disk.
fn foreign_tests<'a>(list: &'a str, external: bool, filter: Option<&str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| name.contains("::docker::") && !name.starts_with("extras::"))
        .filter(|name| !(external && name.starts_with("disk::")))
        .filter(|name| filter.is_none_or(|part| name.contains(part)))
        .collect();
    names.sort_unstable();
    names
}

/// Built for the whole workspace, because one package alone would be built with other features of its dependencies.
fn end_to_end() -> Command {
    let mut command = cargo();
    command.args(["test", "--workspace", "--test", "e2e"]);
    command
}

/// nextest runs each test in its own process; it is used where it is installed.
fn nextest(chosen: &Chosen) -> Command {
    let mut command = cargo();
    command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests=warn"]);
    match chosen {
        Chosen::Workspace(filter) => {
            command.args(filter);
        }
        Chosen::Foreign { names, external } => {
            command.args(["--test", "e2e"]);
            // One engine has one list of containers.
            command.args(external.then_some("--test-threads=1"));
            command.args(["--", "--exact"]).args(names);
            command.envs((!external).then_some(("CORTEN_TEST_ENGINE", "reference")));
        }
    }
    command
}

fn libtest(chosen: &Chosen) -> Command {
    match chosen {
        Chosen::Workspace(filter) => {
            let mut command = cargo();
            command.args(["test", "--workspace", "--no-fail-fast"]).args(filter);
            command
        }
        Chosen::Foreign { names, external } => {
            let mut command = end_to_end();
            command.args(["--no-fail-fast", "--", "--exact"]).args(names);
            command.args(external.then_some("--test-threads=1"));
            command.envs((!external).then_some(("CORTEN_TEST_ENGINE", "reference")));
            command
        }
    }
}

/// Runs a test runner, shows what it prints, and adds up its summaries.
fn counted(command: &mut Command, runner: Runner) -> Result<Counts> {
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
    let beside = thread::spawn(move || summaries(stderr, runner));
    let mut counts = summaries(stdout, runner);
    counts += beside.join().expect("reading does not panic");
    let status = child.wait().with_context(|| format!("wait for {description}"))?;
    if !status.success() && counts.failed == 0 {
        eprintln!("{description} ended with {status}");
        counts.failed = 1;
    }
    Ok(counts)
}

fn summaries(output: impl Read, runner: Runner) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        counts += summary(&line, runner).unwrap_or_default();
    }
    counts
}

/// The counts in a summary of this runner; `None` for any other line. nextest shows the output of a test that failed,
/// once for each try, and in it is libtest's summary of this one test.
fn summary(line: &str, runner: Runner) -> Option<Counts> {
    let counts = match runner {
        Runner::Libtest => line.strip_prefix("test result: ")?.split_once(". ")?.1,
        Runner::Nextest => line.trim().strip_prefix("Summary [")?.split_once(" run: ")?.1,
    };
    let words: Vec<&str> = counts.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
    let of = |kinds: &[&str]| {
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
        flaky: of(&["flaky"]),
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod unit {
    use super::*;

    /// A run of nextest 0.9.143 with one try more: two tests fail, one passes at the second try, one is left out.
    const NEXTEST: &str = include_str!("nextest-run.txt");

    #[test]
    fn libtest_summary_is_counted() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.01s";
        let expected = Counts { passed: 5, failed: 2, skipped: 1, flaky: 0 };
        assert_eq!(summary(line, Runner::Libtest), Some(expected));
    }

    #[test]
    fn nextest_summary_with_times_up_is_counted() {
        let line =
            "     Summary [  12.345s] 40 tests run: 36 passed (2 slow), 3 failed, 1 timed out, 7 skipped";
        let expected = Counts { passed: 36, failed: 4, skipped: 7, flaky: 0 };
        assert_eq!(summary(line, Runner::Nextest), Some(expected));
    }

    #[test]
    fn tests_in_a_nextest_run_are_counted_once() {
        assert!(NEXTEST.matches("test result: FAILED").count() == 5);
        let counts = summaries(NEXTEST.as_bytes(), Runner::Nextest);
        assert_eq!(counts, Counts { passed: 2, failed: 2, skipped: 1, flaky: 1 });
        assert_eq!(counts.to_string(), "2 passed (1 flaky), 2 failed, 1 skipped");
    }

    #[test]
    fn other_lines_are_not_counted() {
        for runner in [Runner::Libtest, Runner::Nextest] {
            assert_eq!(summary("test run::docker::x ... ok", runner), None);
            assert_eq!(summary("12 passed", runner), None);
        }
    }

    #[test]
    fn foreign_tests_are_those_of_the_docker_client_without_extras() {
        let list = "run::docker::b: test\nrun::corten::b: test\nextras::faults::docker::c: test\n\
                    disk::docker::d: test\nexec::docker::a: test\n\n5 tests, 0 benchmarks\n";
        assert_eq!(
            foreign_tests(list, false, None),
            ["disk::docker::d", "exec::docker::a", "run::docker::b"]
        );
        assert_eq!(foreign_tests(list, true, None), ["exec::docker::a", "run::docker::b"]);
        assert_eq!(foreign_tests(list, true, Some("run::")), ["run::docker::b"]);
    }
}
