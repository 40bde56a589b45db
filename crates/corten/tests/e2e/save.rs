//! Saving images, and loading them again.

use std::fs;

use serde_json::{Value, json};
use testkit::archive::{Image, Layer, digest};
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;

with_each_client!(
    saved_image_is_the_same_when_loaded,
    image_that_is_there_is_loaded_again,
    several_images_are_saved_in_one_archive,
    archive_goes_to_standard_output,
    repository_is_saved_with_all_its_tags,
    image_saved_by_id_has_no_name,
    unknown_image_is_not_saved,
    output_that_cannot_be_written_is_an_error,
    terminal_gets_no_archive,
    layers_that_are_loaded_are_shown_on_a_terminal,
    progress_of_layers_is_told_unless_nobody_wants_it,
);

fn layered(text: &str) -> Image {
    let upper = Layer::new()
        .directory("d/", 0o711)
        .file("d/text", 0o640, text.as_bytes())
        .hard_link("d/same", "d/text")
        .symlink("d/link", "text");
    on_busybox(json!({"Cmd": ["sh", "-c", "cat /d/same; ls -l /d | wc -l"]}), vec![upper.finish()])
}

fn saved_image_is_the_same_when_loaded(bed: &Bed) {
    let image = layered("content");
    bed.engine.load_archive(&image.docker_archive("saved:1"));
    let file = bed.engine.directory().join("saved.tar");
    assert_eq!(bed.cli(["save", "-o"]).arg(&file).arg("saved:1").run().expect_ok().text(), "");
    bed.ok(["rmi", "saved:1"]);
    let text = bed.cli(["load", "-i"]).arg(&file).run().expect_ok().text();
    assert!(text.contains("Loaded image: saved:1"), "{text}");
    assert_eq!(bed.field("saved:1", "{{.Id}}"), image.id());
    assert_eq!(bed.ok(["run", "--rm", "saved:1"]), "content4");
}

fn image_that_is_there_is_loaded_again(bed: &Bed) {
    let image = layered("content");
    bed.engine.load_archive(&image.docker_archive("saved:1"));
    let file = bed.engine.directory().join("saved.tar");
    bed.cli(["save", "-o"]).arg(&file).arg("saved:1").run().expect_ok();
    bed.ok(["tag", "saved:1", "other:1"]);
    bed.ok(["rmi", "saved:1"]);
    let text = bed.cli(["load", "-i"]).arg(&file).run().expect_ok().text();
    assert!(text.contains("Loaded image: saved:1"), "{text}");
    assert_eq!(bed.field("saved:1", "{{.Id}}"), bed.field("other:1", "{{.Id}}"));
    assert_eq!(bed.ok(["run", "--rm", "saved:1"]), "content4");
}

fn several_images_are_saved_in_one_archive(bed: &Bed) {
    for name in ["one", "two"] {
        bed.engine.load_archive(&layered(name).docker_archive(&format!("{name}:1")));
    }
    let file = bed.engine.directory().join("both.tar");
    bed.cli(["save", "--output"]).arg(&file).args(["one:1", "two:1"]).run().expect_ok();
    bed.ok(["rmi", "one:1", "two:1"]);
    bed.cli(["load", "-i"]).arg(&file).run().expect_ok();
    assert_eq!(bed.field("one:1", "{{.Id}}"), layered("one").id());
    assert_eq!(bed.field("two:1", "{{.Id}}"), layered("two").id());
}

fn archive_goes_to_standard_output(bed: &Bed) {
    bed.engine.load_archive(&layered("piped").docker_archive("piped:1"));
    let archive = bed.run(["save", "piped:1"]).expect_ok().stdout;
    bed.ok(["rmi", "piped:1"]);
    bed.cli(["load"]).stdin(archive).run().expect_ok();
    assert_eq!(bed.field("piped:1", "{{.Id}}"), layered("piped").id());
}

fn repository_is_saved_with_all_its_tags(bed: &Bed) {
    bed.engine.load_archive(&layered("tags").docker_archive("many:1"));
    bed.ok(["tag", "many:1", "many:2"]);
    bed.ok(["tag", "many:1", "other:3"]);
    let archive = bed.run(["save", "many"]).expect_ok().stdout;
    bed.ok(["rmi", "many:1", "many:2", "other:3"]);
    bed.cli(["load"]).stdin(archive).run().expect_ok();
    assert_eq!(
        bed.field("many:1", "{{.Id}} {{json .RepoTags}}"),
        format!("{} [\"many:1\",\"many:2\"]", layered("tags").id())
    );
}

