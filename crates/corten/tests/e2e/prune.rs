//! Removing containers and images that nobody uses.

use serde_json::json;
use testkit::archive::{Image, Layer};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    containers_that_do_not_run_are_pruned,
    containers_are_pruned_by_label_and_age,
    images_without_a_tag_are_pruned,
    all_unused_images_are_pruned,
    images_are_pruned_by_label,
    unknown_filter_is_refused,
);

fn small(text: &str, label: &str) -> Image {
    Image::new(
        json!({"Cmd": ["true"], "Labels": {"kind": label}}),
        Layer::new().file("text", 0o644, text.as_bytes()),
    )
}

/// Two images of the same name, of which the later one has it.
fn load_two(bed: &Bed) -> [String; 2] {
    let images = [small("first", "old"), small("second", "new")];
    for image in &images {
        bed.engine.load_archive(&image.docker_archive("app:1"));
    }
    images.map(|image| image.id())
}

fn is_there(bed: &Bed, image: &str) -> bool {
    bed.run(["image", "inspect", image]).status == 0
}

fn containers_that_do_not_run_are_pruned(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "runs", "busybox", "sleep", "600"]);
    bed.ok(["run", "--name", "ended", "busybox", "sh", "-c", "head -c 100000 /dev/zero > /file"]);
    bed.ok(["create", "--name", "made", "busybox"]);
    let ids = ["ended", "made"].map(|name| bed.field(name, "{{.Id}}"));
    let text = bed.ok(["container", "prune", "-f"]);
    assert!(text.starts_with("Deleted Containers:\n"), "{text}");
    assert!(ids.iter().all(|id| text.contains(id.as_str())), "{text}");
    assert!(text.ends_with("\nTotal reclaimed space: 100kB"), "{text}");
    assert_eq!(bed.ok(["ps", "-a", "--format", "{{.Names}}"]), "runs");
    assert_eq!(bed.ok(["container", "prune", "-f"]), "Total reclaimed space: 0B");
}

fn containers_are_pruned_by_label_and_age(bed: &Bed) {
    bed.ok(["create", "--name", "one", "--label", "a=1", "busybox"]);
    bed.ok(["create", "--name", "two", "--label", "a=2", "busybox"]);
    let prune = |filter: &str| bed.ok(["container", "prune", "-f", "--filter", filter]);
    let names = || {
        let text = bed.ok(["ps", "-a", "--format", "{{.Names}}"]);
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    prune("until=1h");
    assert_eq!(names(), "one two");
    prune("label=a=1");
    assert_eq!(names(), "two");
    prune("label!=a");
    assert_eq!(names(), "two");
    prune("label!=b");
    assert_eq!(names(), "");
}

fn images_without_a_tag_are_pruned(bed: &Bed) {
    let [first, second] = load_two(bed);
    let text = bed.ok(["image", "prune", "-f"]);
    assert!(text.starts_with("Deleted Images:\n") && text.contains(&format!("deleted: {first}\n")), "{text}");
    assert!(text.contains("\nTotal reclaimed space: ") && !text.ends_with(" 0B"), "{text}");
    assert!(!is_there(bed, &first) && is_there(bed, &second) && is_there(bed, "busybox"));
    assert_eq!(bed.ok(["image", "prune", "-f"]), "Total reclaimed space: 0B");
}

fn all_unused_images_are_pruned(bed: &Bed) {
    let [first, second] = load_two(bed);
    bed.ok(["create", "--name", "box", "busybox"]);
    let text = bed.ok(["image", "prune", "-a", "-f"]);
    assert!(text.contains("untagged: app:1\n"), "{text}");
    assert!(!is_there(bed, &first) && !is_there(bed, &second) && is_there(bed, "busybox"));
    bed.ok(["rm", "box"]);
    bed.ok(["image", "prune", "-a", "-f"]);
    assert_eq!(bed.ok(["images", "-aq"]), "");
}

fn images_are_pruned_by_label(bed: &Bed) {
    let [first, second] = load_two(bed);
    bed.ok(["image", "prune", "-a", "-f", "--filter", "label=kind=new"]);
    assert!(is_there(bed, &first) && !is_there(bed, &second) && is_there(bed, "busybox"));
    bed.ok(["image", "prune", "-a", "-f", "--filter", "until=2000-01-01T00:00:00Z"]);
    assert!(is_there(bed, &first) && is_there(bed, "busybox"));
}

fn unknown_filter_is_refused(bed: &Bed) {
    bed.run(["image", "prune", "-f", "--filter", "no-such=1"]).expect_code(1).expect_stderr("no-such");
    bed.run(["container", "prune", "-f", "--filter", "no-such=1"]).expect_code(1).expect_stderr("no-such");
}
