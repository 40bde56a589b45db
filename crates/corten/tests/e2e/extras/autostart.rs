//! The engine that the command line starts by itself.

use testkit::engine::Builder;
use testkit::{Engine, Kind};

use crate::CORTEN;

fn unstarted() -> Engine {
    Builder::new(Kind::Corten, CORTEN.as_ref()).unstarted()
}

#[test]
fn first_command_starts_the_engine() {
    let engine = unstarted();
    let output = engine.auto(["run", "--rm", "hello-world"]).run().expect_ok();
    assert!(output.text().contains("Hello from"), "{}", output.text());
    let pid = engine.started_pid().expect("an engine runs");
    engine.auto(["run", "--rm", "hello-world"]).run().expect_ok();
    assert_eq!(engine.started_pid(), Some(pid));
}

#[test]
fn commands_at_once_start_one_engine() {
    let engine = unstarted();
    let running: Vec<_> = (0..8).map(|_| engine.auto(["run", "--rm", "hello-world"]).spawn()).collect();
    for running in running {
        assert!(running.finish().expect_ok().text().contains("Hello from"));
    }
    assert_eq!(engine.auto(["ps", "-aq"]).run().expect_ok().text(), "");
}

#[test]
fn other_engine_is_not_started() {
    let engine = unstarted();
    let output = engine.auto(["ps"]).env("DOCKER_HOST", engine.host()).run().expect_code(1);
    output.expect_stderr("Cannot connect to the Docker daemon at");
    assert_eq!(engine.started_pid(), None);
}
