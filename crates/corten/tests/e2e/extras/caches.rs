//! Results of builds that go from one engine to another: `--cache-to` and `--cache-from`.

use std::fs;
use std::path::Path;

use testkit::engine::Builder;
use testkit::registry::{Registry, free_port};
use testkit::web::{Answer, Server};
use testkit::{Bed, Client, Kind};

use crate::CORTEN;
use crate::project::{Project, seen};

const UUID: &str = "cat /proc/sys/kernel/random/uuid >";

fn bed() -> Bed {
    Bed::start(CORTEN.as_ref(), Client::Corten)
}

/// Two stages, each with something that is never the same.
fn project() -> Project {
    Project::new(&format!(
        "FROM busybox AS first\nCOPY file /file\nRUN {UUID} /first\nFROM busybox\nENV A=1\nRUN {UUID} /second\n\
         COPY --from=first /first /file /\nWORKDIR /w\nRUN {UUID} /third\n"
    ))
    .file("file", "text")
}

/// How many steps were not done.
fn cached(text: &str) -> usize {
    text.lines().filter(|line| line.ends_with(" CACHED")).count()
}

/// Builds, which must succeed, and tells what is shown.
#[track_caller]
fn told(project: &Project, bed: &Bed, options: &[&str]) -> String {
    project.run(bed, &[&["--progress", "plain"], options].concat()).expect_ok().stderr
}

fn local(folder: &Path, key: &str) -> String {
    format!("type=local,{key}={}", folder.display())
}

#[test]
fn results_go_by_a_registry_from_engine_to_engine() {
    let (registry, one, other) = (Registry::start(), bed(), bed());
    let name = registry.reference("team/app:cache");
    let (target, source) =
        (format!("type=registry,ref={name},mode=max"), format!("type=registry,ref={name}"));
    let project = project();
    let text = told(&project, &one, &["-t", "made", "--cache-to", &target]);
    assert!(text.contains("exporting cache to registry"), "{text}");
    let text = told(&project, &other, &["-t", "made", "--cache-from", &source]);
    assert!(text.contains(&format!("importing cache manifest from {name}")), "{text}");
    assert_eq!(cached(&text), 6, "{text}");
    assert_eq!(one.field("made", "{{.Id}}"), other.field("made", "{{.Id}}"));
    assert_eq!(seen(&other, "made", "cat /file; pwd"), "text/w");
    // A file that is another one is copied, and what follows is done; what does not need it is not.
    project.write("file", "other");
    let text = told(&project, &other, &["-t", "changed", "--cache-from", &source]);
    assert_eq!(cached(&text), 1, "{text}");
    assert_eq!(seen(&other, "changed", "cat /second"), seen(&one, "made", "cat /second"));
    assert_ne!(seen(&other, "changed", "cat /third"), seen(&one, "made", "cat /third"));
    // What came is for builds that say so.
    told(&project, &other, &["-t", "alone"]);
    assert_ne!(seen(&other, "alone", "cat /second"), seen(&one, "made", "cat /second"));
}

#[test]
fn source_goes_before_what_is_here() {
    let (one, other, place) = (bed(), bed(), tempfile::tempdir().expect("a folder"));
    let (target, source) = (local(place.path(), "dest") + ",mode=max", local(place.path(), "src"));
    let project = project();
    told(&project, &one, &["-t", "made", "--cache-to", &target]);
    // The same file with another time makes another layer, of which nothing there was made.
    let file = fs::File::options().append(true).open(project.path().join("file")).expect("open a file");
    file.set_modified(std::time::UNIX_EPOCH).expect("set a time");
    told(&project, &other, &["-t", "alone"]);
    let text = told(&project, &other, &["-t", "made", "--cache-from", &source]);
    assert_eq!(cached(&text), 6, "{text}");
    assert_eq!(one.field("made", "{{.Id}}"), other.field("made", "{{.Id}}"));
    let plain = Project::new(&format!("FROM busybox\nCOPY file /\nRUN {UUID} /id\n")).file("file", "x");
    plain.build(&one, "plain", &[]);
    let archive = place.path().join("plain.tar");
    let archive = archive.to_str().expect("an ordinary name");
    one.ok(["save", "-o", archive, "plain"]);
    let file = fs::File::options().append(true).open(plain.path().join("file")).expect("open a file");
    file.set_modified(std::time::UNIX_EPOCH).expect("set a time");
    plain.build(&other, "alone", &[]);
    other.ok(["load", "-i", archive]);
    plain.build(&other, "again", &["--cache-from", "plain"]);
    assert_eq!(seen(&other, "again", "cat /id"), seen(&other, "plain", "cat /id"));
}

