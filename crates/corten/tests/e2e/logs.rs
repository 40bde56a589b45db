//! `logs`.

use std::time::{Duration, Instant};

use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::run::wait_for_log;

with_each_client!(
    streams_are_kept_apart,
    tail_shows_the_last_lines,
    since_and_until_cut_by_time,
    timestamps_are_rfc3339_with_nanoseconds,
    follow_shows_lines_as_they_come_and_ends_with_the_container,
    follow_with_tail_starts_late,
    large_output_is_complete,
    line_without_an_end_is_kept,
    long_lines_are_kept_whole,
    bytes_that_are_no_text_do_not_stop_the_log,
    driver_none_keeps_nothing,
    driver_local_is_read_back,
    rotation_drops_the_oldest,
    unknown_driver_is_refused,
    log_of_a_terminal_has_carriage_returns,
    unknown_client_gets_a_frame_for_each_line,
);

fn streams_are_kept_apart(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "echo out1; echo err1 >&2; echo out2"]);
    let output = bed.run(["logs", "box"]).expect_ok();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("out1\nout2\n", "err1\n"));
}

fn tail_shows_the_last_lines(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "seq", "1", "500"]);
    assert_eq!(bed.ok(["logs", "--tail", "3", "box"]), "498\n499\n500");
    assert_eq!(bed.ok(["logs", "-n", "0", "box"]), "");
    assert_eq!(bed.ok(["logs", "--tail", "all", "box"]).lines().count(), 500);
    assert_eq!(bed.ok(["logs", "--tail", "900", "box"]).lines().count(), 500);
}

fn since_and_until_cut_by_time(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "echo early; sleep 1.2; echo late"]);
    let stamped = bed.ok(["logs", "-t", "box"]);
    let late = stamped.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a time");
    assert_eq!(bed.ok(["logs", "--since", late, "box"]), "late");
    assert_eq!(bed.ok(["logs", "--since", "10m", "box"]), "early\nlate");
    let early = stamped.split(' ').next().expect("a time");
    assert_eq!(bed.ok(["logs", "--until", early, "box"]), "early");
    assert_eq!(bed.ok(["logs", "--until", "10m", "box"]), "");
}

fn timestamps_are_rfc3339_with_nanoseconds(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "echo", "text"]);
    let line = bed.ok(["logs", "-t", "box"]);
    let (time, text) = line.split_once(' ').expect("a time and a text");
    assert_eq!(text, "text");
    assert_eq!(time.len(), "2024-01-01T00:00:00.000000000Z".len(), "{time}");
    assert!(time.ends_with('Z') && time[10..].starts_with('T'), "{time}");
}

fn follow_shows_lines_as_they_come_and_ends_with_the_container(bed: &Bed) {
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    let start = Instant::now();
    let output = bed.run(["logs", "-f", "box"]).expect_ok();
    assert_eq!(output.text(), "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn follow_with_tail_starts_late(bed: &Bed) {
    let script = "seq 1 50; echo up; while [ ! -e /go ]; do sleep 0.05; done; echo end";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "up");
    let follower = bed.cli(["logs", "-f", "--tail", "2", "box"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    bed.ok(["exec", "box", "touch", "/go"]);
    assert_eq!(follower.finish().expect_ok().text(), "50\nup\nend\n");
}

fn large_output_is_complete(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "seq", "1", "300000"]);
    let expected: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    let followed = bed.run(["logs", "-f", "box"]).expect_ok();
    assert!(followed.text() == expected, "{} of {} bytes followed", followed.stdout.len(), expected.len());
    let read = bed.run(["logs", "box"]).expect_ok();
    assert!(read.text() == expected, "{} of {} bytes read", read.stdout.len(), expected.len());
}

fn line_without_an_end_is_kept(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "echo -n no-end"]);
    assert_eq!(bed.run(["logs", "box"]).expect_ok().text(), "no-end");
}

fn long_lines_are_kept_whole(bed: &Bed) {
    let script = "head -c 100000 /dev/zero | tr '\\0' a; echo; echo short";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    bed.ok(["wait", "box"]);
    let text = bed.run(["logs", "box"]).expect_ok().text();
    assert!(text == format!("{}\nshort\n", "a".repeat(100_000)), "{} bytes", text.len());
}

fn bytes_that_are_no_text_do_not_stop_the_log(bed: &Bed) {
    bed.ok([
        "run",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "printf 'a\\377\\000\\001\"\\\\b\\n'; echo after",
    ]);
    let output = bed.run(["logs", "box"]).expect_ok();
    assert!(output.text().ends_with("b\nafter\n"), "{:?}", output.text());
}

fn driver_none_keeps_nothing(bed: &Bed) {
    let output =
        bed.run(["run", "--name", "box", "--log-driver", "none", "busybox", "echo", "seen"]).expect_ok();
    assert_eq!(output.trimmed(), "seen");
    bed.run(["logs", "box"])
        .expect_code(1)
        .expect_stderr("configured logging driver does not support reading");
}

fn driver_local_is_read_back(bed: &Bed) {
    // Two streams are logged as they are read: what must come last is written last by far.
    let script = "echo err >&2; sleep 0.3; echo out; seq 1 2000";
    bed.run(["run", "--name", "box", "--log-driver", "local", "busybox", "sh", "-c", script]).expect_ok();
    let output = bed.run(["logs", "box"]).expect_ok();
    assert_eq!(output.stderr, "err\n");
    assert!(output.text().starts_with("out\n1\n") && output.text().ends_with("1999\n2000\n"));
    assert_eq!(bed.ok(["logs", "--tail", "1", "box"]), "2000");
}

fn rotation_drops_the_oldest(bed: &Bed) {
    let options = ["run", "--name", "box", "--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
    bed.ok(options.iter().chain(&["busybox", "seq", "1", "20000"]));
    let text = bed.ok(["logs", "box"]);
    let numbers: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(numbers.last(), Some(&20_000));
    assert!((300..3000).contains(&numbers.len()), "{} lines are left", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "lines are missing between others");
}

fn unknown_driver_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--log-driver", "nonsense", "busybox", "true"]);
    assert_ne!(output.status, 0);
    output.expect_stderr("nonsense");
    bed.run(["run", "--rm", "--log-opt", "nonsense=1", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("nonsense");
}

fn log_of_a_terminal_has_carriage_returns(bed: &Bed) {
    bed.ok(["run", "-d", "-t", "--name", "box", "busybox", "sh", "-c", "echo one; echo two >&2"]);
    bed.ok(["wait", "box"]);
    assert_eq!(bed.run(["logs", "box"]).expect_ok().text(), "one\r\ntwo\r\n");
}

fn unknown_client_gets_a_frame_for_each_line(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "echo a; echo b; echo c"]);
    let answer = bed.engine.http().get("/containers/box/logs?stdout=1").expect(200);
    let frame = |letter: u8| [1, 0, 0, 0, 0, 0, 0, 2, letter, b'\n'];
    assert_eq!(answer.body, [frame(b'a'), frame(b'b'), frame(b'c')].concat());
}
