//! Crashes: of the engine, of a supervisor.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use testkit::engine::Builder;
use testkit::{Bed, Client, Kind, eventually};

use crate::CORTEN;

fn start(client: Client) -> Bed {
    Bed::with(Builder::new(Kind::from_environment(), CORTEN.as_ref()).survivable(), client)
}

/// Small numbers that nobody foresees; their seed is printed, so that a failure can be told, and can be given.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64 | 1;
        let given = std::env::var("CORTEN_TEST_SEED").ok();
        let seed = given.map_or_else(now, |text| text.parse().expect("CORTEN_TEST_SEED is a number"));
        println!("seed {seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn writers_lose_nothing_when_the_engine_is_killed(client: Client) {
    const WRITERS: usize = 20;
    const LINES: usize = 400;
    let mut bed = start(client);
    for number in 0..WRITERS {
        let script = format!(
            "i=1; while [ $i -le {LINES} ]; do echo {number}:$i; i=$((i+1)); sleep 0.01; done; exit {number}"
        );
        bed.ok(["run", "-d", "--name", &format!("writer{number}"), "busybox", "sh", "-c", &script]);
    }
    for _ in 0..3 {
        bed.engine.kill();
        std::thread::sleep(Duration::from_millis(500));
        bed.engine.launch();
        std::thread::sleep(Duration::from_millis(300));
    }
    for number in 0..WRITERS {
        let name = format!("writer{number}");
        assert_eq!(bed.ok(["wait", &name]), number.to_string(), "exit code of {name}");
        let expected: String = (1..=LINES).map(|line| format!("{number}:{line}\n")).collect();
        let found = bed.run(["logs", &name]).expect_ok().text();
        assert!(found == expected, "{name} has {} of {LINES} lines", found.lines().count());
    }
}

fn exit_while_the_engine_is_down_is_known_after(client: Client) {
    let mut bed = start(client);
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 1; echo last; exit 33"]);
    bed.engine.kill();
    std::thread::sleep(Duration::from_millis(1800));
    bed.engine.launch();
    assert_eq!(bed.ok(["wait", "box"]), "33");
    assert_eq!(bed.field("box", "{{.State.Status}} {{.State.ExitCode}}"), "exited 33");
    assert_eq!(bed.ok(["logs", "box"]), "last");
    bed.ok(["start", "box"]);
    bed.ok(["rm", "-f", "box"]);
}

fn running_container_is_usable_after_a_crash(client: Client) {
    let mut bed = start(client);
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.05; done",
    ]);
    bed.ok(["run", "-d", "-i", "-t", "--name", "shell", "busybox", "sh"]);
    let before = bed.field("box", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}");
    bed.engine.kill();
    bed.engine.launch();
    assert_eq!(
        bed.field("box", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}"),
        before
    );
    assert_eq!(bed.ok(["exec", "box", "echo", "inside"]), "inside");
    let mut session = bed.cli(["attach", "shell"]).pty();
    session.send_line("echo still-$((40+2))");
    session.expect("still-42");
    session.send([16, 17]);
    session.finish();
    bed.ok(["run", "-d", "--name", "other", "busybox", "sleep", "600"]);
    assert_ne!(
        bed.field("other", "{{.NetworkSettings.IPAddress}}"),
        bed.field("box", "{{.NetworkSettings.IPAddress}}")
    );
    bed.ok(["stop", "box"]);
    assert_eq!(bed.field("box", "{{.State.ExitCode}}"), "5");
}

fn starts_under_random_kills_leave_nothing(client: Client) {
    const STARTS: usize = 200;
    let mut bed = start(client);
    let mut random = Random::new();
    let (mut done, mut kills) = (0, 0);
    while done < STARTS {
        let batch: Vec<_> = (0..8)
            .map(|number| {
                let name = format!("box{done}-{number}");
                bed.cli(["run", "-d", "--name", &name, "busybox", "sleep", "600"]).spawn()
            })
            .collect();
        done += batch.len();
        std::thread::sleep(Duration::from_millis(random.below(120)));
        bed.engine.kill();
        kills += 1;
        // A client whose engine is gone fails, in whatever way.
        batch.into_iter().for_each(|running| drop(running.finish()));
        bed.engine.launch();
        // Whatever has a record can be looked at and removed.
        let list = bed.ok(["ps", "-aq"]);
        for id in list.lines() {
            bed.ok(["inspect", id]);
        }
        if !list.is_empty() {
            bed.ok(["rm", "-f"].into_iter().chain(list.lines()));
        }
    }
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
    bed.engine.stop();
    let leaks = bed.engine.leaks();
    println!("{done} starts, {kills} kills of the engine: {} leaks", leaks.len());
    let list: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    assert!(leaks.is_empty(), "{}", list.join("\n"));
}

fn death_of_a_supervisor_is_noticed(client: Client) {
    let bed = start(client);
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let pid: i32 = bed.field("box", "{{.State.Pid}}").parse().expect("a process ID");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the container's process");
    let parent: i32 = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|id| id.parse().ok())
        .expect("a parent");
    let command = fs::read_to_string(format!("/proc/{parent}/cmdline")).expect("the supervisor's process");
    assert!(command.contains("shim"), "the parent of the container is {command:?}");
    kill_process(Pid::from_raw(parent).expect("a process ID"), Signal::KILL).expect("kill the supervisor");
    let true_state = eventually(Duration::from_secs(5), || {
        (bed.field("box", "{{.State.Running}}") == "false").then_some(())
    });
    assert!(true_state.is_some(), "{}", bed.field("box", "{{json .State}}"));
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    let gone = eventually(Duration::from_secs(5), || (!process.exists()).then_some(()));
    assert!(gone.is_some(), "the container's process is left");
    bed.ok(["start", "box"]);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
    bed.ok(["rm", "-f", "box"]);
}

macro_rules! with_both {
    ($($name:ident),+ $(,)?) => {
        mod docker {
            $(#[test]
            fn $name() {
                super::$name(testkit::Client::Docker);
            })+
        }
        mod corten {
            $(#[test]
            fn $name() {
                super::$name(testkit::Client::Corten);
            })+
        }
    };
}

with_both!(
    writers_lose_nothing_when_the_engine_is_killed,
    exit_while_the_engine_is_down_is_known_after,
    running_container_is_usable_after_a_crash,
    starts_under_random_kills_leave_nothing,
    death_of_a_supervisor_is_noticed,
);
