//! Building images: what only Corten does, or what dockerd does with BuildKit only.

use std::fs;
use std::time::Duration;

use testkit::engine::Builder;
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
    unused_results_are_told_and_removed,
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
