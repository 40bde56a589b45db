//! Containers made through the library, as the supervisor makes them. Needs root, and a process of one thread: this
//! program is its own test harness.

mod support;

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;

use oci::runtime::Spec;
use runtime::cgroup::Cgroup;
use runtime::{CreateOptions, Created, Error, GateKind, Keyring, SeccompSource, Stdio, create};
use serde_json::json;
use shim::{FailureKind, OverlayRootfs, Rootfs, SeccompProfile, User};
use support::Bundle;
use sys::process::{Ended, wait};

type Test = (&'static str, fn());

const TESTS: [Test; 9] = [
    ("overlay_root_is_written_to_its_upper_layer", overlay_root_is_written_to_its_upper_layer),
    ("overlay_is_not_mounted_on_the_host", overlay_is_not_mounted_on_the_host),
    ("user_by_name_has_its_groups_and_home", user_by_name_has_its_groups_and_home),
    ("unknown_user_is_worded_as_docker_words_it", unknown_user_is_worded_as_docker_words_it),
    ("dropped_gate_ends_the_process", dropped_gate_ends_the_process),
    ("maker_is_not_dumpable", maker_is_not_dumpable),
    ("descriptors_of_the_maker_are_not_leaked", descriptors_of_the_maker_are_not_leaked),
    ("default_filter_is_loaded", default_filter_is_loaded),
    ("terminal_is_the_console_and_has_its_size", terminal_is_the_console_and_has_its_size),
];

/// As much of the test harness's command line as nextest and cargo use.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // No test is ignored.
    let tests: &[Test] = if has("--ignored") { &[] } else { &TESTS };
    if has("--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let named: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    for (name, test) in tests {
        if named.is_empty() || named.iter().any(|part| name.contains(part.as_str())) {
            test();
            println!("{name}: ok");
        }
    }
    ExitCode::SUCCESS
}

/// Everything of a container but what a test is about.
struct Maker {
    bundle: Bundle,
    cgroup: Cgroup,
    rootfs: Rootfs,
    user: Option<User>,
    seccomp: SeccompProfile,
}

impl Maker {
    fn script(script: &str) -> Self {
        Self::new(Bundle::script(script))
    }

    fn new(bundle: Bundle) -> Self {
        let path = |name: &str| bundle.path().join(name);
        for name in ["upper", "work", "lower2"] {
            fs::create_dir(path(name)).expect("a directory");
        }
        fs::write(path("lower2/below"), "from below").expect("a file");
        let rootfs = Rootfs::Overlay(OverlayRootfs {
            lower: vec![path("rootfs"), path("lower2")],
            upper: path("upper"),
            work: path("work"),
            durability: shim::Durability::Durable,
        });
        let cgroup = Cgroup::create(&format!("/{}", bundle.id), None).expect("control groups");
        Self { bundle, cgroup, rootfs, user: None, seccomp: SeccompProfile::Default }
    }

    fn spec(&self) -> Spec {
        serde_json::from_value(self.bundle.config.clone()).expect("a configuration")
    }

    fn create(&self, stdio: Stdio) -> Result<Created, Error> {
        create(CreateOptions {
            id: &self.bundle.id,
            spec: &self.spec(),
            rootfs: &self.rootfs,
            user: self.user.as_ref(),
            seccomp: SeccompSource::Profile {
                profile: &self.seccomp,
                cache: &self.bundle.path().join("cache"),
            },
            stdio,
            netns: None,
            cgroup: &self.cgroup,
            init: None,
            gate: GateKind::Parent,
            bundle: self.bundle.path(),
            preserve_fds: 0,
            opened: Vec::new(),
            keyring: Keyring::Own,
        })
    }

    fn output(&self) -> PathBuf {
        self.bundle.path().join("output")
    }

    fn stdio(&self) -> Stdio {
        let null = || OwnedFd::from(fs::File::open("/dev/null").expect("/dev/null"));
        let output = || {
            let mut options = fs::OpenOptions::new();
            OwnedFd::from(options.append(true).create(true).open(self.output()).expect("a file"))
        };
        Stdio::Descriptors([null(), output(), output()])
    }

    /// Runs it to its end; its output.
    fn run(&self) -> String {
        let created = self.create(self.stdio()).expect("created");
        created.gate.expect("a gate").start().expect("started");
        let ended = wait(&created.pidfd).expect("its end");
        let output = fs::read_to_string(self.output()).expect("output");
        assert_eq!(ended, Ended::Exited(0), "{output}");
        output
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        let _ = self.cgroup.kill_all();
        let _ = self.cgroup.remove();
    }
}

