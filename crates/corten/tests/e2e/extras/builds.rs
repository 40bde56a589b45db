//! Building images: what only Corten does, or what dockerd does with BuildKit only.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testkit::engine::Builder;
use testkit::registry::Registry;
use testkit::web::{Answer, Server};
use testkit::{Bed, Client, Kind, eventually, with_each_client};

use crate::CORTEN;
use crate::project::{Project, seen};

with_each_client!(
    script_in_the_dockerfile_is_run,
    mounts_leave_nothing_in_the_image,
    cache_mount_outlives_the_build,
    independent_stages_run_at_the_same_time,
    build_that_is_interrupted_leaves_nothing,
    pruned_cache_is_done_again,
    same_work_of_two_builds_is_done_once,
    epoch_makes_builds_the_same,
    image_is_saved_and_loaded_elsewhere,
    commands_see_files_of_stages_and_of_the_context,
    privileges_are_not_for_a_dockerfile_to_take,
    files_and_contexts_come_from_addresses,
    file_that_did_not_change_does_not_come_again,
    quiet_build_that_fails_tells_why,
    unused_results_are_told_and_removed,
    cache_mounts_are_told_and_removed,
);

const UUID: &str = "cat /proc/sys/kernel/random/uuid >";

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(Duration::from_secs(30), || is_so().then_some(())).expect(what);
}

fn script_in_the_dockerfile_is_run(bed: &Bed) {
    let project = Project::new(
        "FROM busybox\nARG X=1\nRUN <<EOF\necho $X > /one\necho two > /two\nEOF\nCOPY <<A <<\"B\" /files/\nx=$X\n\
         A\nx=$X\nB\nRUN <<EOF\n#!/bin/busybox cat\nthe script\nEOF\n",
    );
    project.build(bed, "made", &[]);
    let script =
        "cat /one /two /files/A /files/B; stat -c %a /files/A; ls -d /dev/pipes 2>&1 | grep -c pipes:";
    assert_eq!(seen(bed, "made", script), "1\ntwo\nx=1\nx=$X\n644\n1");
}

fn mounts_leave_nothing_in_the_image(bed: &Bed) {
    let project = Project::new(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/scratch/deep --mount=type=cache,target=/cache touch \
         /scratch/deep/a /cache/b && ls /scratch/deep /cache > /listing\n",
    );
    project.build(bed, "made", &[]);
    assert_eq!(
        seen(bed, "made", "cat /listing; ls -d /scratch /cache 2>/dev/null; true"),
        "/cache:\nb\n\n/scratch/deep:\na"
    );
}

fn cache_mount_outlives_the_build(bed: &Bed) {
    let dockerfile = |number| {
        format!(
            "FROM busybox\nRUN --mount=type=cache,id=c,target=/c echo {number} >> /c/log && cp /c/log /log\n"
        )
    };
    let project = Project::new(&dockerfile(1));
    project.build(bed, "one", &[]);
    project.write("Dockerfile", &dockerfile(2));
    project.build(bed, "two", &[]);
    assert_eq!(seen(bed, "two", "cat /log"), "1\n2");
}

fn independent_stages_run_at_the_same_time(bed: &Bed) {
    // Each waits for what the other writes.
    let wait = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,id=meet,target=/m touch /m/{own}; for i in $(seq 600); do [ -e /m/{other} ] && \
             break; sleep 0.1; done; test -e /m/{other} && touch /{own}\n"
        )
    };
    let project = Project::new(&format!(
        "FROM busybox AS a\n{}FROM busybox AS b\n{}FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        wait("a", "b"),
        wait("b", "a")
    ));
    project.build(bed, "made", &[]);
    assert_eq!(seen(bed, "made", "ls -d /a /b"), "/a\n/b");
}

