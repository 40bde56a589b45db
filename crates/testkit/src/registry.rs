//! A real registry on the loopback address.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::certificates::Issued;
use crate::cli::Command;
use crate::wait::{eventually, wait_for_exit};

/// The one user of a registry that asks for a password.
pub const USER: &str = "tester";
/// Their password.
pub const PASSWORD: &str = "correct horse";
/// Both, as the registry wants them: with the password's bcrypt hash, of the lowest cost.
const ACCOUNT: &str = "tester:$2b$04$dT.oKCmo.AGYAWb7tlvjPemoaGom2zvj0hh5pMbR95IEMpIiPbM5i\n";

/// How a registry is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    host: Ipv4Addr,
    tls: Option<Issued>,
    clients: Option<(PathBuf, Issued)>,
    has_account: bool,
}

impl Builder {
    /// Listens at this address of the machine, which no engine trusts by itself if it is not the loopback address.
    pub fn at(host: Ipv4Addr) -> Self {
        Self { host, tls: None, clients: None, has_account: false }
    }

    /// Speaks TLS with this certificate.
    pub fn tls(self, certificate: &Issued) -> Self {
        Self { tls: Some(certificate.clone()), ..self }
    }

    /// Wants certificates of this authority from its clients, of which `pusher` is the test itself.
    pub fn clients_of(self, authority: &Path, pusher: &Issued) -> Self {
        Self { clients: Some((authority.to_owned(), pusher.clone())), ..self }
    }

    /// Wants [`USER`] and [`PASSWORD`].
    pub fn with_account(self) -> Self {
        Self { has_account: true, ..self }
    }

    /// Starts it on a free port.
    pub fn start(self) -> Registry {
        let directory = TempDir::with_prefix("ct-registry-").expect("create a temporary directory");
        fs::write(directory.path().join("htpasswd"), ACCOUNT).expect("write the account");
        // Between the port's choice and the registry's bind another process can take it.
        let started = (0..5).find_map(|_| self.try_start(&directory));
        let (process, port) = started.expect("docker-registry answers");
        Registry { directory, process, port, settings: self }
    }

    fn try_start(&self, directory: &TempDir) -> Option<(Child, u16)> {
        let port = free_port();
        let configuration = directory.path().join("config.yml");
        fs::write(&configuration, self.configuration(directory.path(), port))
            .expect("write the configuration");
        let log = fs::File::create(directory.path().join("log")).expect("create a log");
        let mut process = std::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the package docker-registry is installed");
        let answers = eventually(Duration::from_secs(10), || {
            let ended = process.try_wait().expect("wait for the registry").is_some();
            if ended { Some(false) } else { TcpStream::connect((self.host, port)).ok().map(|_| true) }
        });
        if answers == Some(true) {
            return Some((process, port));
        }
        // It may have ended by itself.
        let _ = process.kill();
        let _ = process.wait();
        None
    }

    fn configuration(&self, directory: &Path, port: u16) -> String {
        let mut text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
             enabled: true\n",
            directory.join("storage").display()
        );
        if self.has_account {
            let path = directory.join("htpasswd");
            text += &format!("auth:\n  htpasswd:\n    realm: tests\n    path: {}\n", path.display());
        }
        text += &format!("http:\n  addr: {}:{port}\n", self.host);
        if let Some(Issued { certificate, key }) = &self.tls {
            let (certificate, key) = (certificate.display(), key.display());
            text += &format!("  tls:\n    certificate: {certificate}\n    key: {key}\n");
        }
        if let Some((authority, _)) = &self.clients {
            text += &format!("    clientcas:\n      - {}\n", authority.display());
        }
        text
    }
}

/// Debian's `docker-registry`, with its own storage; stopped when dropped.
#[derive(Debug)]
pub struct Registry {
    directory: TempDir,
    process: Child,
    port: u16,
    settings: Builder,
}

impl Registry {
    /// Starts one on a free port of the loopback address, without TLS and open to all.
    pub fn start() -> Self {
        Builder::at(Ipv4Addr::LOCALHOST).start()
    }

    /// `<host>:<port>`.
    pub fn address(&self) -> String {
        format!("{}:{}", self.settings.host, self.port)
    }

    /// A reference in this registry.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Where the registry keeps its blobs.
    pub fn storage(&self) -> std::path::PathBuf {
        self.directory.path().join("storage")
    }

    /// Uploads an archive with skopeo; the source is in its notation (`docker-archive:/path`, `oci-archive:/path`).
    /// Returns the reference.
    pub fn push(&self, source: &str, name: &str) -> String {
        let destination = format!("docker://{}", self.reference(name));
        Command::new("skopeo")
            .env("HOME", self.directory.path())
            .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
            .args(self.push_flags())
            .args([source, &destination])
            .limit(Duration::from_secs(180))
            .run()
            .expect_ok();
        self.reference(name)
    }

    /// As [`push`](Self::push), of an archive that is in memory; `transport` is its kind in skopeo's words.
    pub fn push_archive(&self, transport: &str, archive: &[u8], name: &str) -> String {
        let path = self.directory.path().join("archive.tar");
        fs::write(&path, archive).expect("write an archive");
        self.push(&format!("{transport}:{}", path.display()), name)
    }

    fn push_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.settings.has_account {
            flags.push(format!("--dest-creds={USER}:{PASSWORD}"));
        }
        if let Some((_, pusher)) = &self.settings.clients {
            let folder = self.directory.path().join("pusher");
            pusher.copy_to(&folder);
            flags.push(format!("--dest-cert-dir={}", folder.display()));
        }
        flags
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Fails only when the registry has ended by itself.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        if wait_for_exit(&mut self.process, Duration::from_secs(5)).is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
    listener.local_addr().expect("the bound address").port()
}
