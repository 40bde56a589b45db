//! `events`.

use std::time::{SystemTime, UNIX_EPOCH};

use testkit::{Bed, Kind, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    life_of_a_container_is_told_in_order,
    filters_choose_events,
    events_are_told_as_they_happen,
    images_have_events,
    lack_of_memory_is_an_event_a_state_and_a_code,
);

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

fn past(bed: &Bed, since: &str, options: &[&str]) -> Vec<String> {
    let until = now();
    let head = ["events", "--since", since, "--until", &until, "--format", "{{.Type}} {{.Action}}"];
    let text = bed.ok(head.into_iter().chain(options.iter().copied()));
    text.lines().map(str::to_owned).collect()
}

/// `expected` occurs in `found` in this order, with anything between.
fn in_order(found: &[String], expected: &[&str]) -> bool {
    let mut rest = found.iter();
    expected.iter().all(|wanted| rest.any(|event| event == wanted))
}

fn life_of_a_container_is_told_in_order(bed: &Bed) {
    let since = now();
    bed.ok(["run", "--name", "box", "busybox", "true"]);
    bed.ok(["rename", "box", "other"]);
    bed.ok(["rm", "other"]);
    let expected =
        ["container create", "container start", "container die", "container rename", "container destroy"];
    let complete = eventually(std::time::Duration::from_secs(5), || {
        in_order(&past(bed, &since, &[]), &expected).then_some(())
    });
    assert!(complete.is_some(), "{:?}", past(bed, &since, &[]));
}

fn filters_choose_events(bed: &Bed) {
    let since = now();
    bed.ok(["run", "--name", "one", "-l", "kind=x", "busybox", "true"]);
    bed.run(["run", "--name", "two", "busybox", "sh", "-c", "exit 3"]).expect_code(3);
    assert_eq!(past(bed, &since, &["-f", "container=one", "-f", "event=die"]), ["container die"]);
    assert_eq!(past(bed, &since, &["-f", "label=kind=x", "-f", "event=start"]), ["container start"]);
    assert_eq!(past(bed, &since, &["-f", "type=container", "-f", "event=create"]).len(), 2);
    let until = now();
    let template = "{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.image}}";
    let options = ["events", "--since", &since, "--until", &until, "-f", "event=die", "-f", "container=two"];
    assert_eq!(bed.ok(options.iter().chain(&["--format", template])), "two 3 busybox");
}

fn events_are_told_as_they_happen(bed: &Bed) {
    let mut stream = bed.engine.http().stream("GET", "/events", b"");
    bed.ok(["create", "--name", "box", "busybox"]);
    let event = loop {
        let event = stream.next_json().expect("an event");
        if event["Type"] == "container" {
            break event;
        }
    };
    assert_eq!((&event["Action"], &event["status"]), (&"create".into(), &"create".into()));
    assert_eq!(event["Actor"]["Attributes"]["name"], "box");
    assert_eq!(event["id"], event["Actor"]["ID"]);
    assert!(event["timeNano"].as_i64() > Some(0) && event["time"].as_i64() > Some(0), "{event}");
}

fn images_have_events(bed: &Bed) {
    let since = now();
    bed.ok(["tag", "busybox", "copy:1"]);
    bed.ok(["rmi", "copy:1"]);
    assert!(in_order(&past(bed, &since, &["-f", "type=image"]), &["image tag", "image untag"]));
}

fn lack_of_memory_is_an_event_a_state_and_a_code(bed: &Bed) {
    let since = now();
    let options = ["run", "--name", "box", "-m", "16m", "--memory-swap", "16m"];
    bed.run(options.iter().chain(&["busybox", "tail", "/dev/zero"])).expect_code(137);
    let complete = eventually(std::time::Duration::from_secs(5), || {
        in_order(&past(bed, &since, &[]), &["container start", "container oom", "container die"])
            .then_some(())
    });
    assert!(complete.is_some(), "{:?}", past(bed, &since, &[]));
    let of_box = ["-f", "container=box", "-f", "event=oom"];
    let told = past(bed, &since, &of_box);
    // The kernel can tell of the same lack more than once, and dockerd does so.
    let most = if bed.engine.kind() == Kind::Corten { 1 } else { usize::MAX };
    assert!(!told.is_empty() && told.len() <= most, "{told:?}");
    assert_eq!(
        bed.field("box", "{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Status}}"),
        "true 137 exited"
    );
    let code = ["--format", "{{.Actor.Attributes.exitCode}}", "-f", "event=die", "-f", "container=box"];
    let until = now();
    assert_eq!(bed.ok(["events", "--since", &since, "--until", &until].iter().chain(&code)), "137");
    // A limit alone is none of this.
    bed.ok(["create", "--name", "other", "-m", "16m", "busybox", "true"]);
    bed.ok(["start", "-a", "other"]);
    assert_eq!(bed.field("other", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "false 0");
}
