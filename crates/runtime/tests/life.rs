//! The life of a container by the runtime's command line. Needs root.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use support::Bundle;

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !check() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn container_goes_from_created_over_running_to_stopped() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    assert_eq!(bundle.state()["status"], "created");
    bundle.ok(&["start", &bundle.id]);
    assert_eq!(bundle.state()["status"], "running");
    let refused = bundle.call(&["delete", &bundle.id]);
    assert!(said(&refused).contains("that is not stopped: running"));
    bundle.ok(&["kill", &bundle.id, "KILL"]);
    eventually("it stops", || bundle.state()["status"] == "stopped");
    bundle.ok(&["delete", &bundle.id]);
    let gone = bundle.call(&["state", &bundle.id]);
    assert!(said(&gone).contains("container does not exist"));
}

#[test]
fn second_container_of_an_id_is_refused() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    let refused = bundle.run();
    assert!(said(&refused).contains("container with given ID already exists"), "{}", said(&refused));
    assert_eq!(bundle.state()["status"], "created");
}

#[test]
fn sockets_of_a_service_manager_are_passed_on_to_process_1() {
    let bundle = Bundle::script("echo $LISTEN_FDS $LISTEN_PID; cat <&3");
    bundle.save();
    fs::write(bundle.path().join("socket"), "passed on").expect("a file");
    let run = |listen_pid: &str| {
        let script = format!("export LISTEN_FDS=1 LISTEN_PID={listen_pid}; exec \"$@\" 3< socket");
        let runtime = bundle.command(&["run", "-b", ".", &bundle.id]);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(runtime.get_program()).args(runtime.get_args());
        command.current_dir(bundle.path()).output().expect("the runtime runs")
    };
    let output = run("$$");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 1\npassed on", "{}", said(&output));
    // Meant for another process.
    let output = run("1");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\n", "{}", said(&output));
}

#[test]
fn exit_code_is_that_of_the_program() {
    assert_eq!(Bundle::script("exit 7").run().status.code(), Some(7));
    let mut bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.config["process"]["args"] = json!(["/bin/sh", "-c", "trap 'exit 3' TERM; kill -TERM $$; sleep 1"]);
    assert_eq!(bundle.run().status.code(), Some(3));
}

