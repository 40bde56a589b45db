//! `system check`: damage on the disk is found, named and mended.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::archive::Layer;
use testkit::registry::Registry;
use testkit::{Bed, Client};

use crate::CORTEN;
use crate::images::on_busybox;

const TEXT: &str = "the content of a file\n";

/// An engine with an image from a registry, which is its only one, and that image's name.
fn start() -> (Bed, Registry, String) {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    bed.ok(["rmi", "busybox"]);
    let registry = Registry::start();
    let layer = Layer::new().file("data", 0o644, TEXT.as_bytes()).finish();
    let image = on_busybox(json!({"Cmd": ["busybox", "cat", "/data"]}), vec![layer]);
    let reference = registry.push_archive("docker-archive", &image.docker_archive("app:1"), "app:1");
    bed.ok(["pull", "-q", &reference]);
    (bed, registry, reference)
}

fn image_folder(bed: &Bed) -> PathBuf {
    bed.engine.data_root().join("image")
}

pub(super) fn tree_of_top_layer(bed: &Bed, image: &str) -> PathBuf {
    let top = bed.field(image, "{{index .RootFS.Layers 1}}");
    image_folder(bed).join("layers").join(top.trim_start_matches("sha256:")).join("diff")
}

/// Changes one byte.
fn damage(path: &Path) {
    let mut content = fs::read(path).expect("read");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).expect("write");
}

/// Blobs that are compressed layers.
fn archives(bed: &Bed) -> Vec<PathBuf> {
    let blobs = fs::read_dir(image_folder(bed).join("blobs/sha256")).expect("list blobs");
    let is_gzip = |path: &PathBuf| fs::read(path).expect("read a blob").starts_with(&[0x1f, 0x8b]);
    blobs.map(|entry| entry.expect("an entry").path()).filter(is_gzip).collect()
}

fn expect_sound(bed: &Bed, image: &str) {
    let text = bed.ok(["system", "check"]);
    assert!(
        text.starts_with("Verified 1 images, 2 layers and ") && text.ends_with("nothing is damaged"),
        "{text}"
    );
    assert_eq!(bed.run(["run", "--rm", image]).expect_ok().text(), TEXT);
}

#[test]
fn changed_file_of_a_layer_is_named_and_made_anew() {
    let (bed, _registry, image) = start();
    expect_sound(&bed, &image);
    damage(&tree_of_top_layer(&bed, &image).join("data"));
    bed.ok(["create", "--name", "over", &image]);
    let told = bed.run(["system", "check"]).expect_code(1).text();
    assert!(told.starts_with("layer sha256:") && told.contains(": /data has another time\n"), "{told}");
    assert!(
        told.contains(&format!("    images: {image}")) && told.contains("    containers: over\n"),
        "{told}"
    );
    let done = bed.ok(["system", "check", "--repair"]);
    assert!(done.contains("    made anew from what is whole\n"), "{done}");
    expect_sound(&bed, &image);
    assert_eq!(bed.run(["start", "-a", "over"]).expect_ok().text(), TEXT);
}

#[test]
fn layer_of_a_running_container_is_left_as_it_is() {
    let (bed, _registry, image) = start();
    bed.ok(["run", "-d", "--name", "runs", &image, "busybox", "sleep", "1000"]);
    damage(&tree_of_top_layer(&bed, &image).join("data"));
    let told = bed.run(["system", "check", "--repair"]).expect_code(1).text();
    assert!(told.contains("    left as it is: a container runs on it"), "{told}");
    bed.ok(["rm", "-f", "runs"]);
    bed.ok(["system", "check", "--repair"]);
    expect_sound(&bed, &image);
}

#[test]
fn damaged_archives_are_fetched_again_by_a_pull() {
    let (mut bed, _registry, image) = start();
    let archives = archives(&bed);
    assert_eq!(archives.len(), 2);
    archives.iter().for_each(|path| damage(path));
    let told = bed.run(["system", "check"]).expect_code(1).text();
    assert_eq!(told.matches("blob sha256:").count(), 2, "{told}");
    let done = bed.ok(["system", "check", "--repair"]);
    assert!(done.contains("put out of use; the next pull fetches it again"), "{done}");
    expect_sound(&bed, &image);
    assert!(archives.iter().all(|path| !path.exists()));
    bed.engine.kill();
    bed.engine.launch();
    bed.ok(["pull", "-q", &image]);
    expect_sound(&bed, &image);
    assert!(archives.iter().all(|path| path.exists()));
}

#[test]
fn archives_that_were_put_out_of_use_come_back_by_a_load() {
    let (bed, _registry, image) = start();
    let file = bed.engine.directory().join("saved.tar");
    bed.cli(["save", "-o"]).arg(&file).arg(&image).run().expect_ok();
    let archives = archives(&bed);
    archives.iter().for_each(|path| damage(path));
    bed.ok(["system", "check", "--repair"]);
    bed.cli(["load", "-i"]).arg(&file).run().expect_ok();
    expect_sound(&bed, &image);
    assert!(archives.iter().all(|path| path.exists()));
}

#[test]
fn image_without_its_configuration_is_removed_and_pulled_again() {
    let (bed, _registry, image) = start();
    let id = bed.field(&image, "{{.Id}}");
    damage(&image_folder(&bed).join("blobs/sha256").join(id.trim_start_matches("sha256:")));
    let done = bed.ok(["system", "check", "--repair"]);
    assert!(done.contains(&format!("blob {id}")) && done.contains("pull them again"), "{done}");
    assert_eq!(bed.ok(["images", "-q"]), "");
    let text = bed.run(["run", "--rm", &image]).expect_ok().text();
    assert_eq!(text, TEXT);
    expect_sound(&bed, &image);
}
