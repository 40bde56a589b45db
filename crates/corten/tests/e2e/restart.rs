//! Restart policies.

use std::time::Duration;

use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    on_failure_stops_after_its_limit,
    on_failure_leaves_success_alone,
    always_restarts_until_it_is_stopped,
    killed_container_is_not_restarted,
    policy_with_rm_is_refused,
);

fn restarts(bed: &Bed, at_least: u32) -> bool {
    let probe =
        || bed.field("box", "{{.RestartCount}}").parse::<u32>().ok().filter(|count| *count >= at_least);
    eventually(Duration::from_secs(20), probe).is_some()
}

fn on_failure_stops_after_its_limit(bed: &Bed) {
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "--restart",
        "on-failure:2",
        "busybox",
        "sh",
        "-c",
        "echo x; exit 9",
    ]);
    assert!(restarts(bed, 2));
    let ended = eventually(Duration::from_secs(10), || {
        (bed.field("box", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}") == "exited 9 2")
            .then_some(())
    });
    assert!(ended.is_some(), "{}", bed.field("box", "{{json .State}} {{.RestartCount}}"));
    assert_eq!(bed.ok(["logs", "box"]), "x\nx\nx");
}

fn on_failure_leaves_success_alone(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "--restart", "on-failure", "busybox", "true"]);
    bed.ok(["wait", "box"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(bed.field("box", "{{.State.Status}} {{.RestartCount}}"), "exited 0");
}

fn always_restarts_until_it_is_stopped(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1"]);
    assert!(restarts(bed, 2));
    bed.ok(["stop", "-t", "1", "box"]);
    let count = bed.field("box", "{{.RestartCount}}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(bed.field("box", "{{.State.Status}} {{.RestartCount}}"), format!("exited {count}"));
}

fn killed_container_is_not_restarted(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "--restart", "unless-stopped", "busybox", "sleep", "600"]);
    bed.ok(["kill", "box"]);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(bed.field("box", "{{.State.Status}}"), "exited");
}

fn policy_with_rm_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--restart", "always", "busybox", "true"]).expect_code(125);
    output.expect_stderr("conflicting options: cannot specify both --restart and --rm");
    bed.run(["run", "--restart", "nonsense", "busybox", "true"]).expect_code(125);
}
