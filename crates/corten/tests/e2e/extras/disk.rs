//! Images go from a full disk; dockerd has no room then to note that they do.

use serde_json::json;
use testkit::Client;
use testkit::archive::{Image, Layer};

use crate::disk::{Small, on};

#[test]
fn images_are_pruned_from_a_full_disk() {
    let disk = Small::mount(0);
    let bed = on(&disk, Client::Corten);
    let small = Image::new(json!({}), Layer::new().file("small", 0o644, &[7; 1_000_000]));
    bed.engine.load_archive(&small.docker_archive("small:1"));
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "head -c 100000000 /dev/zero > /full; true"]);
    assert!(bed.ok(["image", "prune", "-af"]).contains("small:1"));
    assert_eq!(bed.ok(["images", "-q"]).lines().count(), 1, "the base");
}
