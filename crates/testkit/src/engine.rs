//! A private engine: Corten, Debian's dockerd, or one that is already there.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{Client, Command};
use crate::http::Http;
use crate::images::Base;
use crate::leak::{Leak, Traces};
use crate::slot::Slot;
use crate::wait::{ends_within, eventually, wait_for_exit};

/// What runs the containers of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The binary under test.
    Corten,
    /// Debian's dockerd, to prove the tests themselves.
    Reference,
    /// The engine that `DOCKER_HOST` names.
    External,
}

impl Kind {
    /// What the environment asks for: `CORTEN_TEST_ENGINE=reference`, `DOCKER_HOST`, else Corten.
    pub fn from_environment() -> Self {
        match std::env::var("CORTEN_TEST_ENGINE").as_deref() {
            Ok("reference") => Self::Reference,
            Ok("corten") => Self::Corten,
            Ok(other) => panic!("CORTEN_TEST_ENGINE is {other:?}, not \"corten\" or \"reference\""),
            Err(_) if std::env::var_os("DOCKER_HOST").is_some() => Self::External,
            Err(_) => Self::Corten,
        }
    }
}

/// How an engine is to be started.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    corten: PathBuf,
    data_root: Option<PathBuf>,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// `corten` is the binary under test; also with another engine, for its client.
    pub fn new(kind: Kind, corten: &Path) -> Self {
        Self { kind, corten: corten.to_owned(), data_root: None, flags: Vec::new(), environment: Vec::new() }
    }

    /// Adds flags to the engine's command line.
    pub fn flags<F: Into<String>>(mut self, flags: impl IntoIterator<Item = F>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Sets a variable for the engine.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses this directory for what survives a reboot, instead of a temporary one.
    pub fn data_root(mut self, directory: &Path) -> Self {
        self.data_root = Some(directory.to_owned());
        self
    }

    /// Lets containers run on while the engine is down, which is always so with Corten.
    pub fn survivable(self) -> Self {
        if self.kind == Kind::Reference { self.flags(["--live-restore"]) } else { self }
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Engine {
        let mut engine = self.unstarted();
        engine.launch();
        engine
    }

    /// Prepares it for [`Engine::launch`] or for a command of [`Engine::auto`] to start it.
    pub fn unstarted(self) -> Engine {
        let directory = TempDir::with_prefix("ct-").expect("create a temporary directory");
        let external = (self.kind == Kind::External).then(|| self.external());
        let (socket, data_root) = external.unwrap_or_else(|| {
            let data_root = self.data_root.clone().unwrap_or_else(|| directory.path().join("lib"));
            (directory.path().join("sock"), data_root)
        });
        let engine = Engine {
            socket,
            data_root,
            slot: Slot::acquire(),
            kind: self.kind,
            corten: self.corten,
            flags: self.flags,
            environment: self.environment,
            process: None,
            directory,
        };
        engine.prepare_bridge();
        engine
    }

    /// The socket and the data root of the engine that is there, which must hold nothing: what is in it after the test
    /// is removed.
    fn external(&self) -> (PathBuf, PathBuf) {
        assert!(self.flags.is_empty() && self.environment.is_empty() && self.data_root.is_none());
        let socket = external_socket();
        let http = Http::new(&socket);
        let info = http.get("/info").expect(200).json();
        assert!(
            info["Containers"] == 0 && info["Images"] == 0,
            "the engine at {} has {} containers and {} images; tests use an empty one, for they empty it",
            socket.display(),
            info["Containers"],
            info["Images"]
        );
        (socket, PathBuf::from(info["DockerRootDir"].as_str().expect("a data root")))
    }
}

/// An engine and everything that belongs to it.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    corten: PathBuf,
    socket: PathBuf,
    data_root: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
    slot: Slot,
    directory: TempDir,
}

impl Engine {
    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its address, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The number that keeps it apart from others.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The address of its bridge.
    pub fn gateway(&self) -> Ipv4Addr {
        if self.kind != Kind::External {
            return self.slot.gateway();
        }
        let gateway = &self.bridge_network()["IPAM"]["Config"][0]["Gateway"];
        gateway.as_str().and_then(|text| text.parse().ok()).expect("the bridge has an address")
    }

    /// The name of its bridge.
    pub fn bridge(&self) -> String {
        if self.kind != Kind::External {
            return self.slot.bridge();
        }
        let name = &self.bridge_network()["Options"]["com.docker.network.bridge.name"];
        name.as_str().expect("the bridge has a name").to_owned()
    }

