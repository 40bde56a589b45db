//! Building images, as every builder does it.

use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::project::{Project, seen};

with_each_client!(
    image_has_what_the_dockerfile_says,
    steps_that_did_not_change_are_taken_from_the_cache,
    changed_file_is_copied_and_what_follows_is_done_again,
    no_cache_does_everything_again,
    stages_copy_from_each_other_and_from_images,
    target_and_arguments_choose_what_is_built,
    ignored_files_are_no_part_of_the_context,
    files_keep_modes_and_links,
    archive_is_unpacked_by_add,
    failed_command_is_told_with_its_code,
    what_cannot_be_built_is_told,
    dockerfile_comes_from_elsewhere,
    child_does_what_its_base_says,
    limits_and_hosts_are_for_commands,
    image_gets_all_names_and_its_id_is_written,
    image_is_a_source_of_results,
);

fn image_has_what_the_dockerfile_says(bed: &Bed) {
    let project = Project::new(
        "FROM busybox\nENV GREETING=hello WHOM=you\nLABEL a=b\nWORKDIR /work\nCOPY file ./\nRUN cat file > \
         copy && echo $GREETING $WHOM >> copy\nUSER 5:6\nEXPOSE 80\nVOLUME /data\nSTOPSIGNAL SIGINT\nCMD \
         [\"cat\", \"copy\"]\n",
    )
    .file("file", "text\n");
    project.build(bed, "made", &["--label", "c=d"]);
    assert_eq!(bed.ok(["run", "--rm", "made"]), "text\nhello you");
    let field = |template| bed.field("made", template);
    assert_eq!(field("{{json .Config.Cmd}}"), r#"["cat","copy"]"#);
    assert_eq!(field("{{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopSignal}}"), "/work 5:6 SIGINT");
    assert_eq!(field("{{json .Config.Labels}}"), r#"{"a":"b","c":"d"}"#);
    assert_eq!(
        field("{{json .Config.ExposedPorts}} {{json .Config.Volumes}}"),
        r#"{"80/tcp":{}} {"/data":{}}"#
    );
    let env = field("{{json .Config.Env}}");
    assert!(env.contains("GREETING=hello") && env.contains("WHOM=you") && env.contains("PATH="), "{env}");
}

fn steps_that_did_not_change_are_taken_from_the_cache(bed: &Bed) {
    let project =
        Project::new("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\nCOPY file /\nCMD [\"a\"]\n")
            .file("file", "1");
    let first = project.build(bed, "first", &[]);
    assert_eq!(project.build(bed, "second", &[]), first);
    // Only what follows is another one.
    project.write(
        "Dockerfile",
        &std::fs::read_to_string(project.path().join("Dockerfile")).unwrap().replace("[\"a\"]", "[\"b\"]"),
    );
    assert_ne!(project.build(bed, "third", &[]), first);
    assert_eq!(seen(bed, "first", "cat /id"), seen(bed, "third", "cat /id"));
}

fn changed_file_is_copied_and_what_follows_is_done_again(bed: &Bed) {
    let uuid = "cat /proc/sys/kernel/random/uuid >";
    let project = Project::new(&format!(
        "FROM busybox\nRUN {uuid} /before\nCOPY src /src/\nRUN {uuid} /after\nRUN cat /src/* > /all\n"
    ))
    .file("src/a", "a")
    .file("src/b", "b")
    .file("other", "1");
    project.build(bed, "first", &[]);
    project.write("other", "2");
    assert_eq!(project.build(bed, "second", &[]), bed.field("first", "{{.Id}}"));
    project.write("src/a", "c");
    project.build(bed, "second", &[]);
    let (first, second) =
        (seen(bed, "first", "cat /before /after /all"), seen(bed, "second", "cat /before /after /all"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (lines(&first), lines(&second));
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    assert_eq!((first[2].as_str(), second[2].as_str()), ("ab", "cb"));
}

fn no_cache_does_everything_again(bed: &Bed) {
    let project = Project::new("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n");
    project.build(bed, "first", &[]);
    project.build(bed, "second", &["--no-cache"]);
    let (first, second) = (seen(bed, "first", "cat /id"), seen(bed, "second", "cat /id"));
    assert_ne!(first, second);
    // What was made last is what is taken next.
    project.build(bed, "third", &[]);
    let third = seen(bed, "third", "cat /id");
    assert!(third == first || third == second);
}

fn stages_copy_from_each_other_and_from_images(bed: &Bed) {
    Project::new("FROM busybox\nRUN echo other > /of-image\n").build(bed, "other:1", &[]);
    let project = Project::new(
        "FROM busybox AS one\nRUN mkdir /d && echo one > /d/file && ln -s file /d/link\nFROM busybox AS two\n\
         RUN echo two > /two\nFROM busybox\nCOPY --from=one /d /d/\nCOPY --from=1 /two /\nCOPY --from=other:1 \
         /of-image /\nCOPY --from=one --chown=7:8 /d/file /owned\n",
    );
    project.build(bed, "made", &[]);
    let script = "cat /d/file /d/link /two /of-image; readlink /d/link; stat -c %u:%g /owned /d/file";
    assert_eq!(seen(bed, "made", script), "one\none\ntwo\nother\nfile\n7:8\n0:0");
}

fn target_and_arguments_choose_what_is_built(bed: &Bed) {
    let project = Project::new(
        "ARG BASE=busybox\nFROM $BASE AS first\nARG WHO=nobody\nENV WHO=$WHO\nCMD [\"first\"]\nFROM first AS \
         second\nRUN echo $WHO > /who\nCMD [\"second\"]\nFROM first AS third\nRUN false\n",
    );
    project.build(bed, "one", &["--target", "first"]);
    assert_eq!(bed.field("one", "{{json .Config.Cmd}}"), r#"["first"]"#);
    project.build(bed, "two", &["--target", "second", "--build-arg", "WHO=me"]);
    assert_eq!(seen(bed, "two", "cat /who; echo $WHO"), "me\nme");
    assert!(project.fails(bed, &["--target", "fourth"]).contains("fourth"));
}

fn ignored_files_are_no_part_of_the_context(bed: &Bed) {
    let project = Project::new("FROM busybox\nCOPY . /all/\n")
        .file(".dockerignore", "# a comment\n*.log\n!keep.log\nsecret\n**/deep\nDockerfile\n")
        .file("a.log", "")
        .file("keep.log", "")
        .file("secret/key", "")
        .file("x/y/deep/z", "")
        .file("x/y/other", "");
    project.build(bed, "made", &[]);
    let found = seen(bed, "made", "cd /all && find . -type f | sort");
    assert_eq!(found, "./.dockerignore\n./keep.log\n./x/y/other");
    project.write("Dockerfile", "FROM busybox\nCOPY secret/key /\n");
    assert!(project.fails(bed, &[]).contains("secret/key"));
}

fn files_keep_modes_and_links(bed: &Bed) {
    let project = Project::new("FROM busybox\nCOPY tree /tree\nCOPY tree/program tree/other /bin2/\n")
        .file("tree/program", "x")
        .file("tree/other", "y")
        .file("tree/private/file", "z")
        .mode("tree/program", 0o4755)
        .mode("tree/private", 0o700)
        .link("tree/link", "program")
        .link("tree/dangling", "/nowhere");
    project.build(bed, "made", &[]);
    let script = "cd /tree; stat -c '%a %u:%g %n' program other private private/file; readlink link; readlink dangling; \
                  stat -c %a /bin2/program";
    let expected =
        "4755 0:0 program\n644 0:0 other\n700 0:0 private\n644 0:0 private/file\nprogram\n/nowhere\n4755";
    assert_eq!(seen(bed, "made", script), expected);
}

fn archive_is_unpacked_by_add(bed: &Bed) {
    let project = Project::new(
        "FROM busybox\nADD files.tar.gz /unpacked/\nCOPY files.tar.gz /copied/\nADD plain /x/\n",
    )
    .file("plain", "p");
    let archive = std::process::Command::new("tar")
        .args(["--owner=3", "--group=4", "-czf", "files.tar.gz", "plain"])
        .current_dir(project.path())
        .status();
    assert!(archive.expect("tar runs").success());
    project.build(bed, "made", &[]);
    let script = "cat /unpacked/plain /x/plain; echo; stat -c %u:%g /unpacked/plain; ls /copied";
    assert_eq!(seen(bed, "made", script), "pp\n3:4\nfiles.tar.gz");
}

fn failed_command_is_told_with_its_code(bed: &Bed) {
    let project = Project::new("FROM busybox\nRUN echo before; exit 7\nRUN touch /never\n");
    let text = project.fails(bed, &["-t", "made"]);
    assert!(text.contains("before"), "{text}");
    assert!(text.contains("non-zero code: 7") || text.contains("exit code: 7"), "{text}");
    bed.run(["inspect", "made"]).expect_code(1);
    let left = bed.ok(["ps", "-aq", "--filter", "status=running"]);
    assert_eq!(left, "");
}

fn what_cannot_be_built_is_told(bed: &Bed) {
    for (dockerfile, word) in [
        ("FROM busybox\nRUNN true\n", "unknown instruction: RUNN"),
        ("FROM busybox\nCOPY missing /\n", "missing"),
        ("RUN true\n", "no build stage in current context"),
        ("FROM not-there-at-all.invalid/x:1\n", "not-there-at-all.invalid"),
        ("FROM busybox\nCOPY --from=nostage /a /\n", "nostage"),
        ("FROM busybox\nENV\n", "ENV requires at least one argument"),
    ] {
        let text = Project::new(dockerfile).fails(bed, &[]);
        let is_told = text.to_lowercase().contains(&word.to_lowercase());
        assert!(is_told, "{dockerfile}: {text}");
    }
    let project = Project::new("FROM busybox\n");
    assert!(project.fails(bed, &["-f", "no-such-file"]).contains("no-such-file"));
    assert!(project.fails(bed, &["-t", "UPPER"]).contains("lowercase"));
}

fn dockerfile_comes_from_elsewhere(bed: &Bed) {
    let project = Project::new("FROM busybox\nRUN false\n")
        .file("docker/Other", "FROM busybox\nCOPY docker/Other /from\n");
    let other = project.path().join("docker/Other");
    project.build(bed, "by-path", &["-f", other.to_str().unwrap()]);
    assert_eq!(seen(bed, "by-path", "wc -l < /from"), "2");
    let words = ["build", "-t", "by-stdin", "-"];
    let stdin = "FROM busybox\nLABEL by=stdin\n";
    bed.cli(words).env("DOCKER_BUILDKIT", "0").stdin(stdin).run().expect_ok();
    assert_eq!(bed.field("by-stdin", "{{.Config.Labels.by}}"), "stdin");
    let tar = std::process::Command::new("tar")
        .args(["-cf", "-", "-C", project.path().to_str().unwrap(), "docker"])
        .output()
        .expect("tar runs");
    let words = ["build", "-t", "by-tar", "-f", "docker/Other", "-"];
    bed.cli(words).env("DOCKER_BUILDKIT", "0").stdin(tar.stdout).run().expect_ok();
    assert_eq!(seen(bed, "by-tar", "wc -l < /from"), "2");
}

fn child_does_what_its_base_says(bed: &Bed) {
    let base =
        Project::new("FROM busybox\nONBUILD COPY file /\nONBUILD RUN cat /file > /trigger\nENV A=base\n");
    base.build(bed, "base", &[]);
    let child = Project::new("FROM base\nRUN cat /trigger > /seen\n").file("file", "of the child");
    child.build(bed, "child", &[]);
    assert_eq!(seen(bed, "child", "cat /seen; echo; echo $A"), "of the child\nbase");
    assert!(!bed.field("child", "{{json .Config}}").contains("trigger"));
}

fn limits_and_hosts_are_for_commands(bed: &Bed) {
    let project = Project::new(
        "FROM busybox\nRUN cat /etc/hosts > /hosts; ulimit -n > /files; df -k /dev/shm > /shm\n",
    );
    let options = ["--add-host", "me:10.1.2.3", "--ulimit", "nofile=99:99", "--shm-size", "8m"];
    project.build(bed, "made", &options);
    let script = "grep -c '10.1.2.3.*me' /hosts; cat /files; grep -c 8192 /shm";
    assert_eq!(seen(bed, "made", script), "1\n99\n1");
    let none = Project::new("FROM busybox\nRUN ls /sys/class/net > /net\n");
    none.build(bed, "alone", &["--network", "none"]);
    assert_eq!(seen(bed, "alone", "cat /net"), "lo");
}

fn image_gets_all_names_and_its_id_is_written(bed: &Bed) {
    let project = Project::new("FROM busybox\nLABEL x=y\n");
    let file = project.path().join("id");
    let id = project.build(bed, "one:1", &["-t", "two:2", "--iidfile", file.to_str().unwrap()]);
    assert_eq!(bed.field("two:2", "{{.Id}}"), id);
    assert_eq!(std::fs::read_to_string(file).expect("it was written").trim(), id);
    let quiet = project.run(bed, &["-q"]).expect_ok().trimmed();
    assert_eq!(quiet, id);
}

fn image_is_a_source_of_results(bed: &Bed) {
    let uuid = "cat /proc/sys/kernel/random/uuid >";
    let project = Project::new(&format!(
        "FROM busybox\nENV A=1\nRUN {uuid} /before\nCOPY file /f\nRUN {uuid} /after\n"
    ))
    .file("file", "1");
    project.build(bed, "seed", &[]);
    let before = |name: &str| seen(bed, name, "cat /before");
    let after = |name: &str| seen(bed, name, "cat /after");
    // Nothing is left of it but the image itself.
    let archive = project.path().join("seed.tar");
    let archive = archive.to_str().expect("a temporary folder has an ordinary name");
    project.write(".dockerignore", "*.tar\n.dockerignore\n");
    bed.ok(["save", "-o", archive, "seed"]);
    let (seed_before, seed_after) = (before("seed"), after("seed"));
    bed.ok(["rmi", "seed"]);
    bed.ok(["builder", "prune", "-af"]);
    bed.ok(["load", "-i", archive]);
    project.build(bed, "same", &["--cache-from", "seed", "--cache-from", "not-here:1"]);
    assert_eq!((before("same"), after("same")), (seed_before.clone(), seed_after.clone()));
    project.write("file", "2");
    project.build(bed, "changed", &["--cache-from", "seed"]);
    assert_eq!(before("changed"), seed_before);
    assert_ne!(after("changed"), seed_after);
}
