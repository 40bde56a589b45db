//! Bundles made of busybox, and the runtime's command line.
#![allow(dead_code, reason = "each of the test programs uses its part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

const APPLETS: [&str; 18] = [
    "sh", "cat", "ls", "id", "mount", "sleep", "true", "echo", "stty", "touch", "grep", "kill", "pwd", "env",
    "hostname", "mkdir", "stat", "wc",
];

/// A bundle with its own directory of states; all of it goes away with the value.
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    pub(crate) config: Value,
    pub(crate) id: String,
}

impl Bundle {
    /// A default container that runs a shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    pub(crate) fn new(arguments: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = tempfile::tempdir().expect("a temporary directory");
        make_rootfs(&directory.path().join("rootfs"));
        let made = Command::new(program()).args(["spec", "-b"]).arg(directory.path()).status().expect("spec");
        assert!(made.success());
        let text = fs::read(directory.path().join("config.json")).expect("config.json");
        let mut config: Value = serde_json::from_slice(&text).expect("JSON");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(arguments);
        config["process"]["noNewPrivileges"] = json!(false);
        config["process"]["rlimits"] = json!([]);
        config["root"]["readonly"] = json!(false);
        let id = format!("corten-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { directory, config, id }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub(crate) fn states(&self) -> PathBuf {
        self.path().join("states")
    }

    pub(crate) fn add_mount(&mut self, mount: Value) {
        self.config["mounts"].as_array_mut().expect("mounts").push(mount);
    }

    pub(crate) fn save(&self) {
        let text = serde_json::to_vec_pretty(&self.config).expect("JSON");
        fs::write(self.path().join("config.json"), text).expect("config.json");
    }

    /// A command of the runtime, not yet run; standard input is empty.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--root").arg(self.states()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the runtime runs")
    }

    /// As [`Bundle::call`], and it must succeed; its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self) -> Output {
        self.save();
        let bundle = self.path().to_str().expect("text");
        self.call(&["run", "-b", bundle, &self.id])
    }

    /// Runs it to its end, which must be a good one; its output.
    pub(crate) fn run_ok(&self) -> String {
        let output = self.run();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Creates it, without any pipe that would keep a reader waiting.
    pub(crate) fn create(&self) {
        self.save();
        let bundle = self.path().to_str().expect("text");
        let mut command = self.command(&["create", "-b", bundle, &self.id]);
        let errors = fs::File::create(self.path().join("errors")).expect("a file");
        let status = command.stdout(Stdio::null()).stderr(errors).status().expect("the runtime runs");
        let said = fs::read_to_string(self.path().join("errors")).expect("read");
        assert!(status.success(), "{said}");
    }

    /// Its state, as the runtime prints it.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", &self.id])).expect("JSON")
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", &self.id]);
    }
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_corten-runtime")
}

/// A root file system of busybox.
pub(crate) fn make_rootfs(root: &Path) {
    for name in ["bin", "etc", "tmp", "root", "sbin"] {
        fs::create_dir_all(root.join(name)).expect("a directory");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n";
    fs::write(root.join("etc/passwd"), passwd).expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\nann:x:1001:\nvideo:x:44:ann\n").expect("group");
}
