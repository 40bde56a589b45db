//! Starts the engine of this machine when none answers.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::Host;

use crate::config::{DEFAULT_SOCKET, Target};
use crate::failure::{Failure, io_text};

/// More flags for the engine, separated by blanks: where it keeps its data, for example.
pub(crate) const FLAGS_VARIABLE: &str = "CORTEN_DAEMON_FLAGS";

const LIMIT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How long another engine, started at the same time by other means, may take to answer after ours has ended.
const RIVAL_LIMIT: Duration = Duration::from_secs(2);
const TAIL: u64 = 2048;

/// Connects to the engine at `target`, which is a unix socket, and starts it if nobody listens there.
pub(crate) fn connect(target: &Target) -> Result<UnixStream, Failure> {
    let Host::Unix(socket) = &target.host else {
        return Err(Failure::message(format!("{} is not a socket of this machine", target.host)));
    };
    match UnixStream::connect(socket) {
        Ok(stream) => Ok(stream),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(client::Error::Permission { host: target.host.clone(), source: error }.into())
        }
        Err(_) if !rustix::process::geteuid().is_root() => Err(Failure::message(format!(
            "no engine answers at {}, and only root can start one",
            target.host
        ))),
        Err(_) => start(socket),
    }
}

/// Starts an engine and waits until it answers. Of several commands that find none one starts it; the others wait for that.
fn start(socket: &Path) -> Result<UnixStream, Failure> {
    let log = log_path(socket);
    let _turn = turn(&log)?;
    if let Ok(stream) = UnixStream::connect(socket) {
        return Ok(stream);
    }
    let begin = log.metadata().map(|meta| meta.len()).unwrap_or(0);
    let mut child = spawn(socket, &log)?;
    let (started, mut pause, mut ended) = (Instant::now(), FIRST_PAUSE, None);
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
            ended = Some(Instant::now());
        }
        let late = started.elapsed() > LIMIT || ended.is_some_and(|end: Instant| end.elapsed() > RIVAL_LIMIT);
        if late {
            return Err(failure(socket, &log, begin, ended.is_some()));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits until no other command starts this engine: the lock on its log is held as long as the value lives.
///
/// The engine has its log open by itself, so that it does not inherit the lock.
fn turn(log: &Path) -> Result<File, Failure> {
    if let Some(directory) = log.parent() {
        std::fs::create_dir_all(directory).map_err(|error| cannot_open(log, &error))?;
    }
    let file = open(log)?;
    file.lock().map_err(|error| cannot_open(log, &error))?;
    Ok(file)
}

fn open(log: &Path) -> Result<File, Failure> {
    OpenOptions::new().create(true).append(true).open(log).map_err(|error| cannot_open(log, &error))
}

fn cannot_open(log: &Path, error: &std::io::Error) -> Failure {
    Failure::message(format!("cannot start the engine: open {}: {}", log.display(), io_text(error)))
}

fn spawn(socket: &Path, log: &Path) -> Result<Child, Failure> {
    let output = open(log)?;
    let errors = output.try_clone().map_err(|error| cannot_open(log, &error))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("corten").arg("daemon");
    if socket != Path::new(DEFAULT_SOCKET) {
        command.arg("--host").arg(format!("unix://{}", socket.display()));
    }
    command.args(std::env::var(FLAGS_VARIABLE).unwrap_or_default().split_whitespace());
    command.current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
    sys::detach::spawn_detached(&mut command)
        .map_err(|error| Failure::message(format!("cannot start the engine: {}", io_text(&error))))
}

/// The log of an engine that was started here.
fn log_path(socket: &Path) -> PathBuf {
    if socket == Path::new(DEFAULT_SOCKET) {
        return PathBuf::from("/var/log/corten.log");
    }
    let mut name = socket.as_os_str().to_owned();
    name.push(".log");
    PathBuf::from(name)
}

fn failure(socket: &Path, log: &Path, begin: u64, ended: bool) -> Failure {
    let what = if ended { "the engine ended" } else { "the engine did not answer in time" };
    let tail = tail(log, begin).unwrap_or_default();
    Failure::message(format!(
        "cannot start the engine at unix://{}: {what}; its log is {}\n{}",
        socket.display(),
        log.display(),
        tail.trim_end()
    ))
}

fn tail(log: &Path, begin: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(begin.max(end.saturating_sub(TAIL))))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