#[test]
fn results_go_by_a_folder_and_are_not_believed() {
    let (one, other, place) = (bed(), bed(), tempfile::tempdir().expect("a folder"));
    let folder = place.path().join("cache");
    let (target, source) = (local(&folder, "dest") + ",mode=max", local(&folder, "src"));
    let project = project();
    // Nothing is there yet.
    told(&project, &one, &["-t", "made", "--cache-from", &source, "--cache-to", &target]);
    assert!(folder.join("oci-layout").exists());
    let text = told(&project, &other, &["-t", "made", "--cache-from", &source]);
    assert_eq!(cached(&text), 6, "{text}");
    assert_eq!(one.field("made", "{{.Id}}"), other.field("made", "{{.Id}}"));
    // One that is damaged is made anew, with a warning.
    for entry in fs::read_dir(folder.join("blobs/sha256")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut content = fs::read(&path).expect("a blob");
        if content.starts_with(b"\x1f\x8b") {
            let middle = content.len() / 2;
            content[middle] ^= 0xff;
            fs::write(&path, content).expect("write a blob");
        }
    }
    let third = bed();
    let text = told(&project, &third, &["-t", "made", "--cache-from", &source]);
    assert_eq!(cached(&text), 0, "{text}");
    assert!(text.contains("WARNING: a result cannot be had from local:"), "{text}");
    assert_eq!(seen(&third, "made", "cat /file"), "text");
}

#[test]
fn least_export_has_what_the_image_has() {
    let (one, other, place) = (bed(), bed(), tempfile::tempdir().expect("a folder"));
    let (target, source) = (local(place.path(), "dest"), local(place.path(), "src"));
    let project = project();
    told(&project, &one, &["-t", "made", "--cache-to", &target]);
    let text = told(&project, &other, &["-t", "made", "--cache-from", &source]);
    // The first stage is made anew, so that what takes its files is, too.
    assert_eq!(cached(&text), 1, "{text}");
    assert_eq!(seen(&other, "made", "cat /second"), seen(&one, "made", "cat /second"));
}

#[test]
fn image_tells_what_its_layers_are_the_results_of() {
    let (registry, one, other) = (Registry::start(), bed(), bed());
    let name = registry.reference("app:1");
    let project =
        Project::new(&format!("FROM busybox\nCOPY file /\nRUN {UUID} /id\nCMD [\"a\"]\n")).file("file", "x");
    project.run(&one, &["-t", &name, "--cache-to", "type=inline", "--push"]).expect_ok();
    let id = one.field(&name, "{{.Id}}");
    let text = told(
        &project,
        &other,
        &["-t", "made", "--cache-from", &name, "--build-arg", "BUILDKIT_INLINE_CACHE=1"],
    );
    assert_eq!(cached(&text), 2, "{text}");
    assert_eq!(other.field("made", "{{.Id}}"), id);
}

