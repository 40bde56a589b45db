//! Repositories, and a server for them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A repository, as somebody else has it.
#[derive(Debug)]
pub struct Repository(TempDir);

impl Repository {
    /// With one commit on `main`.
    #[expect(clippy::new_without_default, reason = "it runs programs")]
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a folder"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.write("Dockerfile", "FROM scratch");
        repository.write("d/inner/f", "inner");
        repository.commit("first");
        repository
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its address on this machine.
    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Runs `git` in it, which must succeed, and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "protocol.file.allow=always"]).args(arguments).current_dir(self.path());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "n").env(format!("GIT_{role}_EMAIL"), "e@h");
        }
        let output = git.output().expect("run git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }

    /// Commits all that there is, and tells the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Adds a submodule.
    pub fn add_submodule(&self, url: &str, path: &str) {
        self.git(&["submodule", "--quiet", "add", "--", url, path]);
    }
}

/// `git daemon`, which serves one folder; stopped when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Starts it on a free port of the loopback address.
    pub fn start(base: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let folder = crate::Command::new("git").arg("--exec-path").run().expect_ok().trimmed();
        let daemon = PathBuf::from(folder).join("git-daemon");
        let mut command = Command::new(daemon);
        command.arg(format!("--base-path={}", base.display()));
        command.args(["--export-all", "--listen=127.0.0.1", &format!("--port={port}")]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_COUNT", "1");
        command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start git daemon");
        let daemon = Self { child, port };
        let is_up = || TcpStream::connect(("127.0.0.1", port)).ok().map(drop);
        crate::eventually(Duration::from_secs(10), is_up).expect("the daemon listens");
        daemon
    }

    /// The address of a repository in the folder.
    pub fn url(&self, path: &str) -> String {
        format!("git://127.0.0.1:{}/{path}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
