//! Images of containers and of archives: `commit` and `import`.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::archive::{Compression, Layer};
use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;
use crate::files::start_writer;
use crate::images::on_busybox;

with_each_client!(
    committed_image_has_what_the_container_changed,
    committed_image_has_the_container_s_configuration,
    changes_are_applied_to_the_configuration,
    changes_that_make_files_are_refused,
    running_container_is_committed_and_goes_on,
    container_without_changes_makes_no_layer,
    committed_image_is_saved_and_loaded,
    commit_is_an_event,
    exported_container_is_imported_again,
    import_reads_files_compressed_or_not,
    import_takes_configuration_and_note,
    import_of_garbage_is_refused,
    hostile_names_stay_inside_an_import,
);

const CHANGE: &str = "echo new > /d/changed; busybox rm /d/deleted; busybox rm -r /gone; busybox mkdir /gone; \
                      echo > /gone/fresh; busybox chown 7:8 /d/changed; busybox chmod 4711 /d/changed";

fn sample(bed: &Bed) {
    let layer = Layer::new()
        .directory("d/", 0o711)
        .file("d/changed", 0o640, b"old")
        .file("d/deleted", 0o640, b"old")
        .directory("gone/", 0o755)
        .file("gone/old", 0o644, b"old");
    let image = on_busybox(json!({"Cmd": ["busybox", "true"], "Env": ["A=1"]}), vec![layer.finish()]);
    bed.engine.load_archive(&image.docker_archive("sample:1"));
}

fn committed_image_has_what_the_container_changed(bed: &Bed) {
    sample(bed);
    bed.ok(["run", "--name", "box", "sample:1", "sh", "-c", CHANGE]);
    let id = bed.ok(["commit", "box", "made:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(bed.field("made:1", "{{.Id}}"), id);
    bed.ok(["rm", "box"]);
    let script = "busybox ls /d /gone; busybox stat -c '%u:%g %a' /d/changed; busybox cat /d/changed";
    let seen = bed.ok(["run", "--rm", "made:1", "sh", "-c", script]);
    assert_eq!(seen, "/d:\nchanged\n\n/gone:\nfresh\n7:8 4711\nnew");
    let layers = |image: &str| -> Vec<String> {
        serde_json::from_str(&bed.field(image, "{{json .RootFS.Layers}}")).expect("a list")
    };
    let (below, all) = (layers("sample:1"), layers("made:1"));
    assert_eq!((&all[..below.len()], all.len()), (&below[..], below.len() + 1));
}

fn committed_image_has_the_container_s_configuration(bed: &Bed) {
    bed.ok([
        "create", "--name", "box", "-e", "B=2", "-w", "/w", "-l", "k=v", "busybox", "sh", "-c", "echo $B",
    ]);
    bed.ok(["commit", "-a", "Ada", "-m", "a note", "box", "made:1"]);
    assert_eq!(bed.ok(["run", "--rm", "made:1"]), "2");
    let template =
        "{{.Author}}|{{.Comment}}|{{.Config.WorkingDir}}|{{.Config.Labels.k}}|{{json .Config.Cmd}}";
    assert_eq!(bed.field("made:1", template), r#"Ada|a note|/w|v|["sh","-c","echo $B"]"#);
    let history = bed.ok(["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.Comment}}", "made:1"]);
    assert_eq!(history.lines().next(), Some("sh -c echo $B|a note"));
}

fn changes_are_applied_to_the_configuration(bed: &Bed) {
    bed.ok(["create", "--name", "box", "-e", "A=1", "busybox", "true"]);
    let changes = [
        r#"CMD ["sh", "-c", "echo $B-$C"]"#,
        "ENV B=$A C=\"x y\"",
        "EXPOSE 80 53/udp",
        "LABEL a=b c=\"d e\"",
        "USER 7:8",
        "VOLUME /data",
        "WORKDIR /w",
        "ONBUILD RUN true",
        "HEALTHCHECK --interval=5s CMD true",
    ];
    let options = changes.iter().flat_map(|change| ["--change", change]);
    bed.ok(["commit"].into_iter().chain(options).chain(["box", "made:1"]));
    let config: Value = serde_json::from_str(&bed.field("made:1", "{{json .Config}}")).expect("JSON");
    assert_eq!(config["Cmd"], json!(["sh", "-c", "echo $B-$C"]));
    assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "53/udp": {}}));
    assert_eq!((&config["Labels"]["a"], &config["Labels"]["c"]), (&json!("b"), &json!("d e")));
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("7:8"), &json!("/w")));
    assert_eq!(config["Volumes"], json!({"/data": {}}));
    assert_eq!(config["OnBuild"], json!(["RUN true"]));
    assert_eq!(config["Healthcheck"], json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64}));
    assert_eq!(bed.ok(["run", "--rm", "--no-healthcheck", "made:1"]), "1-x y");
}