fn build_that_is_interrupted_leaves_nothing(bed: &Bed) {
    let project =
        Project::new("FROM busybox\nRUN --mount=type=cache,id=i,target=/c touch /c/runs; sleep 1000\n");
    let path = project.path().to_str().unwrap();
    let mut running = bed.cli(["build", "-t", "made", path]).env("DOCKER_BUILDKIT", "0").spawn();
    let supervisors = || fs::read_dir(bed.engine.exec_root().join("shim")).expect("a folder").count();
    until("the command runs", || supervisors() > 0);
    running.signal(rustix::process::Signal::INT);
    until("the client ends", || running.has_ended());
    until("the command is gone", || supervisors() == 0);
    drop(running);
    bed.run(["inspect", "made"]).expect_code(1);
}

#[test]
fn results_survive_a_kill() {
    let builder = Builder::new(Kind::from_environment(), CORTEN.as_ref()).survivable();
    let mut bed = Bed::with(builder, Client::Corten);
    let bed = &mut bed;
    let project = Project::new(&format!("FROM busybox\nRUN {UUID} /id\nCOPY file /\n")).file("file", "x");
    let id = project.build(bed, "made", &[]);
    bed.engine.kill();
    bed.engine.launch();
    assert_eq!(project.build(bed, "made", &[]), id);
    bed.ok(["rmi", "made"]);
    bed.engine.kill();
    bed.engine.launch();
    // The cache keeps what the image had.
    assert_eq!(project.build(bed, "made", &[]), id);
}

fn pruned_cache_is_done_again(bed: &Bed) {
    let project = Project::new(&format!("FROM busybox\nRUN {UUID} /id\n"));
    project.build(bed, "one", &[]);
    bed.ok(["rmi", "one"]);
    let gone = bed.ok(["builder", "prune", "-af"]);
    assert!(gone.contains("Total"), "{gone}");
    let first = project.build(bed, "two", &[]);
    bed.ok(["builder", "prune", "-f"]);
    // What an image has costs nothing, and stays.
    assert_eq!(project.build(bed, "three", &[]), first);
}

fn same_work_of_two_builds_is_done_once(bed: &Bed) {
    let project = Project::new(&format!(
        "FROM busybox\nRUN --mount=type=cache,id=once,target=/c {UUID} /id; echo run >> /c/runs; sleep 1; cp /c/runs /runs\n"
    ));
    let path = project.path().to_str().unwrap();
    let start = |name: &str| bed.cli(["build", "-t", name, path]).env("DOCKER_BUILDKIT", "0").spawn();
    let builds = [start("one"), start("two")];
    for build in builds {
        build.finish().expect_ok();
    }
    assert_eq!(bed.field("one", "{{.Id}}"), bed.field("two", "{{.Id}}"));
    assert_eq!(seen(bed, "one", "cat /runs"), "run");
}

fn epoch_makes_builds_the_same(bed: &Bed) {
    let project = Project::new("FROM busybox\nCOPY file /d/\nRUN echo x > /y && mkdir /z\nWORKDIR /w\n")
        .file("file", "x");
    let options = ["--build-arg", "SOURCE_DATE_EPOCH=1500000000", "--no-cache"];
    let first = project.build(bed, "one", &options);
    std::thread::sleep(Duration::from_millis(1100));
    project.write("file", "x");
    assert_eq!(project.build(bed, "two", &options), first);
    assert_eq!(bed.field("one", "{{.Created}}"), "2017-07-14T02:40:00Z");
    assert_eq!(seen(bed, "one", "stat -c %Y /d/file /y /z /w"), ["1500000000"; 4].join("\n"));
}

fn image_is_saved_and_loaded_elsewhere(bed: &Bed) {
    let project =
        Project::new("FROM busybox\nRUN rm /bin/false; echo x > /x\nCOPY file /\n").file("file", "y");
    let id = project.build(bed, "made", &[]);
    let archive = project.path().join("made.tar");
    bed.ok(["save", "-o", archive.to_str().unwrap(), "made"]);
    bed.ok(["rmi", "made"]);
    bed.ok(["builder", "prune", "-af"]);
    bed.ok(["load", "-i", archive.to_str().unwrap()]);
    assert_eq!(bed.field("made", "{{.Id}}"), id);
    assert_eq!(seen(bed, "made", "cat /x /file; ls /bin/false 2>&1 | grep -c 'No such'"), "x\ny1");
}