#[test]
fn source_that_is_not_there_is_told_and_a_target_that_is_not_there_fails() {
    let bed = bed();
    let nowhere = format!("127.0.0.1:{}/app:cache", free_port());
    let project = Project::new(&format!("FROM busybox\nRUN {UUID} /id\n"));
    let text = told(&project, &bed, &["--cache-from", &nowhere]);
    assert!(text.contains("ERROR: failed to configure registry cache importer: "), "{text}");
    let target = format!("type=registry,ref={nowhere}");
    let text = project.fails(&bed, &["--cache-to", &target]);
    assert!(text.contains(&format!("failed to export cache to {nowhere}: ")), "{text}");
    told(&project, &bed, &["--cache-to", &format!("{target},ignore-error=true")]);
    for (option, value, expected) in [
        ("--cache-to", "type=gha", "--cache-to type=gha: is not supported"),
        ("--cache-from", "type=s3,bucket=b", "--cache-from type=s3: is not supported"),
        (
            "--cache-to",
            "type=registry,ref=a,compression=zstd",
            "--cache-to type=registry: compression=zstd is not supported",
        ),
        ("--cache-to", "type=inline,mode=max", "--cache-to type=inline: mode max is not supported"),
    ] {
        let text = project.fails(&bed, &[option, value]);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn image_that_dockerd_has_built_is_a_source_of_results() {
    let other = Bed::with(Builder::new(Kind::Reference, CORTEN.as_ref()), Client::Docker);
    let project = Project::new(&format!(
        "FROM busybox\nARG X=1\nENV A=b\nEXPOSE 80\nWORKDIR /work\nCOPY file dir /files/\nRUN {UUID} /one\nUSER 5\n\
         WORKDIR /work\nRUN true\nCMD [\"a\"]\nRUN {UUID} /tmp/two\n"
    ))
    .file("file", "text")
    .file("dir/below", "more");
    project.write(".dockerignore", "*.tar\n");
    project.build(&other, "seed", &[]);
    let archive = project.path().join("seed.tar");
    let archive = archive.to_str().expect("an ordinary name");
    other.ok(["save", "-o", archive, "seed"]);
    let bed = bed();
    bed.ok(["load", "-i", archive]);
    project.build(&bed, "made", &["--cache-from", "seed"]);
    let ids = |name: &str| seen(&bed, name, "cat /one /tmp/two");
    assert_eq!(ids("made"), ids("seed"));
    project.build(&bed, "other", &["--cache-from", "seed", "--build-arg", "X=2"]);
    assert_ne!(ids("other"), ids("seed"));
}

#[test]
fn commit_that_is_known_is_not_fetched_again() {
    let place = tempfile::tempdir().expect("a folder");
    let git = |words: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"])
            .args(words)
            .current_dir(place.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", place.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(status.expect("git is there").success(), "git {words:?}");
    };
    git(&["init", "-q", "work"]);
    let commit = |text: &str| {
        fs::write(place.path().join("work/file"), text).expect("write a file");
        git(&["-C", "work", "add", "file"]);
        git(&["-C", "work", "commit", "-qm", text]);
        git(&["-C", "work", "update-server-info"]);
    };
    commit("one");
    let root = place.path().join("work/.git");
    let server = Server::start(move |asked| {
        let path = asked.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/repo.git/").map(|path| fs::read(root.join(path))) {
            Some(Ok(content)) => Answer::ok(content),
            _ => Answer::new("404 Not Found", ""),
        }
    });
    let bed = bed();
    let project = Project::new(&format!("FROM busybox\nADD {}#main /src/\n", server.url("/repo.git")));
    let first = project.build(&bed, "made", &[]);
    assert_eq!(seen(&bed, "made", "cat /src/file"), "one");
    let before = server.asked().len();
    assert_eq!(project.build(&bed, "made", &[]), first);
    let asked = server.asked();
    let objects = |asked: &testkit::web::Asked| asked.target.contains("/objects/");
    assert!(asked[..before].iter().any(objects) && asked.len() > before);
    assert!(!asked[before..].iter().any(objects), "{:?}", &asked[before..]);
    commit("two");
    project.build(&bed, "made", &[]);
    assert_eq!(seen(&bed, "made", "cat /src/file"), "two");
}

#[test]
fn command_that_is_given_files_is_not_found_by_its_words() {
    let bed = bed();
    let dockerfile = |script: &str| {
        format!(
            "FROM busybox\nRUN --mount=type=bind,source=file,target=/file cat /file > /bound\n\
             RUN <<EOF\n#!/bin/sh\necho {script} > /written\nEOF\n"
        )
    };
    let project = Project::new(&dockerfile("one")).file("file", "one\n");
    project.build(&bed, "made", &[]);
    project.write("Dockerfile", &dockerfile("two"));
    project.write("file", "two\n");
    let text = told(&project, &bed, &["-t", "again", "--cache-from", "made"]);
    assert_eq!(seen(&bed, "again", "cat /bound /written"), "two\ntwo", "{text}");
}