    fn bridge_network(&self) -> Value {
        self.http().get("/networks/bridge").expect(200).json()
    }

    /// A directory for the test's own files, removed with the engine.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it keeps what survives a reboot.
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// Where it keeps what does not.
    pub fn exec_root(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the engine is private and runs").id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Raw HTTP to it.
    pub fn http(&self) -> Http {
        Http::new(&self.socket)
    }

    /// A command line for it.
    pub fn cli<A: AsRef<std::ffi::OsStr>>(
        &self,
        client: Client,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let program = match client {
            Client::Docker => Path::new("docker"),
            Client::Corten => &self.corten,
        };
        self.command_of(program, arguments)
    }

    /// Another command line for it.
    pub fn command_of<A: AsRef<std::ffi::OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        Command::new(program)
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env("DOCKER_CLI_HINTS", "false")
            .env("HOME", self.directory.path())
            .args(arguments)
    }

    /// Corten's command line, which starts this engine itself when it does not run.
    pub fn auto<A: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        Command::new(&self.corten)
            .env("CORTEN_HOST", self.host())
            .env("CORTEN_DAEMON_FLAGS", self.daemon_flags().join(" "))
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env("HOME", self.directory.path())
            .args(arguments)
    }

    /// The process ID that an engine started by a command has left in its file, while it runs.
    pub fn started_pid(&self) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.pidfile()).ok()?.trim().parse().ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains(&self.directory.path().display().to_string()).then_some(pid)
    }

    /// Loads a base image.
    pub fn load(&self, base: Base) {
        let path = base.archive();
        let archive = fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        self.load_archive(&archive);
    }

    /// Loads an image archive.
    pub fn load_archive(&self, archive: &[u8]) {
        let answer =
            self.http().request("POST", "/images/load?quiet=1", "application/x-tar", archive).expect(200);
        assert!(!answer.text().contains("errorDetail"), "load: {}", answer.text());
    }

    /// Kills the engine, and only it, as a crash would.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the engine is private and runs");
        process.kill().expect("kill the engine");
        process.wait().expect("reap the engine");
    }

    /// Ends the engine in order.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Fails only when it has ended by itself.
        let _ = kill_process(Pid::from_child(&process), Signal::TERM);
        if wait_for_exit(&mut process, Duration::from_secs(20)).is_none() {
            let _ = process.kill();
            let _ = process.wait();
            assert!(
                std::thread::panicking(),
                "the engine did not end within 20 s of SIGTERM\n{}",
                self.log()
            );
        }
    }

    /// Starts it again, after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub fn launch(&mut self) {
        if self.kind == Kind::External {
            return;
        }
        let log = File::options().create(true).append(true).open(self.directory.path().join("log"));
        let log = log.expect("create the engine's log");
        let mut command = self.command();
        let process = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("duplicate a descriptor"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start {:?}: {error}", command.get_program()));
        self.process = Some(process);
        self.wait_until_ready();
    }

    /// Removes every container.
    pub fn remove_all(&self) {
        let list = self.http().get("/containers/json?all=1").expect(200).json();
        for container in list.as_array().expect("a list of containers") {
            let id = container["Id"].as_str().expect("an ID");
            self.http().delete(&format!("/containers/{id}?force=1&v=1"));
        }
    }

    /// Removes every image, volume and network that no container uses.
    fn empty(&self) {
        let http = self.http();
        for image in http.get("/images/json?all=1").expect(200).json().as_array().expect("a list of images") {
            http.delete(&format!("/images/{}?force=1", image["Id"].as_str().expect("an ID")));
        }
        for volume in http.get("/volumes").expect(200).json()["Volumes"].as_array().into_iter().flatten() {
            http.delete(&format!("/volumes/{}", volume["Name"].as_str().expect("a name")));
        }
        http.post("/networks/prune", &Value::Null);
    }

    /// What of it is on the machine now, itself excepted.
    pub fn traces(&self) -> Vec<Leak> {
        self.trace_finder().find()
    }

    /// Waits for at most five seconds until nothing of it is left but itself, and returns what still is.
    pub fn leaks(&self) -> Vec<Leak> {
        let none = eventually(Duration::from_secs(5), || self.traces().is_empty().then_some(()));
        if none.is_some() { Vec::new() } else { self.traces() }
    }

    fn trace_finder(&self) -> Traces {
        Traces {
            directory: self.directory.path().to_owned(),
            data_root: self.data_root.clone(),
            exec_root: self.exec_root(),
            bridge: self.slot.bridge(),
            cgroup_parent: self.slot.cgroup_parent(),
            engine: self.process.as_ref().map(Child::id),
        }
    }

    fn command(&self) -> std::process::Command {
        let mut command = match self.kind {
            Kind::Corten => {
                let mut command = std::process::Command::new(&self.corten);
                command.arg("daemon");
                command
            }
            Kind::Reference | Kind::External => std::process::Command::new("dockerd"),
        };
        command
            .args(["--host", &self.host()])
            .args(self.daemon_flags())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("DOCKER_HOST");
        command
    }

    /// Everything on the engine's command line but its socket.
    fn daemon_flags(&self) -> Vec<String> {
        let network: &[&str] = match self.kind {
            Kind::Corten => &["--bip", &self.slot.bip()],
            Kind::Reference | Kind::External => &["--iptables=false", "--ip6tables=false"],
        };
        let paths =
            [&self.data_root, &self.exec_root(), &self.pidfile()].map(|path| path.display().to_string());
        let own = ["--data-root", &paths[0], "--exec-root", &paths[1], "--pidfile", &paths[2]];
        let names = ["--bridge", &self.slot.bridge(), "--cgroup-parent", &self.slot.cgroup_parent()];
        let all = network.iter().chain(&own).chain(&names);
        all.map(|flag| (*flag).to_owned()).chain(self.flags.iter().cloned()).collect()
    }

    fn pidfile(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    /// Ends an engine that a command has started.
    fn stop_started(&self) {
        let Some(pid) = self.started_pid().and_then(|pid| Pid::from_raw(pid as i32)) else { return };
        // Fails only when it has ended since.
        let _ = kill_process(pid, Signal::TERM);
        // Its file goes before it does.
        let ended = ends_within(pid, Duration::from_secs(20));
        assert!(ended || std::thread::panicking(), "the engine did not end within 20 s of SIGTERM");
    }

    /// dockerd takes an address for its own bridge only; one of another name it wants ready.
    fn prepare_bridge(&self) {
        if self.kind == Kind::Reference {
            let bridge = self.slot.bridge();
            ip(&["link", "add", &bridge, "type", "bridge"]).expect_ok();
            ip(&["address", "add", &self.slot.bip(), "dev", &bridge]).expect_ok();
            ip(&["link", "set", &bridge, "up"]).expect_ok();
        }
    }

    fn wait_until_ready(&mut self) {
        let http = self.http();
        let ready = eventually(Duration::from_secs(30), || {
            let process = self.process.as_mut().expect("the engine was started");
            if process.try_wait().expect("wait for the engine").is_some() {
                return Some(false);
            }
            http.answers_ping().ok()?.then_some(true)
        });
        assert_eq!(ready, Some(true), "the engine does not answer\n{}", self.log());
    }

    /// Leaves nothing, whatever state the engine is in, and returns what it should have removed itself.
    fn clear(&mut self) -> Vec<Leak> {
        if self.kind == Kind::External {
            self.remove_all();
            self.empty();
            return Vec::new();
        }
        if self.process.is_none() {
            self.stop_started();
        }
        let runs = self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)));
        if !runs && !std::thread::panicking() {
            self.launch();
        }
        if runs || !std::thread::panicking() {
            self.remove_all();
            self.http().post("/networks/prune", &Value::Null);
        }
        self.stop();
        // dockerd itself leaves a mount and directories behind.
        let leaks = if self.kind == Kind::Corten { self.leaks() } else { Vec::new() };
        self.trace_finder().remove();
        leaks
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(4000).map_or(0, |(position, _)| position);
            eprintln!("--- the engine's log\n{}", &log[from..]);
        }
        let leaks = self.clear();
        if !leaks.is_empty() && !std::thread::panicking() {
            let list: Vec<String> = leaks.iter().map(ToString::to_string).collect();
            panic!("the engine left {} things behind:\n{}", list.len(), list.join("\n"));
        }
    }
}

fn ip(arguments: &[&str]) -> crate::cli::Output {
    Command::new("ip").args(arguments).run()
}

fn external_socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").expect("an external engine is named by DOCKER_HOST");
    let path =
        host.strip_prefix("unix://").expect("the tests reach an external engine by a unix:// DOCKER_HOST");
    PathBuf::from(path)
}