fn commands_see_files_of_stages_and_of_the_context(bed: &Bed) {
    let project = Project::new(
        "FROM busybox AS tools\nRUN mkdir /d && echo tool > /d/tool && chmod 700 /d/tool\nFROM busybox\nRUN \
         --mount=type=bind,from=tools,source=/d,target=/t cat /t/tool > /of-stage; touch /t/x 2>> /refused; \
         true\nRUN --mount=type=bind,source=src,target=/s ls /s > /of-context; cp /s/a /copied\nRUN \
         --mount=type=bind,source=src/a,target=/one,rw echo written > /one; cat /one > /written\nRUN \
         --mount=type=bind,target=/all ls -A /all > /all-files\n",
    )
    .file("src/a", "a\n")
    .file("src/hidden", "h")
    .file(".dockerignore", "**/hidden\nDockerfile\n");
    project.build(bed, "made", &[]);
    let script = "cat /of-stage; grep -c Read-only /refused; cat /of-context /copied /written /all-files; ls -d /t \
                  /s /one /all 2>/dev/null | wc -l";
    let expected = "tool\n1\na\na\nwritten\n.dockerignore\nsrc\n0";
    assert_eq!(seen(bed, "made", script), expected);
    assert_eq!(fs::read_to_string(project.path().join("src/a")).expect("it is there"), "a\n");
    // Only files that are not hidden decide.
    let id = bed.field("made", "{{.Id}}");
    project.write("src/hidden", "other");
    assert_eq!(project.build(bed, "made", &[]), id);
}

fn privileges_are_not_for_a_dockerfile_to_take(bed: &Bed) {
    let insecure = Project::new("FROM busybox\nRUN --security=insecure true\n");
    assert!(insecure.fails(bed, &[]).contains("security.insecure is not allowed"));
    let project = Project::new("FROM busybox\nRUN --network=host ls /sys/class/net > /net\n");
    assert!(project.fails(bed, &[]).contains("network.host is not allowed"));
    project.build(bed, "made", &["--network", "host"]);
    assert_ne!(seen(bed, "made", "cat /net"), "");
}

fn files_and_contexts_come_from_addresses(bed: &Bed) {
    let tar = |dockerfile: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in [("Dockerfile", dockerfile), ("file", "of the context\n")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).expect("append");
        }
        builder.into_inner().expect("finish")
    };
    let archive = tar("FROM busybox\nCOPY file /\n");
    let server = Server::start(move |asked| match asked.target.as_str() {
        "/file.txt" => Answer::ok("from afar\n"),
        "/context.tar" => Answer::ok(archive.clone()).with_header("Content-Type", "application/x-tar"),
        "/Dockerfile" => {
            Answer::ok("FROM busybox\nLABEL by=address\n").with_header("Content-Type", "text/plain")
        }
        _ => Answer::new("404 Not Found", ""),
    });
    let project = Project::new(&format!("FROM busybox\nADD {} /added/\n", server.url("/file.txt")));
    project.build(bed, "added", &[]);
    assert_eq!(seen(bed, "added", "cat /added/file.txt; stat -c %a /added/file.txt"), "from afar\n600");
    let missing = Project::new(&format!("FROM busybox\nADD {} /\n", server.url("/missing")));
    assert!(missing.fails(bed, &[]).contains("404"));
    let build = |name: &str, path: &str| {
        bed.cli(["build", "-t", name, &server.url(path)]).env("DOCKER_BUILDKIT", "0").run().expect_ok();
    };
    build("of-tar", "/context.tar");
    assert_eq!(seen(bed, "of-tar", "cat /file"), "of the context");
    build("of-file", "/Dockerfile");
    assert_eq!(bed.field("of-file", "{{.Config.Labels.by}}"), "address");
}

