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

#[test]
fn init_reaps_orphans() {
    let foreign = start();
    let script = "sh -c 'sleep 0.2 & exit' ; sleep 0.6; ls -d /proc/[0-9]* | wc -l; cat /proc/1/cmdline | tr '\\0' ' '";
    let text = foreign.bed.ok(["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    assert!(text.contains("docker-init"), "{text}");
    foreign.bed.run(["run", "--rm", "--init", "busybox", "sh", "-c", "exit 6"]).expect_code(6);
    foreign.bed.run(["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"]).expect_code(137);
    let script = "sh -c 'sleep 0.1 & exit'; sleep 0.5; ps -o stat | grep -c Z";
    let output = foreign.bed.run(["run", "--rm", "--init", "busybox", "sh", "-c", script]);
    assert_eq!(output.trimmed(), "0", "zombies");
}

#[test]
fn program_that_cannot_run_is_told_as_by_runc() {
    let foreign = start();
    let bed = &foreign.bed;
    let begin = "OCI runtime create failed";
    let missing = bed.run(["run", "--name", "missing", "busybox", "no-such-command"]).expect_code(127);
    assert!(missing.stderr.contains(begin), "{}", missing.stderr);
    missing.expect_stderr("exec: \"no-such-command\": executable file not found in $PATH");
    assert_eq!(bed.field("missing", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    let folder = bed.run(["run", "--rm", "busybox", "/etc"]).expect_code(126);
    folder.expect_stderr("exec: \"/etc\": ");
    let file = bed.run(["run", "--rm", "busybox", "/etc/passwd"]).expect_code(126);
    file.expect_stderr("exec: \"/etc/passwd\": permission denied");
    let place = bed.run(["run", "--rm", "-w", "/etc/passwd", "busybox", "true"]);
    assert!(place.status == 126 || place.status == 125, "{place:?}");
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    bed.run(["exec", "box", "no-such-command"]).expect_code(126);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}
