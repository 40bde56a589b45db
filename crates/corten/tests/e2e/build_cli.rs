//! What the command line does of a build: contexts, Dockerfiles, arguments, files that scripts read.

use std::fs;
use std::path::PathBuf;

use testkit::archive::Layer;
use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    folder_is_built_and_runs,
    quiet_build_prints_the_id,
    id_is_written_to_a_file,
    dockerfile_comes_from_standard_input,
    dockerfile_alone_is_a_build,
    archive_from_standard_input_is_a_context,
    dockerfile_outside_the_context_is_no_part_of_it,
    dockerfile_of_another_name_is_found_from_here,
    ignored_files_are_not_copied,
    modes_and_links_of_the_context_are_kept,
    arguments_come_from_flags_and_the_environment,
    labels_and_target_are_used,
    failed_step_fails_the_command_and_leaves_no_name,
    context_that_is_not_there_is_named,
    dockerfile_that_is_not_there_is_named,
    standard_input_is_not_read_twice,
    nothing_to_prune_is_no_error,
);

/// A context of these files.
fn context(bed: &Bed, files: &[(&str, &str)]) -> String {
    let folder: PathBuf = bed.engine.directory().join("context");
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("make a folder");
        fs::write(&path, content).expect("write a file");
    }
    folder.to_str().expect("a path in UTF-8").to_owned()
}

const HELLO: &str = "FROM busybox\nCOPY hello /hello\nRUN echo more >> /hello\nCMD [\"cat\", \"/hello\"]\n";

fn folder_is_built_and_runs(bed: &Bed) {
    let folder = context(bed, &[("Dockerfile", HELLO), ("hello", "hello\n")]);
    bed.ok(["build", "-t", "app:1", "-t", "other", &folder]);
    assert_eq!(bed.ok(["run", "--rm", "app:1"]), "hello\nmore");
    assert_eq!(bed.field("app:1", "{{.Id}}"), bed.field("other:latest", "{{.Id}}"));
    // Again, by another path to the same command.
    bed.ok(["image", "build", "-t", "again", &folder]);
    bed.ok(["builder", "build", "-t", "again", &folder]);
    assert_eq!(bed.field("app:1", "{{.Id}}"), bed.field("again", "{{.Id}}"));
}

fn quiet_build_prints_the_id(bed: &Bed) {
    let folder = context(bed, &[("Dockerfile", HELLO), ("hello", "hello\n")]);
    let id = bed.ok(["build", "-q", "-t", "app", &folder]);
    assert_eq!(id, bed.field("app", "{{.Id}}"));
}

fn id_is_written_to_a_file(bed: &Bed) {
    let folder = context(bed, &[("Dockerfile", HELLO), ("hello", "hello\n")]);
    let file = bed.engine.directory().join("id");
    fs::write(&file, "old").expect("write a file");
    let path = file.to_str().expect("a path in UTF-8");
    bed.ok(["build", "--iidfile", path, "-t", "app", &folder]);
    assert_eq!(fs::read_to_string(&file).expect("read the file"), bed.field("app", "{{.Id}}"));
    fs::write(bed.engine.directory().join("context/Dockerfile"), "FROM busybox\nRUN false\n")
        .expect("write a file");
    assert_ne!(bed.run(["build", "--iidfile", path, &folder]).status, 0);
    assert!(!file.exists(), "the ID of an earlier build is still there");
}

fn dockerfile_comes_from_standard_input(bed: &Bed) {
    let folder = context(bed, &[("Dockerfile", "FROM nowhere\n"), ("hello", "hello\n")]);
    bed.cli(["build", "-t", "app", "-f", "-", &folder]).stdin(HELLO).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "app"]), "hello\nmore");
}

fn dockerfile_alone_is_a_build(bed: &Bed) {
    let dockerfile = "FROM busybox\nCMD [\"echo\", \"alone\"]\n";
    bed.cli(["build", "-t", "app", "-"]).stdin(dockerfile).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "app"]), "alone");
}

fn archive_from_standard_input_is_a_context(bed: &Bed) {
    let archive =
        Layer::new().file("sub/D", 0o644, HELLO.as_bytes()).file("hello", 0o644, b"hello\n").finish();
    bed.cli(["build", "-t", "app", "-f", "sub/D", "-"]).stdin(archive).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "app"]), "hello\nmore");
}

fn dockerfile_outside_the_context_is_no_part_of_it(bed: &Bed) {
    let folder = context(bed, &[("a", "a"), ("Dockerfile", "FROM nowhere\n")]);
    let dockerfile = bed.engine.directory().join("Elsewhere");
    fs::write(&dockerfile, "FROM busybox\nCOPY . /c\nRUN ls -A /c | sort > /list\n").expect("write a file");
    bed.ok(["build", "-t", "app", "-f", dockerfile.to_str().expect("a path in UTF-8"), &folder]);
    let list = bed.ok(["run", "--rm", "app", "cat", "/list"]);
    // Docker's client makes a file with ignored patterns.
    let names: Vec<&str> = list.lines().filter(|name| *name != ".dockerignore").collect();
    assert_eq!(names, ["Dockerfile", "a"]);
}