fn file_that_did_not_change_does_not_come_again(bed: &Bed) {
    let content = Arc::new(Mutex::new("one"));
    let server = Server::start({
        let content = Arc::clone(&content);
        move |asked| {
            let content = *content.lock().unwrap();
            let etag = format!("\"{content}\"");
            match asked.header("if-none-match") {
                Some(known) if known == etag => Answer::new("304 Not Modified", "").with_header("ETag", etag),
                _ => Answer::ok(content).with_header("ETag", etag),
            }
        }
    });
    let bytes = || server.asked().iter().filter(|asked| asked.header("if-none-match").is_none()).count();
    let project = Project::new(&format!("FROM busybox\nADD {} /\n", server.url("/file")));
    let first = project.build(bed, "made", &[]);
    assert_eq!(project.build(bed, "again", &[]), first);
    assert_eq!((server.asked().len(), bytes()), (2, 1));
    *content.lock().unwrap() = "two";
    project.build(bed, "made", &[]);
    assert_eq!(seen(bed, "made", "cat /file"), "two");
    // What was brought is as good as any other result, and goes as they go.
    bed.ok(["rmi", "made", "again"]);
    bed.ok(["builder", "prune", "-af"]);
    project.build(bed, "made", &[]);
    assert_eq!(bytes(), 2);
    project.build(bed, "made", &["--no-cache"]);
    assert_eq!(bytes(), 3);
}

fn quiet_build_that_fails_tells_why(bed: &Bed) {
    let project = Project::new("FROM busybox\nRUN echo before && exit 3\n");
    let text = project.fails(bed, &["-q"]);
    if bed.client() == Client::Docker {
        assert!(
            text.contains("The command '/bin/sh -c echo before && exit 3' returned a non-zero code: 3"),
            "{text}"
        );
    } else {
        assert!(text.contains("did not complete successfully: exit code: 3"), "{text}");
    }
    assert!(text.lines().any(|line| line.ends_with("before")), "what it wrote: {text}");
}

fn unused_results_are_told_and_removed(bed: &Bed) {
    let project = Project::new("FROM busybox\nRUN dd if=/dev/zero of=/large bs=1M count=3\n");
    project.build(bed, "made", &[]);
    let cached = || {
        bed.ok([
            "system",
            "df",
            "--format",
            "{{if eq .Type \"Build Cache\"}}{{.TotalCount}} {{.Size}}{{end}}",
        ])
    };
    assert_eq!(cached().trim(), "1 0B");
    bed.ok(["rmi", "made"]);
    assert_eq!(cached().trim(), "1 3.146MB");
    bed.ok(["builder", "prune", "-af"]);
    assert_eq!(cached().trim(), "0 0B");
}

fn cache_mounts_are_told_and_removed(bed: &Bed) {
    let dockerfile =
        |script: &str| format!("FROM busybox\nRUN --mount=type=cache,id=told,target=/c {script}\n");
    let project = Project::new(&dockerfile("head -c 3000000 /dev/zero > /c/large"));
    project.build(bed, "made", &[]);
    let told = || {
        let usage = bed.engine.http().get("/system/df?type=build-cache").expect(200).json();
        let records = usage["BuildCache"].as_array().expect("a list").clone();
        records.into_iter().find(|record| record["Type"] == "exec.cachemount")
    };
    let record = told().expect("it is told");
    assert_eq!(
        (&record["Size"], &record["InUse"], &record["UsageCount"]),
        (&3_000_000.into(), &false.into(), &1.into())
    );
    let description = record["Description"].as_str().expect("a text");
    assert!(description.starts_with("cached mount /c from exec /bin/sh -c head"), "{description}");
    assert!(description.ends_with("with id \"told\""), "{description}");

    project.write("Dockerfile", &dockerfile("touch /c/begun; while [ ! -e /c/end ]; do sleep 0.1; done"));
    let path = project.path().to_str().unwrap();
    let running = bed.cli(["build", path]).env("DOCKER_BUILDKIT", "0").spawn();
    let data =
        bed.engine.data_root().join("build/caches").join(record["ID"].as_str().expect("an ID")).join("data");
    until("the command runs", || data.join("begun").exists());
    assert_eq!(told().expect("it is told")["InUse"], true);
    bed.ok(["builder", "prune", "-af"]);
    assert!(data.join("large").exists(), "a cache is gone that a command has");
    fs::write(data.join("end"), "").expect("write a file");
    running.finish().expect_ok();

    bed.ok(["builder", "prune", "-f", "--filter", "type=regular"]);
    bed.ok(["builder", "prune", "-f", "--filter", "type=exec.cachemount", "--filter", "until=24h"]);
    assert!(told().is_some());
    let gone = bed.ok(["builder", "prune", "-f", "--filter", "type=exec.cachemount"]);
    assert!(gone.contains("3MB"), "{gone}");
    assert_eq!(told(), None);
    project.write("Dockerfile", &dockerfile("ls /c | wc -l > /count"));
    project.build(bed, "made", &[]);
    assert_eq!(seen(bed, "made", "cat /count"), "0");
}

