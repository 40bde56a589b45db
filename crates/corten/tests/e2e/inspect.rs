//! `inspect`, `top`, `info`, `version`.

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    running_container_is_described,
    options_are_kept_as_given,
    size_is_told_on_demand,
    unknown_object_is_an_error_and_an_empty_list,
    template_that_fails_is_an_error,
    process_is_listed_by_top,
    top_passes_options_to_ps,
    top_of_a_stopped_container_is_refused,
    info_counts_containers_and_images,
    version_names_both_sides,
    ping_tells_the_api_version,
);

fn json(bed: &Bed, object: &str) -> serde_json::Value {
    let list: serde_json::Value = serde_json::from_str(&bed.ok(["inspect", object])).expect("JSON");
    list[0].clone()
}

fn running_container_is_described(bed: &Bed) {
    let id = bed.ok(["run", "-d", "--name", "box", "-e", "A=1", "busybox", "sleep", "600"]);
    let object = json(bed, "box");
    assert_eq!((object["Id"].as_str(), object["Name"].as_str()), (Some(id.as_str()), Some("/box")));
    assert_eq!((object["Path"].as_str(), &object["Args"]), (Some("sleep"), &serde_json::json!(["600"])));
    assert_eq!((&object["State"]["Running"], &object["State"]["Status"]), (&true.into(), &"running".into()));
    assert_eq!(object["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(object["Config"]["Image"], "busybox");
    assert!(object["Image"].as_str().is_some_and(|image| image.starts_with("sha256:") && image.len() == 71));
    let pid = object["State"]["Pid"].as_u64().expect("a process ID");
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).expect("the process is there");
    assert_eq!(command, b"sleep\x00600\0");
    assert_eq!(object["Config"]["Env"][0], "A=1");
    assert!(object["LogPath"].as_str().is_some_and(|path| std::path::Path::new(path).exists()));
}

fn options_are_kept_as_given(bed: &Bed) {
    bed.ok([
        "create",
        "--name",
        "box",
        "-m",
        "64m",
        "--cpus",
        "1.5",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "MKNOD",
        "--restart",
        "on-failure:4",
        "--pids-limit",
        "50",
        "--ulimit",
        "nofile=5:6",
        "--read-only",
        "-v",
        "/etc:/e:ro",
        "--security-opt",
        "no-new-privileges",
        "--stop-signal",
        "INT",
        "--shm-size",
        "2m",
        "--group-add",
        "mail",
        "busybox",
        "true",
    ]);
    for (template, expected) in [
        ("{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "67108864 1500000000"),
        ("{{json .HostConfig.RestartPolicy}}", r#"{"Name":"on-failure","MaximumRetryCount":4}"#),
        ("{{.HostConfig.PidsLimit}} {{.HostConfig.ReadonlyRootfs}}", "50 true"),
        ("{{json .HostConfig.Binds}}", r#"["/etc:/e:ro"]"#),
        ("{{json .HostConfig.SecurityOpt}}", r#"["no-new-privileges"]"#),
        ("{{.Config.StopSignal}} {{.HostConfig.ShmSize}}", "INT 2097152"),
        ("{{json .HostConfig.GroupAdd}}", r#"["mail"]"#),
        (
            "{{with index .Mounts 0}}{{.Type}} {{.Source}} {{.Destination}} {{.RW}}{{end}}",
            "bind /etc /e false",
        ),
        ("{{with index .HostConfig.Ulimits 0}}{{.Name}} {{.Soft}} {{.Hard}}{{end}}", "nofile 5 6"),
    ] {
        assert_eq!(bed.field("box", template), expected, "{template}");
    }
    let added =
        bed.field("box", "{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}}").replace("CAP_", "");
    assert_eq!(added, r#"["NET_ADMIN"] ["MKNOD"]"#);
}

fn size_is_told_on_demand(bed: &Bed) {
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /f"]);
    let sizes = bed.ok(["inspect", "-s", "--format", "{{.SizeRw}} {{.SizeRootFs}}", "box"]);
    let root = sizes.strip_prefix("5000 ").and_then(|size| size.parse::<u64>().ok());
    assert!(root > Some(1_000_000), "{sizes}");
}

fn unknown_object_is_an_error_and_an_empty_list(bed: &Bed) {
    let output = bed.run(["inspect", "no-such"]).expect_code(1);
    assert_eq!(output.trimmed(), "[]");
    output.expect_stderr("No such object: no-such");
}

fn template_that_fails_is_an_error(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox"]);
    assert_ne!(bed.run(["inspect", "-f", "{{.NoSuchField}}", "box"]).status, 0);
    assert_ne!(bed.run(["inspect", "-f", "{{", "box"]).status, 0);
}

fn process_is_listed_by_top(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let text = bed.ok(["top", "box"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("UID") && lines[0].contains("PID") && lines[0].ends_with("CMD"), "{text}");
    assert!(
        lines[1].ends_with("sleep 600") && lines[1].contains(&bed.field("box", "{{.State.Pid}}")),
        "{text}"
    );
}

fn top_passes_options_to_ps(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let text = bed.ok(["top", "box", "-o", "pid,comm"]);
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["PID", "COMMAND", &bed.field("box", "{{.State.Pid}}"), "sleep"]);
}

fn top_of_a_stopped_container_is_refused(bed: &Bed) {
    bed.ok(["create", "--name", "box", "busybox"]);
    bed.run(["top", "box"]).expect_code(1).expect_stderr("is not running");
}

fn info_counts_containers_and_images(bed: &Bed) {
    bed.ok(["run", "-d", "busybox", "sleep", "600"]);
    bed.ok(["run", "-d", "--name", "paused", "busybox", "sleep", "600"]);
    bed.ok(["pause", "paused"]);
    bed.ok(["create", "busybox"]);
    let template =
        "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}";
    assert_eq!(bed.ok(["info", "--format", template]), "3 1 1 1 1");
    let root = bed.engine.data_root().display().to_string();
    assert_eq!(bed.ok(["info", "--format", "{{.DockerRootDir}}"]), root);
}

fn version_names_both_sides(bed: &Bed) {
    let text = bed.ok(["version"]);
    assert!(text.contains("Client:") && text.contains("Server:"), "{text}");
    assert_eq!(bed.ok(["version", "--format", "{{.Server.Os}}"]), "linux");
}

fn ping_tells_the_api_version(bed: &Bed) {
    let answer = bed.engine.http().get("/_ping").expect(200);
    assert_eq!(answer.text(), "OK");
    let header =
        |name: &str| answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let version = header("api-version").expect("a version");
    assert!(version.starts_with("1."), "{version}");
    assert_eq!(header("ostype").as_deref(), Some("linux"));
}
