//! Links, beyond what Docker does or what its old version in the tests does.

use std::time::Duration;

use testkit::{Bed, Client, eventually};

use crate::CORTEN;
use crate::names::{A, ask};
use crate::networks::{address, make};

/// A client can leave it to the engine to ask for links in a network.
#[test]
fn links_without_an_endpoint_are_those_of_the_network() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    make(&bed, "lab", 0, &[]);
    bed.ok(["run", "-d", "--name", "db", "--network", "lab", "busybox", "sleep", "600"]);
    let body = serde_json::json!({
        "Image": "busybox", "Cmd": ["sleep", "600"],
        "HostConfig": {"NetworkMode": "lab", "Links": ["db:data"]},
    });
    bed.engine.http().post("/v1.50/containers/create?name=web", &body).expect(201);
    bed.ok(["start", "web"]);
    assert_eq!(ask(&bed, "web", "data", A).records, [address(&bed, "db", "lab")]);
    bed.ok(["rm", "-f", "web", "db"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn linked_containers_start_with_the_engine_in_their_order() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    // Names in the other order than that of the starts.
    let always = ["--restart", "always"];
    let run = |name: &str, options: &[&str]| {
        let head = ["run", "-d", "--name", name].into_iter().chain(always);
        bed.ok(head.chain(options.iter().copied()).chain(["busybox", "sleep", "600"]));
    };
    run("z-db", &[]);
    run("m-app", &["--link", "z-db:db"]);
    run("a-web", &["--link", "m-app:app"]);
    let names = ["z-db", "m-app", "a-web"];
    let pids = names.map(|name| bed.field(name, "{{.State.Pid}}"));
    bed.engine.kill();
    for pid in &pids {
        testkit::Command::new("kill").args(["-9", pid]).run().expect_ok();
    }
    bed.engine.launch();
    let all_run = || {
        let state = |name| bed.field(name, "{{.State.Status}} {{.State.Pid}}");
        let fresh = names.iter().zip(&pids).all(|(name, old)| {
            let state = state(name);
            state.starts_with("running ") && !state.ends_with(&format!(" {old}"))
        });
        fresh.then_some(())
    };
    let states = || names.map(|name| bed.field(name, "{{.State.Status}} {{.State.Error}}"));
    assert!(eventually(Duration::from_secs(20), all_run).is_some(), "{:?}", states());
    let hosts = bed.ok(["exec", "a-web", "cat", "/etc/hosts"]);
    assert!(hosts.contains(&format!("{}\tapp ", address(&bed, "m-app", "bridge"))), "{hosts}");
    assert_eq!(bed.field("m-app", "{{.HostConfig.Links}}"), "[/z-db:/m-app/db]");
    bed.ok(["rm", "-f", "a-web", "m-app", "z-db"]);
}

#[test]
fn container_linked_to_one_that_is_gone_is_not_tried_for_ever() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    bed.ok(["run", "-d", "--name", "db", "busybox", "sleep", "600"]);
    bed.ok(["run", "-d", "--name", "web", "--restart", "always", "--link", "db", "busybox", "sleep", "600"]);
    let pid = bed.field("web", "{{.State.Pid}}");
    bed.ok(["rm", "-f", "db"]);
    bed.engine.kill();
    testkit::Command::new("kill").args(["-9", &pid]).run().expect_ok();
    bed.engine.launch();
    let state = || bed.field("web", "{{.State.Status}} {{.State.Error}}");
    let has_ended = || state().starts_with("exited Cannot link to a non running container").then_some(());
    assert!(eventually(Duration::from_secs(20), has_ended).is_some(), "{}", state());
    bed.ok(["rm", "-f", "web"]);
}

#[test]
fn link_opens_exposed_ports_where_containers_reach_nothing_of_each_other() {
    let builder =
        testkit::engine::Builder::new(testkit::Kind::Corten, CORTEN.as_ref()).flags(["--icc=false"]);
    let bed = Bed::with(builder, Client::Corten);
    let serve =
        "while true; do echo served | nc -l -p 7000; done & while true; do echo other | nc -l -p 7001; done";
    bed.ok(["run", "-d", "--name", "db", "--expose", "7000", "busybox", "sh", "-c", serve]);
    bed.ok(["run", "-d", "--name", "web", "--link", "db", "busybox", "sleep", "600"]);
    bed.ok(["run", "-d", "--name", "stranger", "busybox", "sleep", "600"]);
    let ask = |from: &str, port: u16| {
        let script = format!("timeout 2 nc -w 2 {} {port} </dev/null", address(&bed, "db", "bridge"));
        bed.run(["exec", from, "sh", "-c", &script]).trimmed()
    };
    let is_served = |port: u16| {
        let answers = || Some(ask("web", port)).filter(|answer| !answer.is_empty());
        eventually(Duration::from_secs(15), answers)
    };
    assert_eq!(is_served(7000).as_deref(), Some("served"));
    assert_eq!(ask("web", 7001), "");
    assert_eq!(ask("stranger", 7000), "");
    // It follows the container to another address.
    bed.ok(["stop", "-t", "0", "db"]);
    bed.ok(["run", "-d", "--name", "guest", "busybox", "sleep", "600"]);
    bed.ok(["start", "db"]);
    assert_eq!(is_served(7000).as_deref(), Some("served"));
    bed.ok(["rm", "--link", "web/db"]);
    assert_eq!(ask("web", 7000), "");
}