/// The docker client of the tests has no builder that knows secrets.
#[test]
fn secret_is_only_where_the_command_is() {
    let builder = Builder::new(Kind::from_environment(), CORTEN.as_ref());
    let bed = Bed::with(builder, Client::Corten);
    let secret = "c0rten-s3cret-of-this-test";
    let project = Project::new(
        "FROM busybox\nRUN --mount=type=secret,id=s,mode=0440,gid=7 stat -c '%a %u:%g' /run/secrets/s > /stat; wc -c < \
         /run/secrets/s > /length\nRUN --mount=type=secret,id=s,env=S test -n \"$S\" && echo there > /variable\nRUN \
         --mount=type=secret,id=other,required=false ls /run/secrets > /listing 2>&1; true\n",
    );
    let path = project.path().join("secret");
    project.write("secret", secret);
    project.write(".dockerignore", "secret\n");
    let option = format!("id=s,src={}", path.display());
    project.build(&bed, "made", &["--secret", &option]);
    let script = "cat /stat /length /variable; ls -A /run 2>/dev/null | grep -c secrets; true";
    assert_eq!(seen(&bed, "made", script), format!("440 0:7\n{}\nthere\n0", secret.len()));
    fs::remove_file(path).expect("remove the secret");
    let found = testkit::Command::new("grep").args(["-rla", secret]).arg(bed.engine.directory()).run();
    assert_eq!(found.trimmed(), "", "the secret is in files of the engine");
    let required = Project::new("FROM busybox\nRUN --mount=type=secret,id=missing,required true\n");
    assert!(required.fails(&bed, &[]).contains("missing"));
}

#[test]
fn named_context_is_a_root_file_system() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let base = Project::new("").file("etc/name", "files\n").file("bin/tool", "x").mode("bin/tool", 0o755);
    let from = format!("base={}", base.path().display());
    let project = Project::new(
        "FROM base AS files\nCOPY more /etc/\nFROM busybox\nCOPY --from=files / /all/\nRUN --mount=from=files,target=/m \
         cat /m/etc/name > /seen\n",
    )
    .file("more", "more\n");
    project.build(&bed, "made", &["--build-context", &from]);
    let script = "cat /seen /all/etc/name /all/etc/more; stat -c %a:%u /all/bin/tool";
    assert_eq!(seen(&bed, "made", script), "files\nfiles\nmore\n755:0");
    let first = project.build(&bed, "base", &["--build-context", &from, "--target", "files"]);
    assert_eq!(bed.field("base", "{{len .RootFS.Layers}}"), "2");
    assert_eq!(
        bed.ok(["history", "--format", "{{.CreatedBy}}", "--no-trunc", "base"]).lines().last(),
        Some("FROM base")
    );
    assert_eq!(project.build(&bed, "base", &["--build-context", &from, "--target", "files"]), first);
    base.write("etc/name", "other\n");
    project.build(&bed, "made", &["--build-context", &from]);
    assert_eq!(seen(&bed, "made", "cat /seen"), "other");
    let project = Project::new("FROM base\nCOPY more /\n").file("more", "more\n");
    project.build(&bed, "image", &["--build-context", "base=docker-image://busybox"]);
    assert_eq!(seen(&bed, "image", "cat /more"), "more");
}

