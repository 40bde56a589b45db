//! What containers change in their files, and all of their files: `diff` and `export`.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::json;
use testkit::archive::Layer;
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;
use crate::run::wait_for_log;

with_each_client!(
    diff_tells_what_was_added_changed_and_deleted,
    diff_of_a_container_that_runs_is_told_too,
    container_that_never_ran_differs_in_nothing,
    export_has_all_files_and_nothing_that_is_mounted,
    export_keeps_owners_modes_links_and_devices,
    running_container_is_exported,
    export_goes_to_standard_output_but_no_terminal,
    export_of_what_is_not_there_fails,
    export_is_an_event,
);

fn sample(bed: &Bed) {
    let layer = Layer::new()
        .directory("d/", 0o711)
        .file("d/changed", 0o640, b"old")
        .file("d/deleted", 0o640, b"old")
        .file("kept", 0o4755, b"kept");
    let image = on_busybox(json!({"Cmd": ["busybox", "true"]}), vec![layer.finish()]);
    bed.engine.load_archive(&image.docker_archive("sample:1"));
}

const CHANGE: &str = "echo new > /d/changed; busybox rm /d/deleted; busybox mkdir /new; echo > /new/file";

fn diff_tells_what_was_added_changed_and_deleted(bed: &Bed) {
    sample(bed);
    bed.ok(["run", "--name", "box", "sample:1", "sh", "-c", CHANGE]);
    let changes = bed.ok(["diff", "box"]);
    let mut changes: Vec<&str> = changes.lines().collect();
    changes.sort_unstable();
    assert_eq!(changes, ["A /new", "A /new/file", "C /d", "C /d/changed", "D /d/deleted"]);
    let seen = bed.engine.http().get("/v1.40/containers/box/changes").expect(200).json();
    assert!(seen.as_array().expect("a list").contains(&json!({"Path": "/d/deleted", "Kind": 2})), "{seen}");
    bed.run(["diff", "no-such"]).expect_code(1).expect_stderr("No such container: no-such");
}

fn diff_of_a_container_that_runs_is_told_too(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    assert_eq!(bed.ok(["diff", "box"]), "");
    bed.ok(["exec", "box", "sh", "-c", "mkdir /new && echo text > /new/file"]);
    assert_eq!(bed.ok(["container", "diff", "box"]), "A /new\nA /new/file");
    bed.ok(["exec", "box", "rm", "-r", "/new"]);
    assert_eq!(bed.ok(["diff", "box"]), "");
}

fn container_that_never_ran_differs_in_nothing(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    assert_eq!(bed.ok(["diff", "box"]), "");
}

/// Entries by path, with their content.
fn entries(archive: &[u8]) -> BTreeMap<String, (tar::Header, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        found.insert(path, (entry.header().clone(), content));
    }
    found
}

fn export_has_all_files_and_nothing_that_is_mounted(bed: &Bed) {
    sample(bed);
    bed.ok([
        "run",
        "--name",
        "box",
        "-v",
        "/data",
        "sample:1",
        "sh",
        "-c",
        &format!("{CHANGE}; echo > /data/x"),
    ]);
    let file = bed.engine.directory().join("box.tar");
    assert_eq!(bed.cli(["export", "-o"]).arg(&file).arg("box").run().expect_ok().text(), "");
    let entries = entries(&std::fs::read(&file).expect("an archive"));
    let content =
        |path: &str| entries.get(path).map(|(_, content)| String::from_utf8_lossy(content).into_owned());
    assert_eq!(content("d/changed").as_deref(), Some("new\n"));
    assert_eq!(content("kept").as_deref(), Some("kept"));
    assert_eq!(content("d/deleted"), None);
    assert_eq!(content("new/file").as_deref(), Some("\n"));
    assert!(entries.contains_key("data/") && entries.contains_key("proc/"), "{:?}", entries.keys());
    let mounted = ["data/x", "proc/self", "sys/kernel/", "dev/null"];
    assert!(mounted.iter().all(|path| !entries.contains_key(*path)), "{:?}", entries.keys());
    assert!(!entries.keys().any(|path| path.contains(".wh.")), "{:?}", entries.keys());
}

fn export_keeps_owners_modes_links_and_devices(bed: &Bed) {
    let script = "mkdir /f && echo text > /f/a && chown 1234:4294967294 /f/a && chmod 4751 /f/a && ln /f/a /f/b \
                  && ln -s a /f/c && mknod /f/d c 1 3 && mkfifo /f/e && touch -d '2001-02-03 04:05:06' /f/a";
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", script]);
    let entries = entries(&bed.run(["export", "box"]).expect_ok().stdout);
    let (a, content) = &entries["f/a"];
    assert_eq!(content, b"text\n");
    assert_eq!((a.mode().expect("a mode") & 0o7777, a.uid().expect("a uid")), (0o4751, 1234));
    assert_eq!(a.mtime().expect("a time"), 981_173_106);
    let kind = |path: &str| entries[path].0.entry_type();
    assert_eq!(kind("f/b"), tar::EntryType::Link);
    assert_eq!(entries["f/b"].0.link_name_bytes().expect("a target").as_ref(), b"f/a");
    assert_eq!(kind("f/c"), tar::EntryType::Symlink);
    assert_eq!(kind("f/d"), tar::EntryType::Char);
    let device = &entries["f/d"].0;
    let numbers = (device.device_major().expect("a number"), device.device_minor().expect("a number"));
    assert_eq!(numbers, (Some(1), Some(3)));
    assert_eq!(kind("f/e"), tar::EntryType::Fifo);
}

/// A container that runs on after it has written a file.
pub(crate) fn start_writer(bed: &Bed) {
    let script = "echo text > /file; echo written; sleep 1000";
    bed.ok(["run", "-d", "--name", "box", "busybox", "sh", "-c", script]);
    wait_for_log(bed, "box", "written");
}

fn running_container_is_exported(bed: &Bed) {
    start_writer(bed);
    let entries = entries(&bed.run(["container", "export", "box"]).expect_ok().stdout);
    assert_eq!(entries["file"].1, b"text\n");
    assert_eq!(bed.field("box", "{{.State.Running}}"), "true");
}

fn export_goes_to_standard_output_but_no_terminal(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    let mut session = bed.cli(["export", "box"]).pty();
    session.expect("cowardly refusing to save to a terminal");
    assert_eq!(session.finish().0, 1);
    let output = bed.run(["export", "-o", "/no/such/folder/x.tar", "box"]).expect_code(1);
    output
        .expect_stderr("failed to export container: invalid output path: stat /no/such/folder: no such file");
}

fn export_of_what_is_not_there_fails(bed: &Bed) {
    let file = bed.engine.directory().join("none.tar");
    let output = bed.cli(["export", "-o"]).arg(&file).arg("no-such").run().expect_code(1);
    output.expect_stderr("No such container: no-such");
    assert!(!file.exists());
    bed.run(["export"]).expect_code(1).expect_stderr("requires 1 argument");
}

fn export_is_an_event(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox", "true"]);
    bed.run(["export", "box"]).expect_ok();
    let since = ["events", "--since", "1h", "--until", "0s", "-f", "event=export", "--format"];
    let seen = || bed.ok(since.into_iter().chain(["{{.Type}} {{.Actor.Attributes.name}}"]));
    let waited =
        testkit::eventually(std::time::Duration::from_secs(10), || (seen() == "container box").then_some(()));
    assert!(waited.is_some(), "{}", seen());
}
