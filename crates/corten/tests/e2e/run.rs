//! `run`: what the program gets, what comes back.

use std::fs;

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    output_goes_to_its_own_stream,
    exit_code_is_that_of_the_program,
    unknown_command_exits_127,
    file_without_permission_exits_126,
    unknown_flag_exits_125,
    absent_image_exits_125,
    environment_is_what_was_asked_for,
    working_directory_is_made_and_entered,
    user_is_looked_up_in_the_image,
    unknown_user_is_refused,
    supplementary_groups_are_added,
    entrypoint_is_replaced_and_reset,
    hostname_and_domainname_are_set,
    hostname_defaults_to_the_short_id,
    labels_are_kept,
    name_in_use_is_refused,
    rm_removes_the_container,
    stdin_reaches_the_program_with_i,
    stdin_is_empty_without_i,
    megabytes_of_stdin_come_through,
    attach_chooses_streams,
    detached_run_prints_the_id,
    cidfile_has_the_id_and_is_not_overwritten,
    other_platform_is_refused,
    init_reaps_orphans,
    stop_signal_is_sent_by_stop,
    stop_timeout_ends_in_a_kill,
    interrupt_is_proxied_to_the_program,
);

fn output_goes_to_its_own_stream(bed: &Bed) {
    let output = bed.run(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2"]).expect_ok();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out\n", "err\n"));
}

fn exit_code_is_that_of_the_program(bed: &Bed) {
    for code in [0, 1, 42, 255] {
        bed.run(["run", "--rm", "busybox", "sh", "-c", &format!("exit {code}")]).expect_code(code);
    }
}

fn unknown_command_exits_127(bed: &Bed) {
    let output = bed.run(["run", "--name", "box", "busybox", "no-such-command"]).expect_code(127);
    output.expect_stderr("no-such-command").expect_stderr("executable file not found in $PATH");
    assert_eq!(bed.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
    bed.run(["run", "--rm", "busybox", "/no/such/path"])
        .expect_code(127)
        .expect_stderr("no such file or directory");
}

fn file_without_permission_exits_126(bed: &Bed) {
    bed.run(["run", "--rm", "busybox", "/etc/passwd"]).expect_code(126).expect_stderr("permission denied");
    bed.run(["run", "--rm", "busybox", "/etc"]).expect_code(126);
}

fn unknown_flag_exits_125(bed: &Bed) {
    let output = bed.run(["run", "--no-such-flag", "busybox", "true"]).expect_code(125);
    output.expect_stderr("unknown flag: --no-such-flag");
}

fn absent_image_exits_125(bed: &Bed) {
    let output = bed.run(["run", "--pull", "never", "no-such-image", "true"]).expect_code(125);
    output.expect_stderr("No such image: no-such-image:latest");
}

fn environment_is_what_was_asked_for(bed: &Bed) {
    let file = bed.engine.directory().join("variables");
    fs::write(&file, "# comment\n\nFROM_FILE=a b=c\nFROM_CLIENT\n").expect("write a file");
    let output = bed
        .cli(["run", "--rm", "-e", "GIVEN=1=2", "-e", "INHERITED", "-e", "NOT_SET", "--env-file"])
        .arg(&file)
        .args(["busybox", "env"])
        .env("INHERITED", "from client")
        .env("FROM_CLIENT", "too")
        .run()
        .expect_ok();
    let text = output.text();
    let lines: Vec<&str> = text.lines().collect();
    for expected in ["GIVEN=1=2", "INHERITED=from client", "FROM_FILE=a b=c", "FROM_CLIENT=too", "HOME=/root"]
    {
        assert!(lines.contains(&expected), "{expected} in {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("PATH=/usr/local/sbin:")), "{lines:?}");
    assert!(!text.contains("NOT_SET") && !text.contains("TERM="), "{lines:?}");
}

fn working_directory_is_made_and_entered(bed: &Bed) {
    assert_eq!(bed.sh(&["-w", "/srv/new/deep"], "pwd"), "/srv/new/deep");
    bed.run(["run", "--rm", "-w", "relative", "busybox", "true"]).expect_code(125);
}

fn user_is_looked_up_in_the_image(bed: &Bed) {
    let script = "id -u; id -g; id -G; echo $HOME";
    for (user, expected) in [
        ("tester", "1000\n1000\n1000 1 8\n/home"),
        ("1000", "1000\n1000\n1000 1 8\n/home"),
        ("tester:mail", "1000\n8\n8\n/home"),
        ("1234:5678", "1234\n5678\n5678\n/"),
        ("4321", "4321\n0\n0\n/"),
    ] {
        let found = bed.sh(&["-u", user], script);
        // The order of supplementary groups is not promised.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let mut groups: Vec<&str> = lines[2].split(' ').collect();
            groups.sort_unstable();
            lines[2] = groups.join(" ");
            lines
        };
        assert_eq!(sorted(&found), sorted(expected), "user {user}");
    }
}

fn unknown_user_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "-u", "nosuch", "busybox", "true"]);
    assert!([125, 126].contains(&output.status), "{output:?}");
    output.expect_stderr("unable to find user nosuch: no matching entries in passwd file");
}

