//! Containers from a busybox root, each with a supervisor that is driven through the engine's client.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oci::runtime::{Process, Spec};
use shim::log::{Batch, Progress, ReadOptions, Reader};
use shim::{
    Attach, Client, Config, Event, Events, ExecConfig, ExitRecord, Framing, Launcher, Log, Reply,
    RequestBody, RequestError, Rootfs, SeccompProfile, StdinMode, Target,
};

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A container's files, and what it is to do.
pub(crate) struct Container {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: Config,
}

/// A container with a supervisor.
pub(crate) struct Running {
    client: Option<Client>,
    pub(crate) events: Events,
    pub(crate) container: Container,
}

fn launcher() -> &'static Launcher {
    static LAUNCHER: OnceLock<Launcher> = OnceLock::new();
    LAUNCHER.get_or_init(|| Launcher::from_executable(Path::new(env!("CARGO_BIN_EXE_corten"))).unwrap())
}

impl Container {
    /// A container that executes this with busybox's shell.
    pub(crate) fn new(script: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        make_root(&root);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:032x}{:032x}", std::process::id(), number);
        let run_dir = directory.path().join("run");
        fs::create_dir(&run_dir).unwrap();
        let config = Config {
            spec: spec(&id, script),
            id,
            rootfs: Rootfs::Directory(root),
            user: None,
            seccomp: SeccompProfile::Unconfined,
            seccomp_cache: directory.path().join("seccomp"),
            stdin: StdinMode::Closed,
            log: Log::JsonFile {
                path: directory.path().join("log"),
                max_size: None,
                max_files: 1,
                compress: false,
                attributes: BTreeMap::new(),
            },
            run_dir,
            exit_path: directory.path().join("exit.json"),
            opened: Vec::new(),
            init: None,
        };
        Self { directory, config }
    }

    pub(crate) fn stdin(mut self, mode: StdinMode) -> Self {
        self.config.stdin = mode;
        self
    }

    pub(crate) fn terminal(mut self) -> Self {
        self.config.spec.process_mut().as_mut().unwrap().set_terminal(Some(true));
        self
    }

    pub(crate) fn rotated(mut self, size: u64, files: u32, gzip: bool) -> Self {
        let Log::JsonFile { max_size, max_files, compress, .. } = &mut self.config.log else {
            unreachable!()
        };
        (*max_size, *max_files, *compress) = (Some(size), files, gzip);
        self
    }

    pub(crate) fn spawn(self) -> Running {
        let (client, events) = launcher().supervisor().unwrap();
        Running { client: Some(client), events, container: self }
    }

    pub(crate) async fn created(self) -> Running {
        let running = self.spawn();
        let config = Box::new(running.container.config.clone());
        let reply = running.request(RequestBody::Create(config)).await.unwrap();
        assert!(matches!(reply, Reply::Created { pid } if pid > 0), "{reply:?}");
        running
    }

    pub(crate) async fn started(self) -> Running {
        let running = self.created().await;
        running.start().await;
        running
    }

    fn check_nothing_left(&self) {
        let entries = fs::read_dir(&self.config.run_dir).unwrap();
        let names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names, ["shim.log"]);
        assert_eq!(self.complaints(), "");
        let groups = cgroups_of(&self.config.id);
        assert!(groups.is_empty(), "left: {groups:?}");
    }

    /// What the supervisor has written to its own log.
    pub(crate) fn complaints(&self) -> String {
        fs::read_to_string(self.config.run_dir.join("shim.log")).unwrap()
    }
}

