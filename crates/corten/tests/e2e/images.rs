//! Images: list, inspect, history, tag, remove, load.

use std::fs;

use serde_json::{Value, json};
use testkit::archive::{Compression, Image, Layer, digest};
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    removal_names_each_layer_by_its_chain,
    layers_are_where_inspect_says,
    list_has_docker_s_columns,
    list_is_filtered_and_formatted,
    id_is_the_digest_of_the_configuration,
    history_has_a_line_for_each_step,
    tag_adds_a_name,
    rmi_untags_and_then_deletes,
    image_in_use_is_not_removed,
    unknown_image_is_an_error_that_names_it,
    load_reads_standard_input_and_files,
    load_reads_compressed_archives,
    loaded_image_has_its_configuration,
    layers_cover_and_remove_what_is_below,
    same_image_loaded_twice_is_one,
    truncated_archive_is_refused,
    garbage_is_refused,
    invalid_tag_is_refused,
);

fn small(text: &str) -> Image {
    Image::new(json!({"Cmd": ["true"]}), Layer::new().file("marker", 0o644, text.as_bytes()))
}

/// busybox with further layers on it.
pub(crate) fn on_busybox(config: Value, layers: Vec<Vec<u8>>) -> Image {
    let base = Layer::new()
        .directory("bin/", 0o755)
        .file("bin/busybox", 0o755, &fs::read("/bin/busybox").expect("busybox is installed"))
        .symlink("bin/sh", "busybox");
    let mut image = Image::new(config, base);
    image.layers.extend(layers);
    image
}

