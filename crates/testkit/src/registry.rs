//! A real registry on the loopback address.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cli::Command;
use crate::wait::{eventually, wait_for_exit};

/// Debian's `docker-registry`, with its own storage; stopped when dropped.
#[derive(Debug)]
pub struct Registry {
    directory: TempDir,
    process: Child,
    port: u16,
}

impl Registry {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let directory = TempDir::with_prefix("ct-registry-").expect("create a temporary directory");
        // Between the port's choice and the registry's bind another process can take it.
        (0..5)
            .find_map(|_| Self::try_start(&directory))
            .map(|(process, port)| Self { directory, process, port })
            .expect("docker-registry answers")
    }

    fn try_start(directory: &TempDir) -> Option<(Child, u16)> {
        let port = free_port();
        let configuration = directory.path().join("config.yml");
        fs::write(&configuration, configuration_text(directory.path(), port))
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
            if ended { Some(false) } else { TcpStream::connect(("127.0.0.1", port)).ok().map(|_| true) }
        });
        if answers == Some(true) {
            return Some((process, port));
        }
        // It may have ended by itself.
        let _ = process.kill();
        let _ = process.wait();
        None
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A reference in this registry.
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
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
            .args([source, &destination])
            .limit(Duration::from_secs(180))
            .run()
            .expect_ok();
        self.reference(name)
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

fn configuration_text(directory: &Path, port: u16) -> String {
    format!(
        "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
         enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        directory.join("storage").display()
    )
}