fn changes_that_make_files_are_refused(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    let output = bed.run(["commit", "-c", "RUN true", "box", "made:1"]).expect_code(1);
    output.expect_stderr("is not a valid change command");
    bed.run(["inspect", "made:1"]).expect_code(1);
    bed.run(["commit", "no-such"]).expect_code(1).expect_stderr("No such container: no-such");
    bed.run(["commit", "box", "Bad:Name"]).expect_code(1).expect_stderr("invalid reference format");
}

fn running_container_is_committed_and_goes_on(bed: &Bed) {
    start_writer(bed);
    for (name, options) in [("paused", &["--pause"][..]), ("free", &["--pause=false"][..])] {
        bed.ok(["commit"].into_iter().chain(options.iter().copied()).chain(["box", name]));
        assert_eq!(bed.ok(["run", "--rm", name, "cat", "/file"]), "text");
        assert_eq!(bed.field("box", "{{.State.Status}}"), "running");
    }
    bed.ok(["pause", "box"]);
    bed.ok(["commit", "box", "frozen"]);
    assert_eq!(bed.field("box", "{{.State.Status}}"), "paused");
    bed.ok(["unpause", "box"]);
}

fn container_without_changes_makes_no_layer(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    bed.ok(["commit", "box", "same:1"]);
    let layers = "{{json .RootFS.Layers}}";
    assert_eq!(bed.field("same:1", layers), bed.field("busybox", layers));
    assert_ne!(bed.field("same:1", "{{.Id}}"), bed.field("busybox", "{{.Id}}"));
}

fn committed_image_is_saved_and_loaded(bed: &Bed) {
    sample(bed);
    bed.ok(["run", "--name", "box", "sample:1", "sh", "-c", CHANGE]);
    let id = bed.ok(["commit", "box", "made:1"]);
    let archive = bed.run(["save", "made:1"]).expect_ok().stdout;
    bed.ok(["rm", "box"]);
    bed.ok(["rmi", "made:1"]);
    bed.ok(["rmi", "sample:1"]);
    bed.cli(["load"]).stdin(archive).run().expect_ok();
    assert_eq!(bed.field("made:1", "{{.Id}}"), id);
    assert_eq!(
        bed.ok(["run", "--rm", "made:1", "busybox", "ls", "/gone", "/d"]),
        "/d:\nchanged\n\n/gone:\nfresh"
    );
}

fn commit_is_an_event(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    let id = bed.ok(["commit", "-m", "note", "box", "made:1"]);
    let head = ["events", "--since", "1h", "--until", "0s", "-f", "event=commit", "--format"];
    let template =
        "{{.Type}} {{.Actor.Attributes.name}} {{.Actor.Attributes.imageID}} {{.Actor.Attributes.comment}}";
    let seen = || bed.ok(head.into_iter().chain([template]));
    let wanted = format!("container box {id} note");
    assert!(eventually(Duration::from_secs(10), || (seen() == wanted).then_some(())).is_some(), "{}", seen());
}

