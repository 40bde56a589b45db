//! Terminals: prompts, sizes, detaching and coming back.

use std::thread;
use std::time::Duration;

use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::run::wait_for_log;

with_each_client!(
    run_shows_a_prompt_and_returns_the_exit_code,
    terminal_has_the_size_of_the_client_s,
    detach_keys_leave_the_container_running,
    detach_keys_can_be_chosen,
    attach_comes_back_to_a_detached_shell,
    start_attaches_to_a_created_shell,
    exec_shows_a_prompt_and_returns_the_exit_code,
    exec_follows_the_size,
    interrupt_typed_goes_to_the_program,
    output_through_a_terminal_has_carriage_returns,
    attach_without_a_terminal_passes_both_ways,
    every_attached_client_sees_the_output,
    end_of_input_ends_the_shell,
    run_with_t_and_piped_stdin_is_refused,
);

const SHELL: [&str; 2] = ["busybox", "sh"];
const DETACH: [u8; 2] = [16, 17];

fn run_shows_a_prompt_and_returns_the_exit_code(bed: &Bed) {
    let mut session = bed.cli(["run", "-it", "--rm"]).args(SHELL).pty();
    session.expect("/ # ");
    session.send_line("echo $((6*7)) $TERM");
    session.expect("42 xterm");
    session.send_line("exit 5");
    assert_eq!(session.finish().0, 5);
}

fn terminal_has_the_size_of_the_client_s(bed: &Bed) {
    let script = "while :; do stty size; sleep 0.1; done";
    let mut session = bed.cli(["run", "-it", "--rm", "--name", "box", "busybox", "sh", "-c", script]).pty();
    session.expect("24 80\r\n");
    // The container may write before its client listens for changes: the first one can go unnoticed.
    thread::sleep(Duration::from_secs(1));
    session.resize(100, 36);
    thread::sleep(Duration::from_secs(1));
    session.resize(101, 37);
    session.expect("37 101\r\n");
    session.resize(60, 20);
    session.expect("20 60\r\n");
    bed.ok(["rm", "-f", "box"]);
    assert_eq!(session.finish().0, 137);
}

fn detach_keys_leave_the_container_running(bed: &Bed) {
    let mut session = bed.cli(["run", "-it", "--name", "box"]).args(SHELL).pty();
    session.expect("/ # ");
    session.send(DETACH);
    assert_eq!(session.finish().0, 0);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}

fn detach_keys_can_be_chosen(bed: &Bed) {
    let mut session = bed.cli(["run", "-it", "--name", "box", "--detach-keys", "ctrl-x,q"]).args(SHELL).pty();
    session.expect("/ # ");
    session.send([24, b'q']);
    assert_eq!(session.finish().0, 0);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}

fn attach_comes_back_to_a_detached_shell(bed: &Bed) {
    let mut session = bed.cli(["run", "-it", "--name", "box"]).args(SHELL).pty();
    session.expect("/ # ");
    session.send_line("kept=value");
    session.expect("/ # ");
    session.send(DETACH);
    session.finish();
    let mut session = bed.cli(["attach", "box"]).pty();
    session.send_line("echo have-$kept");
    session.expect("have-value");
    session.send_line("exit 3");
    assert_eq!(session.finish().0, 3);
}

fn start_attaches_to_a_created_shell(bed: &Bed) {
    bed.ok(["create", "-it", "--name", "box"].iter().chain(&SHELL));
    for code in [4, 6] {
        let mut session = bed.cli(["start", "-ai", "box"]).pty();
        session.expect("/ # ");
        session.send_line(&format!("exit {code}"));
        assert_eq!(session.finish().0, code);
    }
}

fn exec_shows_a_prompt_and_returns_the_exit_code(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let mut session = bed.cli(["exec", "-it", "-e", "X=from-exec", "box", "sh"]).pty();
    session.expect("/ # ");
    session.send_line("echo $X; tty");
    session.expect("from-exec\r\n/dev/pts/");
    session.send_line("exit 8");
    assert_eq!(session.finish().0, 8);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
}

fn exec_follows_the_size(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let script = "while :; do stty size; sleep 0.1; done";
    let mut session = bed.cli(["exec", "-it", "box", "sh", "-c", script]).pty();
    session.expect("24 80\r\n");
    thread::sleep(Duration::from_secs(1));
    session.resize(90, 33);
    session.expect("33 90\r\n");
    session.send([3]);
    assert_eq!(session.finish().0, 130);
}

fn interrupt_typed_goes_to_the_program(bed: &Bed) {
    let script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done";
    let mut session = bed.cli(["run", "-it", "--rm", "busybox", "sh", "-c", script]).pty();
    session.expect("ready");
    session.send([3]);
    session.expect("caught");
    assert_eq!(session.finish().0, 3);
}

fn output_through_a_terminal_has_carriage_returns(bed: &Bed) {
    let output = bed.run(["run", "--rm", "-t", "busybox", "sh", "-c", "echo out; echo err >&2"]).expect_ok();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out\r\nerr\r\n", ""));
}

fn attach_without_a_terminal_passes_both_ways(bed: &Bed) {
    let script = "read line; echo got $line; sleep 0.5; echo err >&2; exit 4";
    bed.ok(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", script]);
    let mut session = bed.cli(["attach", "box"]).pty();
    session.send_line("typed");
    session.expect("got typed");
    session.expect("err");
    assert_eq!(session.finish().0, 4);
}

fn every_attached_client_sees_the_output(bed: &Bed) {
    let script = "echo up; while [ ! -e /go ]; do sleep 0.05; done; echo for-all";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    let clients: Vec<_> = (0..3).map(|_| bed.cli(["attach", "--no-stdin", "box"]).spawn()).collect();
    // A client says nothing when it has attached.
    std::thread::sleep(std::time::Duration::from_millis(700));
    bed.ok(["exec", "box", "touch", "/go"]);
    for client in clients {
        assert_eq!(client.finish().expect_ok().text(), "for-all\n");
    }
}

fn end_of_input_ends_the_shell(bed: &Bed) {
    let mut session = bed.cli(["run", "-it", "--rm"]).args(SHELL).pty();
    session.expect("/ # ");
    session.send([4]);
    assert_eq!(session.finish().0, 0);
}

fn run_with_t_and_piped_stdin_is_refused(bed: &Bed) {
    let output = bed.cli(["run", "--rm", "-it", "busybox", "true"]).stdin("x").run();
    assert_ne!(output.status, 0);
    output.expect_stderr("the input device is not a TTY");
}
