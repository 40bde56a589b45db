//! From created to removed, and every state between.

use serde_json::json;
use testkit::{Bed, Kind, eventually, with_each_client};

use crate::CORTEN;
use crate::run::wait_for_log;

with_each_client!(
    container_runs_again_after_stop_and_start,
    restart_gives_a_new_process,
    restart_keeps_the_files_of_a_container_that_removes_itself,
    kill_ends_with_137,
    kill_sends_the_signal_asked_for,
    kill_of_a_stopped_container_is_refused,
    pause_freezes_and_unpause_thaws,
    rename_moves_the_name,
    running_container_is_removed_only_by_force,
    start_and_stop_are_idempotent,
    stop_with_a_time_limit_kills,
    wait_prints_the_exit_code_of_each,
    wait_conditions_are_told_apart,
    writable_layer_is_kept_between_starts,
    unknown_container_is_an_error_that_names_it,
    short_id_and_name_find_the_container,
    many_containers_are_handled_in_one_command,
    start_of_a_program_that_is_missing_can_be_repeated,
);

const SLEEP: [&str; 3] = ["busybox", "sleep", "600"];

fn sleeper(bed: &Bed, name: &str) -> String {
    bed.ok(["run", "-d", "--name", name].iter().chain(&SLEEP))
}

fn container_runs_again_after_stop_and_start(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "sh", "-c", "echo run; exit 3"]);
    assert_eq!(bed.field("box", "{{.State.Status}} {{.State.Pid}}"), "created 0");
    for _ in 0..2 {
        assert_eq!(bed.ok(["start", "box"]), "box");
        assert_eq!(bed.ok(["wait", "box"]), "3");
    }
    assert_eq!(bed.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    assert_eq!(bed.ok(["logs", "box"]), "run\nrun");
}

fn restart_gives_a_new_process(bed: &Bed) {
    sleeper(bed, "box");
    let before = bed.field("box", "{{.State.Pid}} {{.State.StartedAt}}");
    bed.ok(["restart", "-t", "0", "box"]);
    assert_ne!(bed.field("box", "{{.State.Pid}} {{.State.StartedAt}}"), before);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}

