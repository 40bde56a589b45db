//! `ps`: what is listed, and how.

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    only_running_containers_are_listed,
    columns_are_those_of_docker,
    status_tells_state_and_exit_code,
    quiet_and_no_trunc_give_ids,
    filters_choose,
    filters_of_one_kind_are_alternatives,
    unknown_filter_is_refused,
    format_is_a_go_template,
    last_limits_the_list,
    size_counts_the_writable_layer,
    newest_is_first,
);

fn fill(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "up", "-l", "kind=a", "-l", "bare", "busybox", "sleep", "600"]);
    bed.run(["run", "--name", "failed", "-l", "kind=b", "busybox", "sh", "-c", "exit 3"]).expect_code(3);
    bed.ok(["create", "--name", "new", "busybox", "true"]);
}

fn names(bed: &Bed, options: &[&str]) -> String {
    let head = ["ps", "--format", "{{.Names}}"].into_iter();
    bed.ok(head.chain(options.iter().copied())).replace('\n', " ")
}

fn only_running_containers_are_listed(bed: &Bed) {
    fill(bed);
    assert_eq!(names(bed, &[]), "up");
    assert_eq!(names(bed, &["-a"]), "new failed up");
}

fn columns_are_those_of_docker(bed: &Bed) {
    fill(bed);
    let table = bed.ok(["ps", "-a"]);
    let columns: Vec<&str> = table
        .lines()
        .next()
        .expect("a header")
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(columns, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    let up = table.lines().find(|line| line.ends_with(" up")).expect("the container");
    assert!(up.contains("\"sleep 600\"") && up.contains(" busybox "), "{up}");
    assert!(up.contains(" ago ") && up.contains("Up "), "{up}");
}

fn status_tells_state_and_exit_code(bed: &Bed) {
    fill(bed);
    bed.ok(["pause", "up"]);
    let text = bed.ok(["ps", "-a", "--format", "{{.Names}}={{.Status}}={{.State}}"]);
    let line =
        |name: &str| text.lines().find(|line| line.starts_with(name)).expect("the container").to_owned();
    assert!(
        line("failed=").starts_with("failed=Exited (3) ") && line("failed=").ends_with(" ago=exited"),
        "{text}"
    );
    assert_eq!(line("new="), "new=Created=created");
    assert!(line("up=").ends_with("(Paused)=paused"), "{text}");
}

fn quiet_and_no_trunc_give_ids(bed: &Bed) {
    let id = bed.ok(["run", "-d", "busybox", "sleep", "600"]);
    assert_eq!(bed.ok(["ps", "-q"]), id[..12]);
    assert_eq!(bed.ok(["ps", "-q", "--no-trunc"]), id);
}

fn filters_choose(bed: &Bed) {
    fill(bed);
    let image = bed.field("up", "{{.Image}}");
    let id = bed.field("up", "{{.Id}}");
    for (filter, expected) in [
        ("name=up", "up"),
        ("name=^/?fail", "failed"),
        ("label=kind", "failed up"),
        ("label=kind=a", "up"),
        ("label=bare", "up"),
        ("status=running", "up"),
        ("status=exited", "failed"),
        ("status=created", "new"),
        ("exited=3", "failed"),
        ("exited=4", ""),
        ("ancestor=busybox", "new failed up"),
        ("ancestor=busybox:latest", "new failed up"),
        (&format!("ancestor={image}"), "new failed up"),
        ("before=failed", "up"),
        ("since=failed", "new"),
        (&format!("id={}", &id[..12]), "up"),
    ] {
        assert_eq!(names(bed, &["-a", "-f", filter]), expected, "{filter}");
    }
}

fn filters_of_one_kind_are_alternatives(bed: &Bed) {
    fill(bed);
    assert_eq!(names(bed, &["-f", "status=created", "-f", "status=running"]), "new up");
    assert_eq!(names(bed, &["-a", "-f", "label=kind=a", "-f", "label=bare"]), "up");
    assert_eq!(names(bed, &["-a", "-f", "label=kind=b", "-f", "label=bare"]), "");
    assert_eq!(names(bed, &["-a", "-f", "name=up", "-f", "status=exited"]), "");
}

fn unknown_filter_is_refused(bed: &Bed) {
    bed.run(["ps", "-f", "nonsense=1"]).expect_code(1).expect_stderr("nonsense");
    bed.run(["ps", "-f", "status=nonsense"]).expect_code(1).expect_stderr("nonsense");
}

fn format_is_a_go_template(bed: &Bed) {
    fill(bed);
    let template = "{{.Names}} {{.Image}} {{.Command}} {{.Label \"kind\"}} {{.RunningFor}}";
    let text = bed.ok(["ps", "--no-trunc", "--format", template]);
    assert!(text.starts_with("up busybox \"sleep 600\" a ") && text.ends_with(" ago"), "{text}");
    let table = bed.ok(["ps", "--format", "table {{.Names}}\t{{.State}}"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["NAMES", "STATE"], ["up", "running"]]);
    let json: serde_json::Value =
        serde_json::from_str(&bed.ok(["ps", "--format", "json"])).expect("one JSON object");
    assert_eq!((&json["Names"], &json["State"]), (&"up".into(), &"running".into()));
}

fn last_limits_the_list(bed: &Bed) {
    fill(bed);
    assert_eq!(names(bed, &["-l"]), "new");
    assert_eq!(names(bed, &["-n", "2"]), "new failed");
}

fn size_counts_the_writable_layer(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "head -c 1000000 /dev/zero > /big"]);
    let size = bed.ok(["ps", "-a", "-s", "--format", "{{.Size}}"]);
    assert!(size.starts_with("1MB (virtual "), "{size}");
}

fn newest_is_first(bed: &Bed) {
    for name in ["box1", "box2", "box3"] {
        bed.ok(["create", "--name", name, "busybox"]);
    }
    assert_eq!(names(bed, &["-a"]), "box3 box2 box1");
}
