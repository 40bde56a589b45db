//! Images made to do harm.

use std::fs;
use std::path::Path;

use serde_json::json;
use testkit::archive::{Image, Layer};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    names_that_leave_the_root_are_contained,
    links_that_leave_the_root_are_contained,
    whiteouts_remove_nothing_outside,
    digest_that_does_not_match_is_refused,
    files_of_the_container_s_own_are_not_followed_outside,
    user_names_from_the_image_are_bounded,
);

/// A name on the host that must not appear.
fn victim(bed: &Bed) -> String {
    let name = bed.engine.directory().file_name().expect("a name").to_string_lossy().into_owned();
    format!("{name}-escaped")
}

/// Loads an image; a refusal is as good as containment.
fn load(bed: &Bed, layers: Vec<Layer>) {
    let mut image = Image::new(json!({"Cmd": ["/x"]}), Layer::new());
    image.layers = layers.into_iter().map(Layer::finish).collect();
    let archive = image.docker_archive("hostile:1");
    bed.engine.http().request("POST", "/images/load?quiet=1", "application/x-tar", &archive);
    // Preparing a container's root would extract what loading has not.
    bed.run(["run", "--rm", "hostile:1"]);
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
}

fn assert_absent(name: &str) {
    for directory in ["/", "/tmp", "/etc", "/var", "/var/lib", "/root"] {
        let path = Path::new(directory).join(name);
        assert!(fs::symlink_metadata(&path).is_err(), "{} was made on the host", path.display());
    }
}

fn names_that_leave_the_root_are_contained(bed: &Bed) {
    let name = victim(bed);
    let up = "../".repeat(20);
    for path in
        [format!("{up}tmp/{name}"), format!("/tmp/{name}"), format!("a/../../../../../../../../tmp/{name}")]
    {
        load(bed, vec![Layer::new().file(&path, 0o644, b"x")]);
        load(bed, vec![Layer::new().directory(&path, 0o755)]);
        load(bed, vec![Layer::new().symlink(&path, "x")]);
        assert_absent(&name);
    }
}

fn links_that_leave_the_root_are_contained(bed: &Bed) {
    let name = victim(bed);
    let through = format!("link/{name}");
    for target in ["/tmp", "../../../../../../../../../../../../tmp"] {
        load(bed, vec![Layer::new().symlink("link", target).file(&through, 0o644, b"x")]);
        load(bed, vec![Layer::new().symlink("link", target), Layer::new().file(&through, 0o644, b"x")]);
    }
    load(bed, vec![Layer::new().hard_link("stolen", "/etc/shadow")]);
    load(bed, vec![Layer::new().hard_link("stolen", "../../../../../../../../etc/shadow")]);
    assert_absent(&name);
}

fn whiteouts_remove_nothing_outside(bed: &Bed) {
    let kept = bed.engine.directory().join("kept");
    fs::write(&kept, "x").expect("write a file");
    let directory = bed.engine.directory().display().to_string();
    let up = "../".repeat(20);
    load(bed, vec![Layer::new().symlink("link", &directory), Layer::new().file("link/.wh.kept", 0o644, b"")]);
    load(bed, vec![Layer::new().file(&format!("{up}{}/.wh.kept", &directory[1..]), 0o644, b"")]);
    load(bed, vec![Layer::new().directory("d/", 0o755).file("d/.wh...", 0o644, b"")]);
    load(bed, vec![Layer::new().file(".wh..", 0o644, b"")]);
    assert!(kept.exists());
}

fn digest_that_does_not_match_is_refused(bed: &Bed) {
    let image = Image::new(json!({}), Layer::new().file("a", 0o644, b"right"));
    let mut archive = image.docker_archive("wrong:1");
    let position = archive.windows(5).position(|window| window == b"right").expect("the content");
    archive[position] = b'w';
    assert_ne!(bed.cli(["load"]).stdin(archive).run().status, 0);
    bed.run(["inspect", "wrong:1"]).expect_code(1);
}

fn files_of_the_container_s_own_are_not_followed_outside(bed: &Bed) {
    let name = victim(bed);
    let target = format!("/tmp/{name}");
    let layer = Layer::new()
        .directory("etc/", 0o755)
        .symlink("etc/hosts", &target)
        .symlink("etc/resolv.conf", &target)
        .symlink("etc/hostname", &target)
        .symlink("etc/passwd", "/proc/1/environ")
        .symlink("proc", "/tmp")
        .symlink("dev", "/tmp");
    load(bed, vec![layer]);
    assert_absent(&name);
}

fn user_names_from_the_image_are_bounded(bed: &Bed) {
    let mut passwd = b"root:x:0:0:root:/:/x\n".to_vec();
    passwd.extend(std::iter::repeat_n(b'a', 4 << 20));
    passwd.extend(b"\nbad line\nevil:x:0:0::/:/x\nnumber:x:99999999999:1::/:/x\n");
    load(bed, vec![Layer::new().directory("etc/", 0o755).file("etc/passwd", 0o644, &passwd)]);
    assert_ne!(bed.run(["run", "--rm", "-u", "number", "hostile:1"]).status, 0);
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
}