fn restart_keeps_the_files_of_a_container_that_removes_itself(bed: &Bed) {
    let script = "test -e /file && echo again; touch /file; echo up; exec sleep 600";
    bed.ok(["run", "-d", "--rm", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    for _ in 0..2 {
        bed.ok(["restart", "-t", "0", "box"]);
        wait_for_log(bed, "box", "again");
    }
    bed.ok(["stop", "-t", "0", "box"]);
    let gone = eventually(std::time::Duration::from_secs(5), || {
        bed.run(["ps", "-aq"]).expect_ok().text().is_empty().then_some(())
    });
    assert!(gone.is_some(), "the container is still there");
}

fn kill_ends_with_137(bed: &Bed) {
    sleeper(bed, "box");
    assert_eq!(bed.ok(["kill", "box"]), "box");
    assert_eq!(bed.ok(["wait", "box"]), "137");
    assert_eq!(bed.field("box", "{{.State.OOMKilled}}"), "false");
}

fn kill_sends_the_signal_asked_for(bed: &Bed) {
    let script = "trap 'echo usr1' USR1; trap 'exit 5' HUP; echo up; while :; do sleep 0.05; done";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    bed.ok(["kill", "-s", "SIGUSR1", "box"]);
    wait_for_log(bed, "box", "usr1");
    bed.ok(["kill", "--signal=1", "box"]);
    assert_eq!(bed.ok(["wait", "box"]), "5");
    sleeper(bed, "other");
    bed.run(["kill", "-s", "NOSUCH", "other"]).expect_code(1);
}

fn kill_of_a_stopped_container_is_refused(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox"]);
    bed.run(["kill", "box"]).expect_code(1).expect_stderr("is not running");
}

fn pause_freezes_and_unpause_thaws(bed: &Bed) {
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "3");
    bed.ok(["pause", "box"]);
    assert_eq!(
        bed.field("box", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}"),
        "paused true true"
    );
    let lines = bed.ok(["logs", "box"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(bed.ok(["logs", "box"]), lines);
    bed.run(["pause", "box"]).expect_code(1).expect_stderr("already paused");
    bed.run(["exec", "box", "true"]).expect_code(1).expect_stderr("paused");
    bed.ok(["unpause", "box"]);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
    let moved =
        eventually(std::time::Duration::from_secs(5), || (bed.ok(["logs", "box"]) != lines).then_some(()));
    assert!(moved.is_some(), "the program does not run on");
    bed.run(["unpause", "box"]).expect_code(1).expect_stderr("not paused");
}

fn rename_moves_the_name(bed: &Bed) {
    let id = sleeper(bed, "old");
    sleeper(bed, "taken");
    bed.ok(["rename", "old", "new"]);
    assert_eq!(bed.field("new", "{{.Id}} {{.Name}}"), format!("{id} /new"));
    bed.run(["inspect", "old"]).expect_code(1);
    bed.run(["rename", "new", "taken"]).expect_code(1).expect_stderr("is already in use by container");
    bed.run(["rename", "new", "bad/name"]).expect_code(1);
    bed.ok(["create", "--name", "old", "busybox"]);
}

fn running_container_is_removed_only_by_force(bed: &Bed) {
    sleeper(bed, "box");
    bed.run(["rm", "box"]).expect_code(1).expect_stderr("running");
    bed.ok(["rm", "-f", "box"]);
    bed.run(["inspect", "box"]).expect_code(1);
    bed.ok(["rm", "-f", "box"]);
}

fn start_and_stop_are_idempotent(bed: &Bed) {
    let id = sleeper(bed, "box");
    let http = bed.engine.http();
    http.post(&format!("/containers/{id}/start"), &json!({})).expect(304);
    bed.ok(["stop", "-t", "0", "box"]);
    http.post(&format!("/containers/{id}/stop"), &json!({})).expect(304);
    bed.ok(["stop", "box"]);
}

fn stop_with_a_time_limit_kills(bed: &Bed) {
    sleeper(bed, "box");
    let start = std::time::Instant::now();
    bed.ok(["stop", "-t", "1", "box"]);
    let took = start.elapsed().as_secs_f64();
    assert!((0.9..6.0).contains(&took), "stop took {took} s");
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "137");
}

fn wait_prints_the_exit_code_of_each(bed: &Bed) {
    for code in [0, 3, 77] {
        bed.ok([
            "run",
            "-d",
            "--name",
            &format!("box{code}"),
            "busybox",
            "sh",
            "-c",
            &format!("exit {code}"),
        ]);
    }
    assert_eq!(bed.ok(["wait", "box0", "box3", "box77"]), "0\n3\n77");
    bed.run(["wait", "no-such"]).expect_code(1).expect_stderr("No such container: no-such");
}

fn wait_conditions_are_told_apart(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "sh", "-c", "exit 6"]);
    let http = bed.engine.http();
    let not_running = http.post("/containers/box/wait?condition=not-running", &json!({})).expect(200);
    assert_eq!(not_running.json()["StatusCode"], 0);
    let next_exit = http.stream("POST", "/containers/box/wait?condition=next-exit", b"");
    let removed = http.stream("POST", "/containers/box/wait?condition=removed", b"");
    bed.ok(["start", "box"]);
    let code =
        |mut stream: testkit::http::Stream| stream.next_json().expect("an answer")["StatusCode"].clone();
    assert_eq!(code(next_exit), 6);
    // Docker 20.10 took any word for the default.
    if bed.engine.kind() != Kind::Reference {
        http.post("/containers/box/wait?condition=nonsense", &json!({})).expect(400);
    }
    bed.ok(["rm", "box"]);
    assert_eq!(code(removed), 6);
}

fn writable_layer_is_kept_between_starts(bed: &Bed) {
    let script = "[ -e /kept ] && cat /kept; echo again >> /kept";
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", script]);
    assert_eq!(bed.ok(["start", "-a", "box"]), "again");
    assert_eq!(bed.sh(&[], "ls /kept 2>/dev/null || echo absent"), "absent");
}

fn unknown_container_is_an_error_that_names_it(bed: &Bed) {
    for command in ["start", "stop", "kill", "restart", "pause", "unpause", "rm", "logs", "top", "wait"] {
        bed.run([command, "no-such"]).expect_code(1).expect_stderr("No such container: no-such");
    }
    bed.run(["exec", "no-such", "true"]).expect_code(1).expect_stderr("No such container: no-such");
}

fn short_id_and_name_find_the_container(bed: &Bed) {
    let id = sleeper(bed, "box");
    for reference in ["box", "/box", &id[..12], &id[..4], &id] {
        assert_eq!(bed.field(reference, "{{.Id}}"), id, "{reference}");
    }
}

fn many_containers_are_handled_in_one_command(bed: &Bed) {
    let names = ["box1", "box2", "box3"];
    names.iter().for_each(|name| drop(sleeper(bed, name)));
    assert_eq!(bed.ok(["stop", "-t", "0"].iter().chain(&names)), names.join("\n"));
    let output = bed.run(["rm", "box1", "no-such", "box2"]).expect_code(1);
    assert_eq!(output.trimmed(), "box1\nbox2");
    output.expect_stderr("No such container: no-such");
}

fn start_of_a_program_that_is_missing_can_be_repeated(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "/late"]);
    bed.run(["start", "box"]).expect_code(1).expect_stderr("/late");
    bed.run(["start", "-a", "box"]).expect_code(1);
    bed.ok(["rm", "box"]);
}