impl Running {
    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().expect("connected")
    }

    pub(crate) async fn request(&self, body: RequestBody) -> Result<Reply, RequestError> {
        self.request_with(body, vec![]).await
    }

    pub(crate) async fn request_with(
        &self,
        body: RequestBody,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Reply, RequestError> {
        let reply = self.client().request(body, descriptors);
        tokio::time::timeout(PATIENCE, reply).await.expect("an answer")
    }

    pub(crate) async fn start(&self) -> i32 {
        match self.request(RequestBody::Start).await.unwrap() {
            Reply::Started { pid, .. } => pid,
            reply => panic!("{reply:?}"),
        }
    }

    /// Loses the engine's connection, as its sudden end would.
    pub(crate) fn disconnect(&mut self) {
        self.client = None;
    }

    pub(crate) async fn reconnect(&mut self) {
        let (client, events) = Client::connect(&self.container.config.run_dir).await.unwrap();
        self.client = Some(client);
        self.events = events;
    }

    /// Attaches a new socket, and returns the test's end of it.
    pub(crate) async fn attach(&self, framing: Framing, keys: &[u8]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let attach = attach(Target::Init, framing, keys);
        self.request_with(RequestBody::Attach(attach), vec![theirs.into()]).await.unwrap();
        ours
    }

    pub(crate) async fn exec(
        &self,
        id: &str,
        script: &str,
        stdin: StdinMode,
    ) -> (Result<Reply, RequestError>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let target = Target::Exec(id.to_owned());
        let config = ExecConfig {
            exec_id: id.to_owned(),
            process: process(&["/bin/sh", "-c", script]),
            user: None,
            stdin,
            privileged: false,
            attach: Some(attach(target, Framing::Raw, b"")),
        };
        (self.request_with(RequestBody::Exec(Box::new(config)), vec![theirs.into()]).await, ours)
    }

    pub(crate) async fn event(&mut self) -> Option<Event> {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event or the end")
    }

    /// Waits for the end of the container.
    pub(crate) async fn exit(&mut self) -> ExitRecord {
        loop {
            match self.event().await.expect("an exit") {
                Event::Exited(record) => return record,
                event => drop(event),
            }
        }
    }

    /// What the log holds, without stream and time.
    pub(crate) fn log(&self) -> Vec<u8> {
        let mut reader = Reader::open(&self.container.config.log, ReadOptions::default()).unwrap();
        let mut batch = Batch::default();
        let mut text = Vec::new();
        while reader.next_batch(&mut batch).unwrap() == Progress::Read {
            batch.iter().for_each(|entry| text.extend_from_slice(entry.data));
        }
        text
    }

    pub(crate) async fn state(&self) -> shim::State {
        match self.request(RequestBody::State).await.unwrap() {
            Reply::State(state) => state,
            reply => panic!("{reply:?}"),
        }
    }

    /// Waits for the supervisor to end, and checks that it left nothing.
    pub(crate) async fn gone(mut self) {
        let pid = self.client().supervisor_pid();
        while self.event().await.is_some() {}
        process_ended(pid).await;
        self.container.check_nothing_left();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test has failed: its container must not outlive it.
        if let Some(client) = self.client.as_ref().filter(|_| std::thread::panicking()) {
            drop(client.send([(RequestBody::KillAll, vec![]), (RequestBody::Delete, vec![])]));
            std::thread::sleep(Duration::from_millis(300));
            eprintln!("shim.log: {}", self.container.complaints());
        }
    }
}

pub(crate) async fn process_ended(pid: i32) {
    let deadline = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < deadline, "process {pid} does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Groups in any hierarchy that are named after the container.
fn cgroups_of(id: &str) -> Vec<PathBuf> {
    let mounts = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    let mut roots: Vec<PathBuf> = mounts.filter(|path| path.is_dir()).collect();
    roots.push("/sys/fs/cgroup".into());
    roots.iter().map(|root| root.join(format!("corten-test-{id}"))).filter(|path| path.exists()).collect()
}

pub(crate) fn attach(target: Target, framing: Framing, keys: &[u8]) -> Attach {
    let detach_keys = keys.to_vec();
    Attach { target, stdin: true, stdout: true, stderr: true, framing, detach_keys }
}

fn make_root(root: &Path) {
    for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for name in ["sh", "cat", "sleep", "seq", "head", "stty", "kill", "dd", "tr", "yes", "tail"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
}

pub(crate) fn process(arguments: &[&str]) -> Process {
    let mut process = Process::default();
    process.set_args(Some(arguments.iter().map(|argument| (*argument).to_owned()).collect()));
    process.set_env(Some(vec!["PATH=/bin".to_owned()]));
    process.set_cwd("/".into());
    process
}

fn spec(id: &str, script: &str) -> Spec {
    let mut spec = Spec::default();
    spec.set_process(Some(process(&["/bin/sh", "-c", script])));
    spec.set_hostname(Some("test".to_owned()));
    spec.set_mounts(Some(oci::defaults::mounts()));
    spec.root_mut().as_mut().unwrap().set_readonly(Some(false));
    let linux = spec.linux_mut().as_mut().unwrap();
    linux.set_cgroups_path(Some(format!("/corten-test-{id}").into()));
    spec
}

/// Everything from a socket until its end.
pub(crate) async fn read_all(mut socket: UnixStream) -> Vec<u8> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        bytes
    });
    tokio::time::timeout(PATIENCE, read).await.expect("the end").unwrap()
}

/// What comes from a socket up to and with some text.
pub(crate) fn read_text(mut socket: &UnixStream, until: &str) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(until) {
        let length = socket.read(&mut buffer).expect("more text");
        assert!(length > 0, "the end instead of {until:?} after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}