fn supplementary_groups_are_added(bed: &Bed) {
    let groups = bed.sh(&["-u", "1234", "--group-add", "mail", "--group-add", "777"], "id -G");
    let mut groups: Vec<&str> = groups.split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["0", "777", "8"]);
}

fn entrypoint_is_replaced_and_reset(bed: &Bed) {
    let replaced = ["run", "--rm", "--entrypoint", "/bin/echo", "busybox", "a", "b"];
    assert_eq!(bed.ok(replaced), "a b");
    assert_eq!(bed.ok(["run", "--rm", "--entrypoint", "", "busybox", "echo", "box"]), "box");
}

fn hostname_and_domainname_are_set(bed: &Bed) {
    let script =
        "hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname; grep -c box.example /etc/hosts";
    let text = bed.sh(&["--hostname", "box", "--domainname", "example"], script);
    assert_eq!(text, "box\nbox\nexample\n1");
}

fn hostname_defaults_to_the_short_id(bed: &Bed) {
    let id = bed.ok(["run", "-d", "--name", "box", "busybox", "hostname"]);
    bed.ok(["wait", "box"]);
    assert_eq!(bed.ok(["logs", "box"]), id[..12]);
}

fn labels_are_kept(bed: &Bed) {
    let file = bed.engine.directory().join("labels");
    fs::write(&file, "file.a=1\n# comment\nignored.without.value\n").expect("write a file");
    bed.cli(["create", "--name", "box", "-l", "plain=x y", "--label", "bare", "--label-file"])
        .arg(&file)
        .args(["busybox"])
        .run()
        .expect_ok();
    let labels = bed.field("box", "{{json .Config.Labels}}");
    assert_eq!(labels, r#"{"bare":"","file.a":"1","plain":"x y"}"#);
}

fn name_in_use_is_refused(bed: &Bed) {
    let id = bed.ok(["create", "--name", "taken", "busybox"]);
    let output = bed.run(["run", "--name", "taken", "busybox", "true"]).expect_code(125);
    output.expect_stderr(&format!(
        "Conflict. The container name \"/taken\" is already in use by container \"{id}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    ));
}

fn rm_removes_the_container(bed: &Bed) {
    bed.run(["run", "--rm", "--name", "gone", "busybox", "false"]).expect_code(1);
    bed.run(["inspect", "gone"]).expect_code(1);
    assert_eq!(bed.ok(["ps", "-aq"]), "");
}

fn stdin_reaches_the_program_with_i(bed: &Bed) {
    let output = bed.cli(["run", "--rm", "-i", "busybox", "cat"]).stdin("a\nb").run().expect_ok();
    assert_eq!(output.text(), "a\nb");
}

fn stdin_is_empty_without_i(bed: &Bed) {
    let output = bed.cli(["run", "--rm", "busybox", "cat"]).stdin("unread").run().expect_ok();
    assert_eq!(output.text(), "");
}

fn megabytes_of_stdin_come_through(bed: &Bed) {
    let bytes: Vec<u8> = (0..8_000_000_u32).map(|number| ((number * 31) >> 5) as u8).collect();
    let output = bed.cli(["run", "--rm", "-i", "busybox", "cat"]).stdin(bytes.clone()).run().expect_ok();
    assert!(output.stdout == bytes, "{} of {} bytes came back", output.stdout.len(), bytes.len());
}

fn attach_chooses_streams(bed: &Bed) {
    let script = "echo out; echo err >&2";
    let output = bed.run(["run", "--rm", "-a", "stderr", "busybox", "sh", "-c", script]).expect_ok();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("", "err\n"));
}

fn detached_run_prints_the_id(bed: &Bed) {
    let id = bed.ok(["run", "-d", "busybox", "true"]);
    assert_eq!(id.len(), 64, "{id}");
    assert_eq!(bed.ok(["wait", &id]), "0");
}

fn cidfile_has_the_id_and_is_not_overwritten(bed: &Bed) {
    let file = bed.engine.directory().join("cid");
    let path = file.to_str().expect("a plain path");
    let id = bed.ok(["run", "-d", "--cidfile", path, "busybox", "true"]);
    assert_eq!(fs::read_to_string(&file).expect("the file was written"), id);
    let again = bed.run(["run", "-d", "--cidfile", path, "busybox", "true"]);
    assert_ne!(again.status, 0);
    again.expect_stderr("container ID file found");
}

fn other_platform_is_refused(bed: &Bed) {
    bed.ok(["run", "--rm", "--platform", "linux/amd64", "busybox", "true"]);
    bed.run(["run", "--rm", "--pull", "never", "--platform", "linux/riscv64", "busybox", "true"])
        .expect_code(125);
}

fn init_reaps_orphans(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "--init", "busybox", "sh", "-c", "echo up; exec sleep 600"]);
    assert_eq!(bed.ok(["exec", "box", "cat", "/proc/1/comm"]), "docker-init");
    bed.ok(["exec", "box", "sh", "-c", "(sleep 0.2 &) ; exit 0"]);
    let reaped = testkit::eventually(std::time::Duration::from_secs(5), || {
        let states = bed.ok(["exec", "box", "sh", "-c", "cat /proc/[0-9]*/stat | cut -d' ' -f3 | sort -u"]);
        (!states.contains('Z')).then_some(())
    });
    assert!(reaped.is_some(), "a zombie is left");
    bed.ok(["stop", "box"]);
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "143");
}

