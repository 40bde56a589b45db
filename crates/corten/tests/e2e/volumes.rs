//! Volumes: what new ones get from the image, who shares them, when they go.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::archive::{Image, Layer};
use testkit::{Bed, Command, with_each_client};

use crate::CORTEN;

with_each_client!(
    new_volume_gets_what_the_image_has,
    volume_that_is_not_empty_is_left_alone,
    emptied_volume_stays_empty_at_a_restart,
    nocopy_leaves_a_new_volume_empty,
    volume_over_a_link_gets_what_is_there_in_the_image,
    volume_over_a_file_of_the_image_is_refused,
    volume_of_an_image_is_anonymous_and_goes_when_asked,
    volumes_of_another_container_are_taken_over,
    anonymous_volume_stays_while_another_container_has_it,
    volumes_from_is_checked,
);

/// Loads an image of two layers with a folder whose entries differ in owner, mode, time and kind.
fn load_seeded(bed: &Bed, config: Value) {
    let tree = bed.engine.directory().join("tree");
    let folder = tree.join("seeded/inner");
    fs::create_dir_all(&folder).expect("create folders");
    fs::write(folder.join("file"), "text").expect("write a file");
    fs::hard_link(folder.join("file"), folder.join("second")).expect("make a hard link");
    symlink("/etc/passwd", folder.join("link")).expect("make a link");
    chown(folder.join("file"), Some(1234), Some(99)).expect("change the owner");
    fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o640)).expect("set a mode");
    let top = tree.join("seeded");
    chown(&top, Some(1234), Some(99)).expect("change the owner");
    fs::set_permissions(&top, fs::Permissions::from_mode(0o2750)).expect("set a mode");
    let tar = Command::new("tar").args(["--mtime=@1000000000", "-cf", "-", "-C"]).arg(&tree);
    let seeded = tar.args(["--numeric-owner", "seeded"]).run().expect_ok().stdout;
    let base = Layer::new()
        .directory("data/", 0o755)
        .file("data/mark", 0o644, b"of the image")
        .symlink("linked", "/../../data")
        .symlink("dangling", "/nowhere");
    let mut image = Image::new(config, base);
    image.layers.push(seeded);
    bed.engine.load_archive(&image.docker_archive("seeded:latest"));
}

fn seeded() -> Value {
    json!({"Cmd": ["true"]})
}

fn new_volume_gets_what_the_image_has(bed: &Bed) {
    load_seeded(bed, seeded());
    bed.ok(["create", "-v", "named:/seeded", "seeded"]);
    bed.ok(["create", "--mount", "type=volume,source=mounted,target=/seeded", "seeded"]);
    for volume in ["named:/v", "mounted:/v"] {
        let script = "cd /v; stat -c '%u:%g %a' .; stat -c '%u:%g %a %Y' inner/file; stat -c '%h' inner/second; readlink inner/link; cat inner/file";
        let text = bed.sh(&["-v", volume], script);
        let expected = "1234:99 2750\n1234:99 640 1000000000\n2\n/etc/passwd\ntext";
        assert_eq!(text, expected, "{volume}");
    }
}

fn volume_that_is_not_empty_is_left_alone(bed: &Bed) {
    load_seeded(bed, seeded());
    bed.sh(&["-v", "data:/v"], "touch /v/own");
    bed.ok(["create", "-v", "data:/seeded", "seeded"]);
    assert_eq!(bed.sh(&["-v", "data:/v"], "ls /v; stat -c %u /v"), "own\n0");
}

fn emptied_volume_stays_empty_at_a_restart(bed: &Bed) {
    bed.ok(["create", "--name", "box", "-v", "data:/etc", "busybox", "sh", "-c", "ls /etc | wc -l"]);
    let first: u32 = bed.ok(["start", "-a", "box"]).parse().expect("a number");
    assert!(first > 1, "{first} entries");
    bed.sh(&["-v", "data:/v"], "rm -rf /v/*");
    // The three files that every container has there are mounted, and their places made for it.
    assert_eq!(bed.ok(["start", "-a", "box"]), "3");
}

fn nocopy_leaves_a_new_volume_empty(bed: &Bed) {
    load_seeded(bed, seeded());
    bed.ok(["create", "-v", "short:/seeded:nocopy", "seeded"]);
    bed.ok(["create", "--mount", "type=volume,source=long,target=/seeded,volume-nocopy", "seeded"]);
    for volume in ["short:/v", "long:/v"] {
        assert_eq!(bed.sh(&["-v", volume], "ls -A /v; stat -c %u /v"), "0", "{volume}");
    }
}