fn dockerfile_of_another_name_is_found_from_here(bed: &Bed) {
    let folder = context(bed, &[("sub/My.dockerfile", HELLO), ("hello", "hello\n")]);
    bed.ok(["build", "-t", "app", "-f", &format!("{folder}/sub/My.dockerfile"), &folder]);
    assert_eq!(bed.ok(["run", "--rm", "app"]), "hello\nmore");
}

fn ignored_files_are_not_copied(bed: &Bed) {
    let folder = context(
        bed,
        &[
            ("Dockerfile", "FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list\n"),
            (".dockerignore", "# not these\n*.log\nDockerfile\n.dockerignore\ndeep\n!deep/keep\n"),
            ("a", ""),
            ("b.log", ""),
            ("sub/c.log", ""),
            ("deep/x", ""),
            ("deep/keep/y", ""),
        ],
    );
    bed.ok(["build", "-t", "app", &folder]);
    assert_eq!(bed.ok(["run", "--rm", "app", "cat", "/list"]), "./a\n./deep/keep/y\n./sub/c.log");
}

fn modes_and_links_of_the_context_are_kept(bed: &Bed) {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    let long = "x".repeat(150);
    let folder = context(
        bed,
        &[("Dockerfile", "FROM busybox\nCOPY c /c\n"), ("c/run", "#!/bin/sh\n"), (&format!("c/{long}"), "")],
    );
    let file = PathBuf::from(&folder).join("c/run");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).expect("set a mode");
    chown(&file, Some(1234), Some(1234)).expect("set an owner");
    symlink("run", PathBuf::from(&folder).join("c/link")).expect("make a link");
    bed.ok(["build", "-t", "app", &folder]);
    let script = format!("stat -c '%a %u %g' /c/run; readlink /c/link; ls /c/{long}");
    let told = bed.ok(["run", "--rm", "app", "sh", "-c", &script]);
    assert_eq!(told, format!("751 0 0\nrun\n/c/{long}"));
}

fn arguments_come_from_flags_and_the_environment(bed: &Bed) {
    let dockerfile = "FROM busybox\nARG A=default\nARG B=default\nARG C=default\nRUN echo $A $B $C > /told\n";
    let folder = context(bed, &[("Dockerfile", dockerfile)]);
    let command =
        bed.cli(["build", "-t", "app", "--build-arg", "A=x=y", "--build-arg", "B", "--build-arg", "UNSET_C"]);
    let output = command.arg(&folder).env("B", "from here").run();
    // Arguments that no instruction takes are warned of.
    output.expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "app", "cat", "/told"]), "x=y from here default");
}

fn labels_and_target_are_used(bed: &Bed) {
    let dockerfile = "FROM busybox AS one\nLABEL a=1\nFROM one AS two\nRUN false\n";
    let folder = context(bed, &[("Dockerfile", dockerfile)]);
    bed.ok(["build", "-t", "app", "--target", "one", "--label", "b=2 3", "--label", "a=4", &folder]);
    assert_eq!(bed.field("app", "{{json .Config.Labels}}"), "{\"a\":\"4\",\"b\":\"2 3\"}");
}

fn failed_step_fails_the_command_and_leaves_no_name(bed: &Bed) {
    let folder = context(bed, &[("Dockerfile", "FROM busybox\nRUN echo before-it; exit 3\n")]);
    let output = bed.run(["build", "-t", "app", &folder]);
    assert_ne!(output.status, 0);
    assert!(format!("{}{}", output.text(), output.stderr).contains("before-it"));
    assert_ne!(bed.run(["image", "inspect", "app"]).status, 0);
    let output = bed.run(["build", "-q", "-t", "app", &folder]);
    assert_ne!(output.status, 0);
    assert_eq!(output.trimmed(), "");
}

fn context_that_is_not_there_is_named(bed: &Bed) {
    bed.run(["build", "/no/such/folder"])
        .expect_code(1)
        .expect_stderr("unable to prepare context: path \"/no/such/folder\" not found");
}

fn dockerfile_that_is_not_there_is_named(bed: &Bed) {
    let folder = context(bed, &[("a", "")]);
    bed.run(["build", &folder]).expect_code(1).expect_stderr(&format!(
        "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {folder}/Dockerfile: \
         no such file or directory"
    ));
}

fn standard_input_is_not_read_twice(bed: &Bed) {
    let output = bed.cli(["build", "-f", "-", "-"]).stdin("FROM busybox\n").run();
    output
        .expect_code(1)
        .expect_stderr("invalid argument: can't use stdin for both build context and dockerfile");
}

fn nothing_to_prune_is_no_error(bed: &Bed) {
    assert_eq!(bed.ok(["builder", "prune", "-f"]), "Total reclaimed space: 0B");
}