fn list_has_docker_s_columns(bed: &Bed) {
    let table = bed.ok(["images"]);
    let columns: Vec<&str> = table
        .lines()
        .next()
        .expect("a header")
        .split("  ")
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    assert_eq!(columns, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let row: Vec<&str> = table.lines().nth(1).expect("an image").split_whitespace().collect();
    assert_eq!(row[..2], ["busybox", "latest"]);
    assert_eq!(row[2], &bed.field("busybox", "{{.Id}}")["sha256:".len()..][..12]);
}

fn list_is_filtered_and_formatted(bed: &Bed) {
    bed.engine.load_archive(&small("a").docker_archive("one:1"));
    bed.engine.load_archive(&small("b").docker_archive("two:2"));
    let list = |options: &[&str]| {
        let head = ["images", "--format", "{{.Repository}}:{{.Tag}}"].into_iter();
        let mut lines: Vec<String> =
            bed.ok(head.chain(options.iter().copied())).lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    assert_eq!(list(&[]), "busybox:latest one:1 two:2");
    assert_eq!(list(&["one"]), "one:1");
    assert_eq!(list(&["-f", "reference=t*"]), "two:2");
    assert_eq!(bed.ok(["images", "-q", "--no-trunc", "two:2"]), small("b").id());
}

fn id_is_the_digest_of_the_configuration(bed: &Bed) {
    let image = small("x");
    bed.engine.load_archive(&image.docker_archive("small:1"));
    assert_eq!(bed.field("small:1", "{{.Id}}"), image.id());
    assert_eq!(bed.field("small:1", "{{.Architecture}} {{.Os}} {{len .RootFS.Layers}}"), "amd64 linux 1");
}

fn history_has_a_line_for_each_step(bed: &Bed) {
    let upper = Layer::new().file("upper", 0o644, &[0; 3000]).finish();
    bed.engine.load_archive(&on_busybox(json!({}), vec![upper]).docker_archive("two:1"));
    let text = bed.ok(["history", "--format", "{{.CreatedBy}}|{{.Size}}", "two:1"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0] == "layer 2|3kB" && lines[1].starts_with("layer 1|"), "{text}");
}

fn tag_adds_a_name(bed: &Bed) {
    bed.ok(["tag", "busybox", "other/name:v1"]);
    assert_eq!(bed.field("other/name:v1", "{{.Id}}"), bed.field("busybox", "{{.Id}}"));
    assert_eq!(bed.ok(["run", "--rm", "other/name:v1", "echo", "runs"]), "runs");
    bed.run(["tag", "no-such", "x:1"]).expect_code(1).expect_stderr("No such image: no-such");
}

fn rmi_untags_and_then_deletes(bed: &Bed) {
    bed.engine.load_archive(&small("r").docker_archive("gone:1"));
    bed.ok(["tag", "gone:1", "gone:2"]);
    let first = bed.ok(["rmi", "gone:1"]);
    assert_eq!(first, "Untagged: gone:1");
    let second = bed.ok(["rmi", "gone:2"]);
    assert!(second.starts_with("Untagged: gone:2\nDeleted: sha256:"), "{second}");
    bed.run(["inspect", &small("r").id()]).expect_code(1);
}

fn image_in_use_is_not_removed(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let output = bed.run(["rmi", "busybox"]).expect_code(1);
    output.expect_stderr("conflict: unable to remove repository reference \"busybox\" (must force)");
    let id = bed.field("box", "{{.Image}}");
    bed.run(["rmi", "-f", &id]).expect_code(1).expect_stderr("cannot be forced");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["rmi", "busybox"]);
    assert_eq!(bed.ok(["images", "-q"]), "");
}

fn unknown_image_is_an_error_that_names_it(bed: &Bed) {
    bed.run(["image", "inspect", "no-such"]).expect_code(1).expect_stderr("No such image: no-such");
    bed.run(["history", "no-such"]).expect_code(1).expect_stderr("No such image: no-such");
    bed.run(["rmi", "no-such"]).expect_code(1).expect_stderr("No such image: no-such");
}

fn load_reads_standard_input_and_files(bed: &Bed) {
    let archive = small("in").docker_archive("piped:1");
    let output = bed.cli(["load"]).stdin(archive).run().expect_ok();
    assert!(output.text().contains("Loaded image: piped:1"), "{}", output.text());
    let file = bed.engine.directory().join("image.tar");
    fs::write(&file, small("file").docker_archive("from-file:1")).expect("write a file");
    let text = bed.cli(["load", "-i"]).arg(&file).run().expect_ok().text();
    assert!(text.contains("Loaded image: from-file:1"), "{text}");
}

fn load_reads_compressed_archives(bed: &Bed) {
    let image = small("packed");
    let bytes = Compression::Gzip.apply(&image.docker_archive("packed:gzip"));
    bed.cli(["load"]).stdin(bytes).run().expect_ok();
    assert_eq!(bed.field("packed:gzip", "{{.Id}}"), image.id());
}

fn loaded_image_has_its_configuration(bed: &Bed) {
    let config = json!({
        "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $FROM_IMAGE; pwd; busybox id -u"],
        "WorkingDir": "/srv", "User": "7", "Labels": {"a": "b"}, "StopSignal": "SIGINT",
    });
    bed.engine.load_archive(&on_busybox(config, Vec::new()).docker_archive("configured:1"));
    assert_eq!(bed.ok(["run", "--name", "box", "configured:1"]), "yes\n/srv\n7");
    assert_eq!(bed.field("box", "{{json .Config.Labels}} {{.Config.StopSignal}}"), r#"{"a":"b"} SIGINT"#);
    assert_eq!(bed.ok(["run", "--rm", "configured:1", "echo other"]), "other");
}

fn layers_cover_and_remove_what_is_below(bed: &Bed) {
    let lower = Layer::new()
        .directory("d/", 0o755)
        .file("d/gone", 0o644, b"x")
        .file("d/covered", 0o644, b"old")
        .directory("opaque/", 0o755)
        .file("opaque/hidden", 0o644, b"x");
    let upper = Layer::new()
        .directory("d/", 0o755)
        .file("d/.wh.gone", 0o644, b"")
        .file("d/covered", 0o600, b"new")
        .directory("opaque/", 0o755)
        .file("opaque/.wh..wh..opq", 0o644, b"")
        .file("opaque/shown", 0o644, b"x");
    let layers = vec![lower.finish(), upper.finish()];
    bed.engine.load_archive(&on_busybox(json!({}), layers).docker_archive("layers:1"));
    let script = "busybox ls /d /opaque; busybox cat /d/covered; busybox stat -c %a /d/covered";
    assert_eq!(
        bed.ok(["run", "--rm", "layers:1", "/bin/sh", "-c", script]),
        "/d:\ncovered\n\n/opaque:\nshown\nnew600"
    );
}

fn same_image_loaded_twice_is_one(bed: &Bed) {
    let archive = small("same").docker_archive("same:1");
    bed.engine.load_archive(&archive);
    bed.engine.load_archive(&archive);
    assert_eq!(bed.ok(["images", "-q", "same"]).lines().count(), 1);
}

fn truncated_archive_is_refused(bed: &Bed) {
    let archive = on_busybox(json!({}), Vec::new()).docker_archive("cut:1");
    let before = bed.ok(["images", "-aq"]);
    for length in [archive.len() / 2, 700, 100] {
        let output = bed.cli(["load"]).stdin(&archive[..length]).run();
        assert_ne!(output.status, 0, "an archive cut after {length} bytes was loaded");
    }
    assert_eq!(bed.ok(["images", "-aq"]), before);
}

fn garbage_is_refused(bed: &Bed) {
    let bytes: Vec<u8> =
        (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_ne!(bed.cli(["load"]).stdin(bytes).run().status, 0);
    let no_manifest = Layer::new().file("other", 0o644, b"x").finish();
    assert_ne!(bed.cli(["load"]).stdin(no_manifest).run().status, 0);
    let foreign =
        Layer::new().file("manifest.json", 0o644, br#"[{"Config":"../../../etc/passwd","Layers":[]}]"#);
    assert_ne!(bed.cli(["load"]).stdin(foreign.finish()).run().status, 0);
}

fn invalid_tag_is_refused(bed: &Bed) {
    for name in ["UPPER", "a//b", "x:bad tag", "-x:1", "x@sha256:123"] {
        assert_ne!(bed.run(["tag", "busybox", name]).status, 0, "{name}");
    }
    bed.run(["run", "--rm", "Bad//Name", "true"]).expect_code(125).expect_stderr("invalid reference format");
}

fn removal_names_each_layer_by_its_chain(bed: &Bed) {
    let mut image = Image::new(json!({}), Layer::new().file("first", 0o644, b"1"));
    image.layers.push(Layer::new().file("second", 0o644, b"2").finish());
    bed.engine.load_archive(&image.docker_archive("chain:1"));
    let [lower, upper] = [digest(&image.layers[0]), digest(&image.layers[1])];
    let chain = digest(format!("{lower} {upper}").as_bytes());
    let expected = format!("Untagged: chain:1\nDeleted: {}\nDeleted: {chain}\nDeleted: {lower}", image.id());
    assert_eq!(bed.ok(["rmi", "chain:1"]), expected);
}

fn layers_are_where_inspect_says(bed: &Bed) {
    let mut image = Image::new(json!({"Cmd": ["true"]}), Layer::new().file("first", 0o644, b"1"));
    image.layers.push(Layer::new().file("second", 0o644, b"2").finish());
    bed.engine.load_archive(&image.docker_archive("folders:1"));
    let directory = |object: &str, key: &str| {
        let path = bed.field(object, &format!("{{{{.GraphDriver.Data.{key}}}}}"));
        std::path::PathBuf::from(path)
    };
    assert!(directory("folders:1", "UpperDir").join("second").exists());
    assert!(directory("folders:1", "LowerDir").join("first").exists());
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo > /written; sleep 600"]);
    let upper = directory("box", "UpperDir");
    let written = || upper.join("written").exists().then_some(());
    testkit::eventually(std::time::Duration::from_secs(10), written).expect("the container wrote it");
    assert!(directory("box", "MergedDir").join("bin/busybox").exists());
}