fn exported_container_is_imported_again(bed: &Bed) {
    sample(bed);
    bed.ok(["run", "--name", "box", "sample:1", "sh", "-c", CHANGE]);
    let archive = bed.run(["export", "box"]).expect_ok().stdout;
    let id = bed.cli(["import", "-", "flat:1"]).stdin(archive).run().expect_ok().trimmed();
    assert_eq!(bed.field("flat:1", "{{.Id}} {{len .RootFS.Layers}}"), format!("{id} 1"));
    let script = "busybox ls /d /gone; busybox stat -c '%u:%g %a' /d/changed";
    let seen = bed.ok(["run", "--rm", "flat:1", "/bin/sh", "-c", script]);
    assert_eq!(seen, "/d:\nchanged\n\n/gone:\nfresh\n7:8 4711");
}

fn root(text: &str) -> Vec<u8> {
    let busybox = std::fs::read("/bin/busybox").expect("busybox is installed");
    Layer::new()
        .directory("bin/", 0o755)
        .file("bin/busybox", 0o755, &busybox)
        .file("text", 0o600, text.as_bytes())
        .finish()
}

fn import_reads_files_compressed_or_not(bed: &Bed) {
    for (name, bytes) in [("plain", root("plain")), ("gzip", Compression::Gzip.apply(&root("gzip")))] {
        let file = bed.engine.directory().join(name);
        std::fs::write(&file, bytes).expect("write a file");
        bed.cli(["import"]).arg(&file).arg(format!("{name}:1")).run().expect_ok();
        assert_eq!(bed.ok(["run", "--rm", &format!("{name}:1"), "/bin/busybox", "cat", "/text"]), name);
    }
    let output = bed.run(["import", "/no/such/file", "x:1"]).expect_code(1);
    output.expect_stderr("open /no/such/file: no such file or directory");
}

fn import_takes_configuration_and_note(bed: &Bed) {
    let options =
        ["import", "-c", r#"CMD ["/bin/busybox", "cat", "/text"]"#, "-c", "ENV A=b", "-m", "a note"];
    bed.cli(options.into_iter().chain(["-", "made"])).stdin(root("content")).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "made:latest"]), "content");
    assert_eq!(bed.field("made", "{{json .Config.Env}}|{{.Comment}}|{{.Os}}"), r#"["A=b"]|a note|linux"#);
    assert_eq!(bed.ok(["history", "--format", "{{.Comment}}", "made"]), "a note");
    let nameless = bed.cli(["import", "-"]).stdin(root("nameless")).run().expect_ok().trimmed();
    assert_eq!(bed.field(&nameless, "{{json .RepoTags}}|{{.Comment}}"), "[]|Imported from -");
}

fn import_of_garbage_is_refused(bed: &Bed) {
    for bytes in [vec![b'x'; 4096], Compression::Gzip.apply(&root("cut"))[..2000].to_vec()] {
        bed.cli(["import", "-", "bad:1"]).stdin(bytes).run().expect_code(1);
        bed.run(["inspect", "bad:1"]).expect_code(1);
    }
    bed.cli(["import", "-c", "RUN x", "-", "bad:1"])
        .stdin(root("x"))
        .run()
        .expect_code(1)
        .expect_stderr("is not a valid change command");
}

fn hostile_names_stay_inside_an_import(bed: &Bed) {
    let canary = bed.engine.directory().join("canary");
    std::fs::write(&canary, "alive").expect("write a file");
    let target = canary.to_str().expect("a text");
    let up = "../".repeat(12);
    for layer in [
        Layer::new().file(&format!("{up}{}", &target[1..]), 0o644, b"dead"),
        Layer::new().symlink("out", "/").file(&format!("out{target}"), 0o644, b"dead"),
        Layer::new().hard_link("out", target).file("out", 0o644, b"dead"),
    ] {
        // Refused, or contained: both are right.
        bed.cli(["import", "-", "hostile:1"]).stdin(layer.finish()).run();
        assert_eq!(std::fs::read(&canary).expect("read a file"), b"alive");
    }
}
