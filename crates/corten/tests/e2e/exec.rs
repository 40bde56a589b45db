//! `exec`.

use std::time::Duration;

use serde_json::json;
use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    exit_code_and_streams_come_back,
    missing_command_is_127_and_other_failures_126,
    stdin_is_passed_with_i,
    environment_user_and_directory_are_set,
    environment_of_the_container_is_inherited,
    detached_exec_runs_on,
    stopped_container_is_refused,
    process_has_the_container_s_namespaces_and_limits,
    container_s_end_ends_its_execs,
    api_tells_the_exit_code,
    many_execs_at_once_keep_their_output,
    end_of_exec_leaves_no_process,
);

fn start(bed: &Bed, options: &[&str]) {
    let head = ["run", "-d", "--name", "box"].into_iter().chain(options.iter().copied());
    bed.ok(head.chain(["busybox", "sleep", "600"]));
}

fn exit_code_and_streams_come_back(bed: &Bed) {
    start(bed, &[]);
    let output = bed.run(["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 42"]).expect_code(42);
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    bed.run(["exec", "box", "sh", "-c", "kill -9 $$"]).expect_code(137);
}

fn missing_command_is_127_and_other_failures_126(bed: &Bed) {
    start(bed, &[]);
    // Docker 20.10 answered 126 to both; since 25 a missing command is 127.
    let output = bed.run(["exec", "box", "no-such-command"]);
    assert!([126, 127].contains(&output.status), "{output:?}");
    let said = format!("{}{}", output.text(), output.stderr);
    assert!(said.contains("executable file not found in $PATH"), "{said}");
    bed.run(["exec", "box", "/etc/passwd"]).expect_code(126);
}

fn stdin_is_passed_with_i(bed: &Bed) {
    start(bed, &[]);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| ((number * 7) >> 3) as u8).collect();
    let output = bed.cli(["exec", "-i", "box", "cat"]).stdin(bytes.clone()).run().expect_ok();
    assert!(output.stdout == bytes, "{} of {} bytes came back", output.stdout.len(), bytes.len());
    let output = bed.cli(["exec", "box", "cat"]).stdin("unread").run().expect_ok();
    assert_eq!(output.text(), "");
}

fn environment_user_and_directory_are_set(bed: &Bed) {
    start(bed, &[]);
    let options = ["exec", "-e", "GIVEN=1", "-u", "tester:mail", "-w", "/tmp", "box"];
    let text = bed.ok(options.iter().chain(&["sh", "-c", "echo $GIVEN; id -u; id -g; pwd; echo $HOME"]));
    assert_eq!(text, "1\n1000\n8\n/tmp\n/home");
    let output = bed.run(["exec", "-u", "nosuch", "box", "true"]);
    assert_ne!(output.status, 0);
    let said = format!("{}{}", output.text(), output.stderr);
    assert!(said.contains("unable to find user nosuch"), "{said}");
}

fn environment_of_the_container_is_inherited(bed: &Bed) {
    start(bed, &["-e", "FROM_RUN=yes", "-w", "/etc", "--hostname", "named"]);
    let text = bed.ok(["exec", "box", "sh", "-c", "echo $FROM_RUN; pwd; hostname; echo $HOSTNAME"]);
    assert_eq!(text, "yes\n/etc\nnamed\nnamed");
}

fn detached_exec_runs_on(bed: &Bed) {
    start(bed, &[]);
    bed.ok(["exec", "-d", "box", "sh", "-c", "sleep 0.3; echo done > /result"]);
    let done = eventually(Duration::from_secs(10), || {
        (bed.run(["exec", "box", "cat", "/result"]).trimmed() == "done").then_some(())
    });
    assert!(done.is_some());
}

fn stopped_container_is_refused(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox"]);
    bed.run(["exec", "box", "true"]).expect_code(1).expect_stderr("is not running");
}

fn process_has_the_container_s_namespaces_and_limits(bed: &Bed) {
    start(bed, &["--ulimit", "nofile=100:200"]);
    for kind in ["ipc", "mnt", "net", "pid", "uts"] {
        let path = format!("/proc/self/ns/{kind}");
        let first = format!("/proc/1/ns/{kind}");
        assert_eq!(
            bed.ok(["exec", "box", "readlink", &path]),
            bed.ok(["exec", "box", "readlink", &first]),
            "{kind}"
        );
    }
    let script = "grep -E '^(CapEff|Seccomp|NoNewPrivs):' /proc/self/status";
    let of_first = bed.ok(["exec", "box", "sh", "-c", &script.replace("self", "1")]);
    assert_eq!(bed.ok(["exec", "box", "sh", "-c", script]), of_first);
    let script =
        "cat /proc/1/cgroup > /tmp/a; cat /proc/self/cgroup > /tmp/b; cmp /tmp/a /tmp/b && echo same";
    assert_eq!(bed.ok(["exec", "box", "sh", "-c", script]), "same");
}

fn container_s_end_ends_its_execs(bed: &Bed) {
    start(bed, &[]);
    let running = bed.cli(["exec", "box", "sleep", "600"]).spawn();
    std::thread::sleep(Duration::from_millis(500));
    bed.ok(["kill", "box"]);
    running.finish().expect_code(137);
}

fn api_tells_the_exit_code(bed: &Bed) {
    start(bed, &[]);
    let http = bed.engine.http();
    let body = json!({"Cmd": ["sh", "-c", "echo $V; exit 9"], "Env": ["V=text"], "AttachStdout": true});
    let id =
        http.post("/containers/box/exec", &body).expect(201).json()["Id"].as_str().expect("an ID").to_owned();
    let before = http.get(&format!("/exec/{id}/json")).expect(200).json();
    assert_eq!((&before["Running"], &before["ExitCode"]), (&json!(false), &json!(null)));
    let output = http.post(&format!("/exec/{id}/start"), &json!({"Detach": false})).expect(200);
    assert_eq!(output.body, b"\x01\0\0\0\0\0\0\x05text\n");
    let ended = eventually(Duration::from_secs(5), || {
        let after = http.get(&format!("/exec/{id}/json")).expect(200).json();
        (after["Running"] == false && after["ExitCode"] == 9).then_some(after)
    });
    let after = ended.expect("the exec has ended with 9");
    assert_eq!(after["ProcessConfig"]["entrypoint"], "sh");
    http.post(&format!("/exec/{id}/start"), &json!({"Detach": true})).expect(409);
    http.get("/exec/no-such/json").expect(404);
}

fn many_execs_at_once_keep_their_output(bed: &Bed) {
    start(bed, &[]);
    let script = |number: u32| format!("for i in $(seq 1 200); do echo {number}-$i; done");
    let running: Vec<_> =
        (0..8).map(|number| bed.cli(["exec", "box", "sh", "-c", &script(number)]).spawn()).collect();
    for (number, running) in running.into_iter().enumerate() {
        let expected: String = (1..=200).map(|i| format!("{number}-{i}\n")).collect();
        assert_eq!(running.finish().expect_ok().text(), expected);
    }
}

fn end_of_exec_leaves_no_process(bed: &Bed) {
    start(bed, &[]);
    for _ in 0..3 {
        bed.ok(["exec", "box", "true"]);
    }
    let left =
        eventually(Duration::from_secs(5), || (bed.ok(["top", "box"]).lines().count() == 2).then_some(()));
    assert!(left.is_some(), "{}", bed.ok(["top", "box"]));
}