#[test]
fn missing_program_is_reported_as_docker_words_it() {
    let text = said(&Bundle::new(&["no-such-program"]).run());
    assert!(text.contains(r#"exec: "no-such-program": executable file not found in $PATH"#), "{text}");
    let text = said(&Bundle::new(&["/no/such"]).run());
    assert!(text.contains(r#"exec: "/no/such": stat /no/such: no such file or directory"#), "{text}");
    let text = said(&Bundle::new(&["/etc/passwd"]).run());
    assert!(text.contains(r#"exec: "/etc/passwd": permission denied"#), "{text}");
    let text = said(&Bundle::new(&["/etc"]).run());
    assert!(text.contains(r#"exec: "/etc": is a directory"#), "{text}");
}

#[test]
fn failure_is_logged_as_json_for_the_caller() {
    let bundle = Bundle::new(&["no-such-program"]);
    bundle.save();
    let log = bundle.path().join("log.json");
    let (log_text, path) = (log.to_str().expect("text"), bundle.path().to_str().expect("text"));
    let output = bundle.call(&["--log", log_text, "--log-format", "json", "create", "-b", path, &bundle.id]);
    assert!(!output.status.success());
    let line = fs::read_to_string(&log).expect("a log");
    let value: serde_json::Value = serde_json::from_str(line.trim()).expect("one line of JSON");
    assert_eq!(value["level"], "error");
    assert!(value["msg"].as_str().expect("text").contains("executable file not found in $PATH"));
}

#[test]
fn further_process_is_in_the_container_and_returns_its_code() {
    let mut bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.config["hostname"] = json!("inside");
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let script = "hostname; cat /proc/1/comm; id -u; echo $A; pwd; exit 9";
    let output = bundle
        .call(&["exec", "-u", "5:6", "-e", "A=b", "--cwd", "/tmp", &bundle.id, "/bin/sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inside\nsleep\n5\nb\n/tmp\n", "{}", said(&output));
    assert_eq!(output.status.code(), Some(9));
    let missing = bundle.call(&["exec", &bundle.id, "nope"]);
    assert!(
        said(&missing).contains(r#"exec: "nope": executable file not found in $PATH"#),
        "{}",
        said(&missing)
    );
}

#[test]
fn further_process_shares_every_namespace_and_group() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let script = "for ns in mnt pid net uts ipc cgroup; do [ $(ls -l /proc/1/ns/$ns | grep -o '\\[.*') = \
                  $(ls -l /proc/self/ns/$ns | grep -o '\\[.*') ] || echo $ns; done; cat /proc/self/cgroup";
    let text = bundle.ok(&["exec", &bundle.id, "/bin/sh", "-c", script]);
    assert!(text.lines().all(|line| line.ends_with(":/")), "{text}");
}

#[test]
fn paused_container_is_shown_as_such_and_runs_again() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    bundle.ok(&["pause", &bundle.id]);
    assert_eq!(bundle.state()["status"], "paused");
    assert!(said(&bundle.call(&["exec", &bundle.id, "/bin/true"])).contains("paused"));
    bundle.ok(&["resume", &bundle.id]);
    assert_eq!(bundle.state()["status"], "running");
    assert!(!bundle.call(&["resume", &bundle.id]).status.success());
}

#[test]
fn processes_are_listed_by_their_ids_on_the_host() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let pids: Vec<i64> = serde_json::from_str(&bundle.ok(&["ps", "-f", "json", &bundle.id])).expect("JSON");
    assert_eq!(pids, [bundle.state()["pid"].as_i64().expect("a number")]);
}

#[test]
fn end_of_a_container_leaves_nothing_behind() {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let mut bundle = Bundle::script("sleep 100 & sleep 100 & cat /proc/self/mountinfo > /dev/null");
    bundle.add_mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"}));
    bundle.run_ok();
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").expect("mounts"), before);
    assert_eq!(fs::read_dir(bundle.states()).expect("list").count(), 0);
    assert!(groups_named(&bundle.id).is_empty());
}

#[test]
fn failed_creation_leaves_nothing_behind() {
    let bundle = Bundle::new(&["no-such-program"]);
    assert!(!bundle.run().status.success());
    assert_eq!(fs::read_dir(bundle.states()).expect("list").count(), 0);
    assert!(groups_named(&bundle.id).is_empty());
}

fn groups_named(id: &str) -> Vec<std::path::PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("control groups");
    let paths = hierarchies.map(|entry| entry.expect("an entry").path().join(id));
    paths.chain([Path::new("/sys/fs/cgroup").join(id)]).filter(|path| path.exists()).collect()
}

#[test]
fn hooks_run_in_their_order_with_the_state() {
    let mut bundle = Bundle::new(&["/bin/true"]);
    let log = bundle.path().join("log");
    let hook = |name: &str| {
        let script = format!("echo {name} $(grep -o '\"status\":\"[a-z]*\"') >> {}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    bundle.config["hooks"] = json!({"prestart": hook("prestart"), "createRuntime": hook("createRuntime"),
        "createContainer": hook("createContainer"), "poststart": hook("poststart"), "poststop": hook("poststop")});
    bundle.config["hooks"]["startContainer"] = json!([{"path": "/bin/touch", "args": ["touch", "/started"]}]);
    bundle.run_ok();
    let text = fs::read_to_string(&log).expect("a log");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"], "{text}");
    assert!(text.contains(r#"prestart "status":"creating""#), "{text}");
    assert!(text.contains(r#"poststop "status":"stopped""#), "{text}");
    assert!(bundle.rootfs().join("started").exists());
}

#[test]
fn failing_hook_stops_the_creation() {
    let mut bundle = Bundle::new(&["/bin/true"]);
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    let text = said(&bundle.run());
    assert!(text.contains("error running createRuntime hook #0"), "{text}");
}

#[test]
fn bind_mount_is_read_only_recursive_or_not_as_asked() {
    let data = tempfile::tempdir().expect("a directory");
    fs::write(data.path().join("file"), "text").expect("a file");
    let mut bundle =
        Bundle::script("cat /file; cat /dir/file; touch /dir/new; touch /writable/new && echo ok");
    let file = data.path().join("file");
    bundle.add_mount(json!({"destination": "/file", "source": file, "options": ["bind", "ro"]}));
    bundle.add_mount(json!({"destination": "/dir", "source": data.path(), "options": ["rbind", "rro"]}));
    bundle.add_mount(json!({"destination": "/writable", "source": data.path(), "options": ["rbind", "rw"]}));
    let output = bundle.run();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "texttextok\n", "{}", said(&output));
    assert!(said(&output).contains("/dir/new: Read-only file system"));
}

#[test]
fn tmpfs_takes_up_what_it_hides_where_asked() {
    let mut bundle = Bundle::script("cat /etc/passwd | wc -l; stat -c %a /etc; ls -a /plain | wc -l");
    bundle.add_mount(
        json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
    );
    fs::create_dir(bundle.rootfs().join("plain")).expect("a directory");
    fs::write(bundle.rootfs().join("plain/file"), "").expect("a file");
    bundle.add_mount(json!({"destination": "/plain", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}));
    assert_eq!(bundle.run_ok(), "2\n755\n2\n");
}

#[test]
fn missing_mount_source_is_reported() {
    let mut bundle = Bundle::new(&["/bin/true"]);
    bundle.add_mount(json!({"destination": "/x", "source": "/no/such/source", "options": ["bind"]}));
    let text = said(&bundle.run());
    assert!(text.contains("/no/such/source") && text.contains("no such file or directory"), "{text}");
}

#[test]
fn unsupported_field_is_refused_by_name() {
    let mut bundle = Bundle::new(&["/bin/true"]);
    bundle.config["linux"]["intelRdt"] = json!({"closID": "x"});
    assert!(said(&bundle.run()).contains("linux.intelRdt is not supported"));
}

#[test]
fn user_namespace_maps_its_root() {
    let mut bundle = Bundle::script("id -u; cat /proc/self/uid_map; touch /tmp/x && stat -c %u /tmp/x");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().expect("namespaces");
    namespaces.push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100000, "size": 65536}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    for place in [".", "tmp", "bin", "etc", "root", "sbin"] {
        let path = bundle.rootfs().join(place);
        std::os::unix::fs::chown(&path, Some(100_000), Some(100_000)).expect("chown");
    }
    open_up(bundle.path());
    let text = bundle.run_ok();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536", "0"]);
}

/// The mapped root must be able to walk to its root file system.
fn open_up(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path, mode).expect("mode");
}

#[test]
fn time_namespace_has_its_offset() {
    let mut bundle = Bundle::new(&["/bin/cat", "/proc/self/timens_offsets"]);
    bundle.config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "time"}));
    bundle.config["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1000}});
    let text = bundle.run_ok();
    assert!(text.lines().any(|line| line.split_whitespace().eq(["boottime", "1000", "0"])), "{text}");
}

#[test]
fn init_program_reaps_passes_on_and_returns_the_code() {
    let mut bundle =
        Bundle::new(&["/sbin/docker-init", "--", "/bin/sh", "-c", "cat /proc/1/comm; (sleep 0 &) ; exit 5"]);
    let program = env!("CARGO_BIN_EXE_corten-runtime");
    bundle
        .add_mount(json!({"destination": "/sbin/docker-init", "source": program, "options": ["bind", "ro"]}));
    let output = bundle.run();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "docker-init\n", "{}", said(&output));
    assert_eq!(output.status.code(), Some(5));
    bundle.config["process"]["args"] = json!(["/sbin/docker-init", "--", "no-such"]);
    assert_eq!(bundle.run().status.code(), Some(127));
}

#[test]
fn limits_are_those_asked_for() {
    let mut bundle = Bundle::script("ulimit -n; ulimit -c");
    bundle.config["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]);
    assert_eq!(bundle.run_ok(), "100\n0\n");
}
