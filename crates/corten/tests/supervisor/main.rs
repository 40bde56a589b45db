//! The supervisor as a process of its own: real containers, through the engine's client.
//!
//! Needs root, and busybox linked statically at `/bin/busybox`.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use harness::{Container, attach, process, process_ended, read_all, read_text};
use shim::log::follow::{Follow, stream};
use shim::log::{ReadOptions, Render};
use shim::{
    Client, ConnectError, Event, ExitRecord, ExitStatus, FailureKind, Framing, Reply, RequestBody,
    RequestError, Rootfs, Status, StdinMode, Target,
};

#[tokio::test(flavor = "multi_thread")]
async fn exit_is_recorded_told_and_leaves_nothing() {
    let mut running = Container::new("echo out; echo err >&2; exit 7").started().await;
    let record = running.exit().await;
    assert_eq!(record.status, ExitStatus::Code(7));
    assert!(record.pid > 0 && record.started_at > 0 && record.finished_at >= record.started_at);
    assert!(!record.oom_killed);
    assert_eq!(ExitRecord::read(&running.container.config.exit_path).unwrap(), Some(record));
    let log = String::from_utf8(running.log()).unwrap();
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_attach_and_start_in_one_write_miss_no_output() {
    let mut running = Container::new("echo first; sleep 0.1; echo last").spawn();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let create = RequestBody::Create(Box::new(running.container.config.clone()));
    let attach = RequestBody::Attach(attach(Target::Init, Framing::Multiplexed, b""));
    let requests = [(create, vec![]), (attach, vec![theirs.into()]), (RequestBody::Start, vec![])];
    for reply in running.client().send(requests) {
        reply.await.unwrap();
    }
    let expected = b"\x01\0\0\0\0\0\0\x06first\n\x01\0\0\0\0\0\0\x05last\n";
    assert_eq!(read_all(ours).await, expected);
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clients_see_the_same_output_and_all_may_write() {
    let script = "while read line; do echo got $line; done";
    let running = Container::new(script).stdin(StdinMode::Open).started().await;
    let first = running.attach(Framing::Raw, b"").await;
    let second = running.attach(Framing::Raw, b"").await;
    (&first).write_all(b"one\n").unwrap();
    assert_eq!(read_text(&first, "\n"), "got one\n");
    assert_eq!(read_text(&second, "\n"), "got one\n");
    (&second).write_all(b"two\n").unwrap();
    assert_eq!(read_text(&first, "\n"), "got two\n");
    drop(first);
    (&second).write_all(b"three\n").unwrap();
    assert!(read_text(&second, "three\n").ends_with("got three\n"));
    running.request(RequestBody::KillAll).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_close_ends_input_that_is_open_once() {
    let mut running = Container::new("cat; echo end").stdin(StdinMode::OpenOnce).created().await;
    let client = running.attach(Framing::Raw, b"").await;
    running.start().await;
    (&client).write_all(b"text\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(client).await, b"text\nend\n");
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_close_ends_the_session_where_input_stays_open() {
    let mut running = Container::new("read a; echo $a").stdin(StdinMode::Open).started().await;
    let client = running.attach(Framing::Raw, b"").await;
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(client).await, b"");
    let again = running.attach(Framing::Raw, b"").await;
    (&again).write_all(b"on\n").unwrap();
    assert_eq!(read_text(&again, "\n"), "on\n");
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_outlives_clients_where_it_stays_open() {
    let mut running = Container::new("read a; read b; echo $a $b").stdin(StdinMode::Open).started().await;
    let first = running.attach(Framing::Raw, b"").await;
    (&first).write_all(b"one\n").unwrap();
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = running.attach(Framing::Raw, b"").await;
    (&second).write_all(b"two\n").unwrap();
    assert_eq!(read_text(&second, "\n"), "one two\n");
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn much_input_arrives_whole_from_a_client_that_leaves_at_once() {
    let script = "sleep 0.2; cat > /tmp/in";
    let mut running = Container::new(script).stdin(StdinMode::OpenOnce).started().await;
    let mut client = running.attach(Framing::Raw, b"").await;
    let data: Vec<u8> = (0..3_000_000u32).map(|number| (number / 7) as u8).collect();
    let sent = data.clone();
    tokio::task::spawn_blocking(move || client.write_all(&sent).unwrap()).await.unwrap();
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    let received = fs::read(running.container.directory.path().join("root/tmp/in")).unwrap();
    assert!(received == data, "{} of {} bytes", received.len(), data.len());
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_is_resized_and_detached_from() {
    let script = "stty size; read a; stty size; read b; exit 3";
    let mut running = Container::new(script).terminal().stdin(StdinMode::Open).created().await;
    let client = running.attach(Framing::Raw, b"\x10\x11").await;
    let resize = |width, height| RequestBody::Resize { target: Target::Init, width, height };
    running.request(resize(123, 45)).await.unwrap();
    running.start().await;
    assert!(read_text(&client, "\n").starts_with("45 123"));
    running.request(resize(80, 24)).await.unwrap();
    (&client).write_all(b"\n\x10").unwrap();
    read_text(&client, "24 80");
    (&client).write_all(b"\x11").unwrap();
    assert!(matches!(running.event().await, Some(Event::Detached(Target::Init))));
    read_all(client).await;
    let again = running.attach(Framing::Raw, b"\x10\x11").await;
    (&again).write_all(b"\n").unwrap();
    assert_eq!(running.exit().await.status, ExitStatus::Code(3));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn execs_have_their_own_streams_and_exit_codes() {
    let mut running = Container::new("sleep 1000").started().await;
    let (reply, first) = running.exec("a", "echo one; echo two >&2; exit 5", StdinMode::Closed).await;
    assert!(matches!(reply.unwrap(), Reply::Started { pid, .. } if pid > 0));
    let mut text = read_all(first).await;
    text.sort();
    assert_eq!(text, b"\n\nenootw");
    let Some(Event::ExecExited { exec_id, status, .. }) = running.event().await else { panic!("no exit") };
    assert_eq!((exec_id.as_str(), status), ("a", ExitStatus::Code(5)));
    let (reply, second) = running.exec("b", "cat", StdinMode::OpenOnce).await;
    reply.unwrap();
    assert_eq!(running.state().await.execs.len(), 1);
    (&second).write_all(b"hello").unwrap();
    second.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(second).await, b"hello");
    assert!(running.log().is_empty(), "an exec's output is not in the log");
    running.request(RequestBody::Signal { target: Target::Init, signal: 9 }).await.unwrap();
    assert_eq!(running.exit().await.status, ExitStatus::Signal(9));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_ends_although_its_child_keeps_the_output_open() {
    let mut running = Container::new("sleep 1000").started().await;
    let (reply, client) = running.exec("a", "sleep 1000 & echo started", StdinMode::Closed).await;
    reply.unwrap();
    assert_eq!(read_all(client).await, b"started\n");
    assert!(matches!(running.event().await, Some(Event::ExecExited { .. })));
    running.request(RequestBody::KillAll).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn end_of_the_container_ends_its_execs() {
    let mut running = Container::new("read a").stdin(StdinMode::Open).started().await;
    let (reply, client) = running.exec("a", "sleep 1000", StdinMode::Closed).await;
    reply.unwrap();
    let input = running.attach(Framing::Raw, b"").await;
    (&input).write_all(b"\n").unwrap();
    let Some(Event::ExecExited { status, .. }) = running.event().await else { panic!("no end of the exec") };
    assert_eq!(status, ExitStatus::Signal(9));
    running.exit().await;
    assert_eq!(read_all(client).await, b"");
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_program_is_refused_and_ends_the_supervisor() {
    let mut container = Container::new("");
    container.config.spec.set_process(Some(process(&["/no/such"])));
    let running = container.spawn();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let create = RequestBody::Create(Box::new(running.container.config.clone()));
    let attach = RequestBody::Attach(attach(Target::Init, Framing::Raw, b""));
    let requests = [(create, vec![]), (attach, vec![theirs.into()]), (RequestBody::Start, vec![])];
    let mut failures = Vec::new();
    for reply in running.client().send(requests) {
        if let Err(RequestError::Failed(failure)) = reply.await {
            failures.push(failure);
        }
    }
    assert_eq!(failures[0].kind, FailureKind::CommandNotFound, "{failures:?}");
    assert_eq!(read_all(ours).await, b"");
    assert_eq!(ExitRecord::read(&running.container.config.exit_path).unwrap(), None);
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_program_fails_the_exec_only() {
    let running = Container::new("sleep 1000").started().await;
    let (ours, theirs) = UnixStream::pair().unwrap();
    let target = Target::Exec("a".to_owned());
    let exec = shim::ExecConfig {
        exec_id: "a".to_owned(),
        process: process(&["/no/such"]),
        user: None,
        stdin: StdinMode::Closed,
        privileged: false,
        attach: Some(attach(target, Framing::Raw, b"")),
    };
    let error =
        running.request_with(RequestBody::Exec(Box::new(exec)), vec![theirs.into()]).await.unwrap_err();
    let RequestError::Failed(failure) = error else { panic!("{error:?}") };
    assert_eq!(failure.kind, FailureKind::CommandNotFound, "{failure:?}");
    assert_eq!(read_all(ours).await, b"");
    assert_eq!(running.state().await.status, Status::Running);
    running.request(RequestBody::KillAll).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn container_that_cannot_be_created_leaves_nothing() {
    let mut container = Container::new("");
    container.config.rootfs = Rootfs::Directory("/no/such/root".into());
    let running = container.spawn();
    let create = RequestBody::Create(Box::new(running.container.config.clone()));
    let error = running.request(create).await.unwrap_err();
    assert!(matches!(error, RequestError::Failed(_)), "{error:?}");
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn created_container_is_deleted() {
    let running = Container::new("exit 1").created().await;
    assert_eq!(running.state().await.status, Status::Created);
    running.request(RequestBody::Delete).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisor_without_a_container_ends_with_its_engine() {
    let mut running = Container::new("").spawn();
    let pid = running.client().supervisor_pid();
    running.disconnect();
    process_ended(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn later_engine_finds_everything_and_attached_clients_notice_nothing() {
    let mut running = Container::new("read a; echo $a; exit 4").stdin(StdinMode::Open).started().await;
    let pid = running.client().supervisor_pid();
    let attached = running.attach(Framing::Raw, b"").await;
    running.disconnect();
    running.reconnect().await;
    assert_eq!(running.client().supervisor_pid(), pid);
    assert_eq!(running.state().await.status, Status::Running);
    (&attached).write_all(b"kept\n").unwrap();
    assert_eq!(read_text(&attached, "\n"), "kept\n");
    assert_eq!(running.exit().await.status, ExitStatus::Code(4));
    let error = Client::connect(&running.container.config.run_dir).await.unwrap_err();
    assert!(matches!(error, ConnectError::Gone { .. }), "{error:?}");
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_exit_code_are_kept_without_an_engine() {
    let mut running = Container::new("seq 1 20000; exit 9").created().await;
    let pid = running.client().supervisor_pid();
    drop(running.client().send([(RequestBody::Start, vec![])]));
    running.disconnect();
    process_ended(pid).await;
    let record = ExitRecord::read(&running.container.config.exit_path).unwrap().expect("a record");
    assert_eq!(record.status, ExitStatus::Code(9));
    let expected: String = (1..=20000).map(|number| format!("{number}\n")).collect();
    assert!(running.log() == expected.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_after_start_and_stop_run_with_the_container_s_state() {
    let mut container = Container::new("read line; exit 4").stdin(StdinMode::Open);
    let path = container.directory.path().join("hooks");
    let hook = |name: &str| {
        let script = format!("echo {name} $(cat) >> {}", path.display());
        serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let hooks = serde_json::json!({"poststart": hook("poststart"), "poststop": hook("poststop")});
    container.config.spec.set_hooks(serde_json::from_value(hooks).unwrap());
    let mut running = container.created().await;
    assert!(!path.exists(), "nothing was started yet");
    let pid = running.start().await;
    let read = || fs::read_to_string(&path).unwrap();
    let (id, text) = (running.container.config.id.clone(), read());
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.starts_with("poststart ") && line.contains(r#""status":"running""#), "{line}");
    assert!(line.contains(&format!(r#""pid":{pid}"#)) && line.contains(&id), "{line}");
    let socket = running.attach(Framing::Raw, b"").await;
    (&socket).write_all(b"end\n").unwrap();
    assert_eq!(running.exit().await.status, ExitStatus::Code(4));
    let text = read();
    let [_, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(line.starts_with("poststop ") && line.contains(r#""status":"stopped""#), "{line}");
    assert!(line.contains(&id) && !line.contains("\"pid\""), "{line}");
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_hooks_after_start_and_stop_are_complaints_only() {
    let mut container = Container::new("exit 4");
    let hook =
        |code: u8| serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("exit {code}")]}]);
    let hooks = serde_json::json!({"poststart": hook(21), "poststop": hook(22)});
    container.config.spec.set_hooks(serde_json::from_value(hooks).unwrap());
    let mut running = container.started().await;
    assert_eq!(running.exit().await.status, ExitStatus::Code(4));
    let complaints = running.container.complaints();
    for expected in ["poststart", "21", "poststop", "22"] {
        assert!(complaints.contains(expected), "{expected} in {complaints}");
    }
    // What it was to say has been looked at.
    fs::write(running.container.config.run_dir.join("shim.log"), "").unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_to_the_supervisor_do_not_end_it() {
    let running = Container::new("sleep 1000").started().await;
    let pid = rustix::process::Pid::from_raw(running.client().supervisor_pid()).unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT, rustix::process::Signal::HUP]
    {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    assert_eq!(running.state().await.status, Status::Running);
    running.request(RequestBody::KillAll).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_container_stands_still() {
    let script = "while true; do echo tick; sleep 0.01; done";
    let running = Container::new(script).started().await;
    running.request(RequestBody::Pause).await.unwrap();
    assert_eq!(running.state().await.status, Status::Paused);
    let before = running.log();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // One line may have been in the pipe.
    assert!(running.log().len() <= before.len() + 5);
    running.request(RequestBody::Resume).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(running.log().len() > before.len() + 5);
    let Reply::Processes(pids) = running.request(RequestBody::Processes).await.unwrap() else {
        panic!("pids")
    };
    assert!(!pids.is_empty());
    running.request(RequestBody::KillAll).await.unwrap();
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_client_holds_output_back_and_loses_nothing() {
    let mut running = Container::new("seq 1 1000000").created().await;
    let client = running.attach(Framing::Raw, b"").await;
    running.start().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(running.state().await.status, Status::Running, "nearly 7 MB do not fit anywhere");
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert!(read_all(client).await == expected.as_bytes());
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    assert!(running.log() == expected.as_bytes());
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_client_does_not_hold_output_back() {
    let mut running = Container::new("seq 1 1000000").created().await;
    let client = running.attach(Framing::Raw, b"").await;
    running.start().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(client);
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    running.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_client_that_does_not_read_does_not_block() {
    let mut running = Container::new("sleep 1000").started().await;
    let silent = UnixStream::connect(running.container.config.run_dir.join("control.sock")).unwrap();
    let body =
        serde_json::to_vec(&shim::Request { sequence: 1, descriptors: 0, body: RequestBody::State }).unwrap();
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    silent.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut silent = silent;
    // Ends when the supervisor drops the connection, after a megabyte of answers.
    while silent.write_all(&frame).is_ok() {}
    assert_eq!(running.state().await.status, Status::Running);
    running.request(RequestBody::KillAll).await.unwrap();
    running.exit().await;
    assert!(running.container.complaints().contains("does not read its answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_while_following_loses_no_line() {
    for gzip in [false, true] {
        let mut running = Container::new("seq 1 60000").rotated(100_000, 1000, gzip).created().await;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let ended = Follow::Until(async move { drop(ended.await) });
        let log = running.container.config.log.clone();
        let mut pieces = stream(log, ReadOptions::default(), Render::default(), ended);
        running.start().await;
        let collected = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(piece) = pieces.recv().await {
                all.extend(piece.unwrap());
            }
            all
        });
        running.exit().await;
        end.send(()).unwrap();
        let expected: String = (1..=60_000).map(|number| format!("{number}\n")).collect();
        assert!(collected.await.unwrap() == expected.as_bytes(), "compressed: {gzip}");
        let rotated = running.container.directory.path().join(if gzip { "log.2.gz" } else { "log.2" });
        assert!(rotated.exists());
        running.gone().await;
    }
}

/// Prints how fast it was; run it from a release build to judge that.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_arrive_byte_for_byte() {
    const LINE: &str =
        "The quick brown fox jumps over the lazy dog, again and again, until the disk is full of it. 0123456";
    let count = 200_000_000 / (LINE.len() + 1);
    let script = format!("yes '{LINE}' | head -n {count}");
    let mut running = Container::new(&script).rotated(20_000_000, 50, false).created().await;
    let mut client = running.attach(Framing::Multiplexed, b"").await;
    running.start().await;
    let begin = std::time::Instant::now();
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = Vec::with_capacity(205_000_000);
        loop {
            match client.read(&mut buffer).unwrap() {
                0 => return bytes,
                length => bytes.extend_from_slice(&buffer[..length]),
            }
        }
    });
    let framed = read.await.unwrap();
    let took = begin.elapsed();
    eprintln!("attached and logged: {:.0} MB/s", 200.0 / took.as_secs_f64());
    assert_eq!(running.exit().await.status, ExitStatus::Code(0));
    let expected = format!("{LINE}\n").repeat(count);
    assert!(unframe(&framed) == expected.as_bytes());
    let begin = std::time::Instant::now();
    let log = running.log();
    eprintln!("read from the log: {:.0} MB/s", 200.0 / begin.elapsed().as_secs_f64());
    assert!(log == expected.as_bytes());
    running.gone().await;
}

fn unframe(mut framed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(framed.len());
    while let Some((header, rest)) = framed.split_first_chunk::<8>() {
        let length = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        bytes.extend_from_slice(&rest[..length]);
        framed = &rest[length..];
    }
    bytes
}