fn overlay_root_is_written_to_its_upper_layer() {
    let maker = Maker::script("cat /below; echo new > /root/file");
    assert_eq!(maker.run(), "from below");
    let written = fs::read_to_string(maker.bundle.path().join("upper/root/file")).expect("a file");
    assert_eq!(written, "new\n");
    assert!(!maker.bundle.rootfs().join("root/file").exists());
}

fn overlay_is_not_mounted_on_the_host() {
    let before = mountinfo();
    let maker = Maker::script("sleep 100");
    let created = maker.create(maker.stdio()).expect("created");
    assert_eq!(mountinfo(), before);
    let inside = fs::read_to_string(format!("/proc/{}/mountinfo", created.pid)).expect("mounts");
    assert!(inside.lines().next().is_some_and(|line| line.contains(" / / ") && line.contains(" - overlay ")));
    assert!(!inside.contains(&*maker.bundle.path().join("rootfs/proc").to_string_lossy()));
    drop(created.gate);
    wait(&created.pidfd).expect("its end");
}

fn mountinfo() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("mounts")
}

fn user_by_name_has_its_groups_and_home() {
    let mut maker = Maker::script("id -u; id -g; id -G; echo $HOME");
    maker.user = Some(User { user: "ann".to_owned(), additional_groups: vec!["777".to_owned()] });
    assert_eq!(maker.run(), "1000\n1001\n1001 44 777\n/home/ann\n");
}

fn unknown_user_is_worded_as_docker_words_it() {
    let mut maker = Maker::script("true");
    maker.user = Some(User { user: "foo".to_owned(), additional_groups: Vec::new() });
    let error = maker.create(maker.stdio()).expect_err("unknown");
    assert_eq!(error.to_string(), "unable to find user foo: no matching entries in passwd file");
    assert_eq!(error.kind(), FailureKind::Invalid);
}

fn dropped_gate_ends_the_process() {
    let maker = Maker::script("true");
    let created = maker.create(maker.stdio()).expect("created");
    drop(created.gate);
    assert_eq!(wait(&created.pidfd).expect("its end"), Ended::Exited(1));
}

fn maker_is_not_dumpable() {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::Dumpable).expect("as a program begins");
    let maker = Maker::script("true");
    let created = maker.create(maker.stdio()).expect("created");
    assert_eq!(dumpable_behavior().expect("its own state"), DumpableBehavior::NotDumpable);
    created.gate.expect("a gate").start().expect("started");
    assert_eq!(wait(&created.pidfd).expect("its end"), Ended::Exited(0));
}

fn descriptors_of_the_maker_are_not_leaked() {
    let maker = Maker::script("ls /proc/self/fd | wc -l");
    let count = || fs::read_dir("/proc/self/fd").expect("descriptors").count();
    maker.run();
    let before = count();
    maker.run();
    assert_eq!(count(), before);
    let mut failing = Maker::script("true");
    failing.bundle.config["process"]["args"] = json!(["no-such"]);
    let before = count();
    let error = failing.create(failing.stdio()).expect_err("missing");
    assert_eq!(error.kind(), FailureKind::CommandNotFound);
    assert_eq!(count(), before);
}

fn default_filter_is_loaded() {
    let maker = Maker::script("grep Seccomp: /proc/self/status; mount -t tmpfs none /tmp; true");
    let output = maker.run();
    assert!(output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("Operation not permitted") || output.contains("permission denied"), "{output}");
    let mut free = Maker::script("grep Seccomp: /proc/self/status");
    free.seccomp = SeccompProfile::Unconfined;
    assert_eq!(free.run(), "Seccomp:\t0\n");
}

fn terminal_is_the_console_and_has_its_size() {
    let maker = Maker::script("stty size; [ -c /dev/console ] && echo console; [ -t 0 ] && echo terminal");
    let size = sys::pty::Size { width: 90, height: 33 };
    let created = maker.create(Stdio::Terminal(Some(size))).expect("created");
    created.gate.expect("a gate").start().expect("started");
    let mut output = Vec::new();
    let mut buffer = [0; 512];
    let master = created.terminal.expect("a terminal");
    // The last slave's end is an error of the master.
    while let Ok(count @ 1..) = rustix::io::read(&master, &mut buffer) {
        output.extend_from_slice(&buffer[..count]);
    }
    wait(&created.pidfd).expect("its end");
    assert_eq!(String::from_utf8_lossy(&output), "33 90\r\nconsole\r\nterminal\r\n");
}