fn image_saved_by_id_has_no_name(bed: &Bed) {
    let image = layered("nameless");
    bed.engine.load_archive(&image.docker_archive("named:1"));
    let archive = bed.run(["save", &image.id()["sha256:".len()..][..12]]).expect_ok().stdout;
    bed.ok(["rmi", "named:1"]);
    let text = bed.cli(["load"]).stdin(archive).run().expect_ok().text();
    assert!(text.contains(&format!("Loaded image ID: {}", image.id())), "{text}");
    assert_eq!(bed.field(&image.id(), "{{json .RepoTags}}"), "[]");
}

fn unknown_image_is_not_saved(bed: &Bed) {
    let file = bed.engine.directory().join("none.tar");
    let output = bed.cli(["save", "-o"]).arg(&file).args(["busybox", "no-such:1"]).run().expect_code(1);
    output.expect_stderr("reference does not exist");
    assert!(!file.exists());
    bed.run(["save", "no-such"]).expect_code(1).expect_stderr("Error response from daemon");
    bed.run(["save"]).expect_code(1).expect_stderr("requires at least 1 argument");
}

fn output_that_cannot_be_written_is_an_error(bed: &Bed) {
    let output = bed.run(["save", "-o", "/no/such/folder/x.tar", "busybox"]).expect_code(1);
    output.expect_stderr("failed to save image: invalid output path: stat /no/such/folder: no such file");
    let output = bed.run(["save", "-o", "/dev/null", "busybox"]).expect_code(1);
    output.expect_stderr("cannot write to a character device file");
    bed.run(["save", "-o", "/", "busybox"]).expect_code(1).expect_stderr("cannot write to a directory");
    let before = bed.engine.directory().join("before.tar");
    fs::write(&before, "old").expect("write a file");
    bed.cli(["save", "-o"]).arg(&before).arg("no-such:1").run().expect_code(1);
    assert_eq!(fs::read(&before).expect("read a file"), b"old");
}

fn terminal_gets_no_archive(bed: &Bed) {
    let mut session = bed.cli(["save", "busybox"]).pty();
    session.expect("cowardly refusing to save to a terminal");
    assert_eq!(session.finish().0, 1);
}

fn layers_that_are_loaded_are_shown_on_a_terminal(bed: &Bed) {
    let image = layered("shown");
    let file = bed.engine.directory().join("shown.tar");
    fs::write(&file, image.docker_archive("shown:1")).expect("write an archive");
    let mut session = bed.cli(["load", "-i"]).arg(&file).pty();
    for layer in &image.layers {
        session.expect(&short_digest(layer));
        session.expect(": Loading layer ");
    }
    session.expect("Loaded image: shown:1");
    assert_eq!(session.finish().0, 0);
}

/// The first digits of a layer's digest.
fn short_digest(layer: &[u8]) -> String {
    digest(layer)["sha256:".len()..][..12].to_owned()
}

fn progress_of_layers_is_told_unless_nobody_wants_it(bed: &Bed) {
    let image = layered("told");
    let archive = image.docker_archive("told:1");
    let load = |query: &str| {
        let path = format!("/images/load{query}");
        let answer = bed.engine.http().request("POST", &path, "application/x-tar", &archive).expect(200);
        let messages: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).expect("a message")).collect();
        messages
    };
    let messages = load("?quiet=0");
    for layer in &image.layers {
        let id = short_digest(layer);
        let of_layer: Vec<&Value> = messages.iter().filter(|it| it["id"] == *id).collect();
        let last = of_layer.last().expect("messages of the layer");
        assert_eq!(last["status"], "Loading layer");
        assert_eq!(last["progressDetail"]["current"], last["progressDetail"]["total"]);
        assert!(last["progressDetail"]["total"].as_u64() >= Some(layer.len() as u64));
    }
    let last = messages.last().expect("a message");
    assert_eq!(last["stream"], "Loaded image: told:1\n");
    // What is there already is not loaded again.
    assert_eq!(load("").len(), 1);
    bed.ok(["rmi", "told:1"]);
    assert_eq!(load("?quiet=1").len(), 1);
}