fn volume_over_a_link_gets_what_is_there_in_the_image(bed: &Bed) {
    load_seeded(bed, seeded());
    bed.ok(["create", "-v", "linked:/linked", "-v", "dangling:/dangling", "seeded"]);
    assert_eq!(bed.sh(&["-v", "linked:/v"], "ls /v; cat /v/mark"), "mark\nof the image");
    assert_eq!(bed.sh(&["-v", "dangling:/v"], "ls -A /v"), "");
}

fn volume_over_a_file_of_the_image_is_refused(bed: &Bed) {
    load_seeded(bed, seeded());
    let output = bed.run(["create", "-v", "/data/mark", "seeded"]);
    assert_ne!(output.status, 0);
    output.expect_stderr("cannot mount volume over existing file, file exists");
    assert_eq!(bed.ok(["ps", "-aq"]), "");
}

fn source(bed: &Bed, container: &str) -> String {
    bed.field(container, "{{range .Mounts}}{{.Type}} {{.Destination}} {{.Source}}{{end}}")
        .strip_prefix("volume /seeded ")
        .expect("a volume")
        .to_owned()
}

fn volume_of_an_image_is_anonymous_and_goes_when_asked(bed: &Bed) {
    load_seeded(bed, json!({"Cmd": ["true"], "Volumes": {"/seeded": {}}}));
    bed.ok(["create", "--name", "kept", "seeded"]);
    bed.ok(["create", "--name", "removed", "seeded"]);
    let (kept, removed) = (source(bed, "kept"), source(bed, "removed"));
    assert_eq!(fs::read_to_string(Path::new(&kept).join("inner/file")).expect("a copy"), "text");
    bed.ok(["rm", "kept"]);
    bed.ok(["rm", "-v", "removed"]);
    assert!(Path::new(&kept).exists() && !Path::new(&removed).exists());
    let id = bed.ok(["run", "-d", "--rm", "-v", "/seeded", "busybox", "sleep", "600"]);
    let short_lived = source(bed, &id);
    bed.ok(["stop", "-t", "0", &id]);
    let gone = || (!Path::new(&short_lived).exists()).then_some(());
    testkit::eventually(Duration::from_secs(10), gone).expect("the volume goes with its container");
}

fn volumes_of_another_container_are_taken_over(bed: &Bed) {
    load_seeded(bed, json!({"Cmd": ["true"], "Volumes": {"/seeded": {}}}));
    let shared = bed.engine.directory().join("shared");
    fs::create_dir(&shared).expect("create a folder");
    let bind = format!("{}:/bound", shared.display());
    bed.ok(["create", "--name", "store", "-v", &bind, "seeded"]);
    let text = bed.sh(&["--volumes-from", "store"], "cat /seeded/inner/file; touch /seeded/new /bound/new");
    assert_eq!(text, "text");
    assert!(shared.join("new").exists());
    assert_eq!(bed.sh(&["--volumes-from", "store:ro"], "ls /seeded"), "inner\nnew");
    for target in ["/seeded/x", "/bound/x"] {
        let output = bed.run(["run", "--rm", "--volumes-from", "store:ro", "busybox", "touch", target]);
        output.expect_code(1).expect_stderr("Read-only file system");
    }
    let own = bed.sh(&["--volumes-from", "store", "-v", "own:/seeded"], "ls -A /seeded; ls /bound");
    assert_eq!(own, "new");
}

fn anonymous_volume_stays_while_another_container_has_it(bed: &Bed) {
    bed.ok(["create", "--name", "first", "-v", "/seeded", "busybox"]);
    bed.ok(["create", "--name", "second", "--volumes-from", "first", "busybox"]);
    let volume = source(bed, "first");
    assert_eq!(source(bed, "second"), volume);
    bed.ok(["rm", "-v", "first"]);
    assert!(Path::new(&volume).exists());
    bed.ok(["rm", "-v", "second"]);
    assert!(!Path::new(&volume).exists());
}

fn volumes_from_is_checked(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--volumes-from", "no-such", "busybox", "true"]).expect_code(125);
    output.expect_stderr("No such container: no-such");
    bed.ok(["create", "--name", "store", "busybox"]);
    let output = bed.run(["run", "--rm", "--volumes-from", "store:nocopy", "busybox", "true"]);
    output.expect_code(125).expect_stderr("invalid mode: nocopy");
}