fn stop_signal_is_sent_by_stop(bed: &Bed) {
    let script = "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done";
    bed.ok(["run", "-d", "--name", "box", "--stop-signal", "USR1", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    bed.ok(["stop", "box"]);
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "7");
}

fn stop_timeout_ends_in_a_kill(bed: &Bed) {
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    bed.ok(["run", "-d", "--name", "box", "--stop-timeout", "1", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    let start = std::time::Instant::now();
    bed.ok(["stop", "box"]);
    let took = start.elapsed().as_secs_f64();
    assert!((0.9..6.0).contains(&took), "stop took {took} s");
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "137");
}

fn interrupt_is_proxied_to_the_program(bed: &Bed) {
    let script = "trap 'exit 9' INT; echo up; while :; do sleep 0.05; done";
    let running = bed.cli(["run", "--name", "box", "busybox", "sh", "-c", script]).spawn();
    let up = testkit::eventually(std::time::Duration::from_secs(10), || {
        bed.run(["logs", "box"]).text().contains("up").then_some(())
    });
    assert!(up.is_some(), "the program did not start");
    running.signal(rustix::process::Signal::INT);
    running.finish().expect_code(9);
}

/// Waits until a container has logged this.
#[track_caller]
pub(crate) fn wait_for_log(bed: &Bed, container: &str, text: &str) {
    let found = testkit::eventually(std::time::Duration::from_secs(10), || {
        bed.run(["logs", container]).text().contains(text).then_some(())
    });
    assert!(found.is_some(), "{container} did not log {text:?}");
}