#[test]
fn manifest_has_annotations_and_is_told() {
    let (bed, registry) = (Bed::start(CORTEN.as_ref(), Client::Corten), Registry::start());
    let name = registry.reference("app:1");
    let project = Project::new("FROM busybox\nRUN echo x > /x\n");
    let metadata = project.path().join("metadata.json");
    project.write(".dockerignore", "*.json\n*.tar\n");
    let path = metadata.to_str().expect("an ordinary name");
    let annotations = ["--annotation", "a=1", "--annotation", "manifest[linux/amd64]:b=2"];
    let told = || {
        let content = fs::read(&metadata).expect("metadata");
        serde_json::from_slice::<serde_json::Value>(&content).expect("JSON")
    };
    project
        .run(&bed, &[&["-t", &name, "--push", "--metadata-file", path], &annotations[..]].concat())
        .expect_ok();
    let pushed = told();
    let digest = pushed["containerimage.digest"].as_str().expect("a digest").to_owned();
    assert_eq!(pushed["containerimage.descriptor"]["digest"], digest.as_str());
    let blob = |digest: &str| {
        let hex = digest.trim_start_matches("sha256:");
        registry.storage().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    };
    let manifest = fs::read(blob(&digest)).expect("the registry has the manifest");
    assert_eq!(pushed["containerimage.descriptor"]["size"], manifest.len());
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["annotations"], serde_json::json!({"a": "1", "b": "2"}));
    // In an archive layers are plain, so that its manifest is another one.
    let archive = project.path().join("out.tar");
    let output = format!("type=oci,dest={}", archive.display());
    project.run(&bed, &[&["-o", &output, "--metadata-file", path], &annotations[..]].concat()).expect_ok();
    let digest = told()["containerimage.digest"].as_str().expect("a digest").to_owned();
    let file = fs::File::open(&archive).expect("an archive");
    let wanted = format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
    let mut archive = tar::Archive::new(file);
    let found =
        archive.entries().expect("entries").map(|entry| entry.expect("an entry")).find_map(|mut entry| {
            let is_it = entry.path().expect("a path").to_str() == Some(&wanted);
            is_it.then(|| serde_json::from_reader::<_, serde_json::Value>(&mut entry).expect("JSON"))
        });
    assert_eq!(found.expect("the archive has the manifest")["annotations"]["a"], "1");
    let text = project.fails(&bed, &["--annotation", "index:a=1"]);
    assert!(
        text.contains("--annotation index: is not supported: images are built without an index"),
        "{text}"
    );
}

#[test]
fn image_in_a_layout_is_a_named_context() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let project = Project::new("FROM base\nCOPY more /\nFROM busybox\nCOPY --from=base /made /copied\n")
        .file("more", "more\n");
    project.write(".dockerignore", "layout\n*.tar\n");
    let archive = project.path().join("out.tar");
    let output = format!("type=oci,dest={}", archive.display());
    let base = Project::new("FROM busybox\nENV A=of-layout\nRUN echo layout > /made\n");
    base.run(&bed, &["-t", "made:1", "-o", &output]).expect_ok();
    let layout = project.path().join("layout");
    tar::Archive::new(fs::File::open(&archive).expect("an archive")).unpack(&layout).expect("unpack");
    let index = fs::read(layout.join("index.json")).expect("an index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    bed.ok(["rmi", "made:1"]);
    bed.ok(["builder", "prune", "-af"]);
    let images = || bed.ok(["images", "-aq"]).lines().count();
    let before = images();
    let from = format!("base=oci-layout://{}@{digest}", layout.display());
    project.build(&bed, "copied", &["--build-context", &from]);
    assert_eq!(seen(&bed, "copied", "cat /copied"), "layout");
    assert_eq!(images(), before + 1);
    let wrong = format!("{from}-");
    let refused = project.fails(&bed, &["--build-context", &wrong]);
    assert!(refused.contains(&format!("digest {digest}-: invalid checksum digest format")), "{refused}");
    let missing = format!("base=oci-layout://{}@sha256:{:064}", layout.display(), 0);
    assert!(project.fails(&bed, &["--build-context", &missing]).contains("read the OCI layout"));
    let first = Project::new("FROM base\nCOPY more /\n").file("more", "more\n");
    first.build(&bed, "based", &["--build-context", &from]);
    assert_eq!(seen(&bed, "based", "cat /made /more; echo $A"), "layout\nmore\nof-layout");
}
