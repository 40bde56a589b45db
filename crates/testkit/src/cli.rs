//! Command-line clients, run as a user runs them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::pty;
use crate::wait::wait_for_exit;

/// After this long a command counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// Which command line a test drives the engine with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The `docker` found by `PATH`.
    Docker,
    /// Corten's own.
    Corten,
}

/// A command that has not been started.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    directory: Option<PathBuf>,
    limit: Duration,
}

impl Command {
    /// A command with nothing of this process's environment but `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: vec![("PATH".into(), path), ("LC_ALL".into(), "C.UTF-8".into())],
            stdin: None,
            directory: None,
            limit: LIMIT,
        }
    }

    /// Appends one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sends these bytes to standard input, then closes it. Without them it is `/dev/null`.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it in this folder.
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Fails the test if the command runs longer than this, instead of a minute.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.spawn().finish()
    }

    /// Starts it with its output collected.
    pub fn spawn(mut self) -> Running {
        let input = self.stdin.take();
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .prepare()
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {self}: {error}"));
        if let Some(bytes) = input {
            let mut pipe = child.stdin.take().expect("standard input is a pipe");
            // The program may end without having read everything.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = collect(child.stdout.take().expect("standard output is a pipe"));
        let stderr = collect(child.stderr.take().expect("standard error is a pipe"));
        Running { description: self.to_string(), child, stdout, stderr, limit: self.limit }
    }

    /// Starts it on a new terminal of 80 columns and 24 rows.
    pub fn pty(self) -> pty::Session {
        let mut through_setsid = Self { program: "setsid".into(), arguments: Vec::new(), ..self };
        through_setsid.arguments.push("--ctty".into());
        through_setsid.arguments.push(self.program.into());
        through_setsid.arguments.extend(self.arguments);
        pty::Session::start(through_setsid.to_string(), through_setsid.prepare())
    }

    /// The command for the standard library, for what this type does not offer.
    pub fn prepare(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.program.file_name().unwrap_or_default();
        write!(f, "`{}", Path::new(name).display())?;
        for argument in &self.arguments {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        f.write_str("`")
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    description: String,
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    limit: Duration,
}

impl Running {
    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_some()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signal a child that is not reaped");
    }

    /// Waits for its end and returns its output.
    pub fn finish(mut self) -> Output {
        let Some(status) = wait_for_exit(&mut self.child, self.limit) else {
            self.child.kill().expect("kill a child");
            self.child.wait().expect("reap a child");
            let (stdout, stderr) =
                (self.stdout.join().unwrap_or_default(), self.stderr.join().unwrap_or_default());
            panic!(
                "{} still ran after {:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.description,
                self.limit,
                String::from_utf8_lossy(&stdout),
                String::from_utf8_lossy(&stderr)
            );
        };
        Output {
            command: self.description,
            status: exit_code(status),
            stdout: self.stdout.join().expect("read standard output"),
            stderr: String::from_utf8_lossy(&self.stderr.join().expect("read standard error")).into_owned(),
        }
    }
}

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Its exit code; 128 and the signal's number where a signal ended it.
    pub status: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error; what is not UTF-8 is replaced.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output without white space at its ends.
    pub fn trimmed(&self) -> String {
        self.text().trim().to_owned()
    }

    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        self.expect_code(0)
    }

    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.status,
            code,
            "exit code of {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.text(),
            self.stderr
        );
        self
    }

    /// Fails the test unless standard error contains this text.
    #[track_caller]
    pub fn expect_stderr(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{} was to say {text:?}, but said {:?}",
            self.command,
            self.stderr
        );
        self
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("read the output of a child");
        bytes
    })
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().expect("a process ends by code or by signal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_collects_both_streams_and_the_code() {
        let output = Command::new("sh").args(["-c", "cat; echo err >&2; exit 3"]).stdin("in").run();
        assert_eq!((output.status, output.text().as_str(), output.stderr.as_str()), (3, "in", "err\n"));
    }

    #[test]
    fn signal_ends_as_128_and_its_number() {
        assert_eq!(Command::new("sh").args(["-c", "kill -9 $$"]).run().status, 137);
    }

    #[test]
    #[should_panic(expected = "still ran after")]
    fn command_past_its_limit_fails() {
        Command::new("sleep").arg("60").limit(Duration::from_millis(20)).run();
    }
}
