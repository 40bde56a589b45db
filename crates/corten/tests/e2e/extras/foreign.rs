//! Debian's dockerd with `corten runtime` in the place of runc.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use testkit::engine::Builder;
use testkit::{Bed, Client, Kind};

use crate::CORTEN;
use crate::run::wait_for_log;

/// dockerd, with a directory that has the runtime's script; removed after the engine.
struct Foreign {
    bed: Bed,
    _script: tempfile::TempDir,
}

fn start() -> Foreign {
    let directory = tempfile::tempdir().expect("create a directory");
    let script = directory.path().join("corten-runtime");
    fs::write(&script, format!("#!/bin/sh\nexec {CORTEN} runtime \"$@\"\n")).expect("write the script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make the script executable");
    let flags = [format!("--add-runtime=corten={}", script.display()), "--default-runtime=corten".to_owned()];
    let bed = Bed::with(Builder::new(Kind::Reference, CORTEN.as_ref()).flags(flags), Client::Docker);
    Foreign { bed, _script: directory }
}

#[test]
fn container_runs_and_returns_its_exit_code() {
    let foreign = start();
    let output = foreign
        .bed
        .run(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 5"])
        .expect_code(5);
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    foreign.bed.run(["run", "--rm", "busybox", "no-such-command"]).expect_code(127);
}

#[test]
fn container_lives_through_every_command() {
    let foreign = start();
    let bed = &foreign.bed;
    let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
    bed.ok(["run", "-d", "--name", "box", "-m", "64m", "--pids-limit", "50", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    assert_eq!(bed.ok(["exec", "-e", "A=1", "-w", "/etc", "box", "sh", "-c", "echo $A; pwd"]), "1\n/etc");
    bed.run(["exec", "box", "sh", "-c", "exit 3"]).expect_code(3);
    assert_eq!(bed.ok(["exec", "box", "cat", "/sys/fs/cgroup/pids/pids.max"]), "50");
    bed.ok(["pause", "box"]);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "paused");
    bed.ok(["unpause", "box"]);
    bed.ok(["update", "-m", "80m", "--memory-swap", "80m", "box"]);
    let limit = bed.ok(["exec", "box", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    assert_eq!(limit, (80 << 20).to_string());
    assert!(bed.ok(["top", "box"]).contains("sh -c"));
    bed.ok(["stop", "box"]);
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "7");
    bed.ok(["start", "box"]);
    bed.ok(["kill", "box"]);
    assert_eq!(bed.ok(["wait", "box"]), "137");
}

#[test]
fn terminal_works() {
    let foreign = start();
    let mut session = foreign.bed.cli(["run", "-it", "--rm", "busybox", "sh"]).pty();
    session.expect("/ # ");
    // dockerd tells the size after the start.
    session.send_line("tty; sleep 1; stty size");
    session.expect("/dev/pts/0");
    session.expect("24 80");
    session.send_line("exit 4");
    assert_eq!(session.finish().0, 4);
}
