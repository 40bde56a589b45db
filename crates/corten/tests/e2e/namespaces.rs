//! Which namespaces a container has for itself.

use std::fs;
use std::time::Duration;

use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    every_namespace_is_private_by_default,
    host_namespaces_are_those_of_the_host,
    namespaces_of_another_container_are_joined,
    shared_memory_and_queues_of_another_container_are_joined,
    private_ipc_namespace_is_not_joined,
    ipc_none_has_no_shared_memory,
    container_with_a_stopped_partner_is_refused,
    first_process_is_number_1,
    container_among_the_host_s_processes_ends_as_a_whole,
    sysctls_are_set_in_the_container_only,
    sysctl_outside_a_namespace_is_refused,
);

const KINDS: [&str; 5] = ["ipc", "mnt", "net", "pid", "uts"];

fn of_host(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).expect("read a namespace").display().to_string()
}

fn inside(bed: &Bed, options: &[&str], kind: &str) -> String {
    bed.sh(options, &format!("readlink /proc/self/ns/{kind}"))
}

fn every_namespace_is_private_by_default(bed: &Bed) {
    for kind in KINDS {
        assert_ne!(inside(bed, &[], kind), of_host(kind), "{kind}");
    }
}

fn host_namespaces_are_those_of_the_host(bed: &Bed) {
    for (option, kind) in
        [("--pid=host", "pid"), ("--ipc=host", "ipc"), ("--uts=host", "uts"), ("--network=host", "net")]
    {
        assert_eq!(inside(bed, &[option], kind), of_host(kind), "{option}");
    }
}

fn namespaces_of_another_container_are_joined(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "first", "busybox", "sleep", "600"]);
    for (option, kind) in [("--pid", "pid"), ("--network", "net")] {
        let theirs = bed.ok(["exec", "first", "readlink", &format!("/proc/self/ns/{kind}")]);
        assert_eq!(inside(bed, &[option, "container:first"], kind), theirs, "{option}");
    }
}

fn shared_memory_and_queues_of_another_container_are_joined(bed: &Bed) {
    bed.ok([
        "run",
        "-d",
        "--name",
        "first",
        "--ipc",
        "shareable",
        "--shm-size",
        "1m",
        "busybox",
        "sleep",
        "600",
    ]);
    bed.ok(["exec", "first", "sh", "-c", "echo shared > /dev/shm/file; touch /dev/mqueue/queue"]);
    let theirs = bed.ok(["exec", "first", "readlink", "/proc/self/ns/ipc"]);
    let joined = ["--ipc", "container:first"];
    assert_eq!(inside(bed, &joined, "ipc"), theirs);
    let script = "cat /dev/shm/file; ls /dev/mqueue; touch /dev/shm/back; grep ' /dev/shm ' /proc/mounts";
    let text = bed.sh(&joined, script);
    assert!(text.starts_with("shared\nqueue\n"), "{text}");
    for option in ["size=1024k", "nosuid", "nodev", "noexec"] {
        assert!(text.contains(option), "{option} in {text}");
    }
    assert_eq!(bed.ok(["exec", "first", "ls", "/dev/shm"]), "back\nfile");
    // Whoever joins may be joined.
    bed.ok(["run", "-d", "--name", "second", "--ipc", "container:first", "busybox", "sleep", "600"]);
    assert_eq!(bed.sh(&["--ipc", "container:second"], "cat /dev/shm/file"), "shared");
    assert!(!std::path::Path::new("/dev/shm/back").exists(), "it is the host's memory");
}

fn private_ipc_namespace_is_not_joined(bed: &Bed) {
    for mode in ["private", "none"] {
        bed.ok(["run", "-d", "--name", mode, "--ipc", mode, "busybox", "sleep", "600"]);
        let partner = format!("container:{mode}");
        let output = bed.run(["run", "--rm", "--ipc", &partner, "busybox", "true"]);
        let hint = "non-shareable IPC (hint: use IpcMode:shareable for the donor container)";
        output.expect_code(125).expect_stderr(hint);
    }
}

fn ipc_none_has_no_shared_memory(bed: &Bed) {
    assert_eq!(bed.sh(&["--ipc", "none"], "grep ' /dev/shm ' /proc/mounts || echo none"), "none");
    assert_ne!(inside(bed, &["--ipc", "none"], "ipc"), of_host("ipc"));
}

fn container_with_a_stopped_partner_is_refused(bed: &Bed) {
    bed.ok(["create", "--name", "stopped", "busybox", "true"]);
    let output = bed.run(["run", "--rm", "--pid", "container:stopped", "busybox", "true"]).expect_code(125);
    output.expect_stderr("running");
    bed.run(["run", "--rm", "--network", "container:no-such", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("No such container: no-such");
}

fn first_process_is_number_1(bed: &Bed) {
    assert_eq!(bed.sh(&[], "echo $$"), "1");
}

fn sysctls_are_set_in_the_container_only(bed: &Bed) {
    let host = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("read a sysctl");
    let options = ["--sysctl", "net.core.somaxconn=2047", "--sysctl", "kernel.msgmax=9000"];
    let text = bed.sh(&options, "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax");
    assert_eq!(text, "2047\n9000");
    assert_eq!(fs::read_to_string("/proc/sys/net/core/somaxconn").expect("read a sysctl"), host);
}

fn sysctl_outside_a_namespace_is_refused(bed: &Bed) {
    let before = fs::read_to_string("/proc/sys/vm/swappiness").expect("read a sysctl");
    let output = bed.run(["run", "--rm", "--sysctl", "vm.swappiness=1", "busybox", "true"]).expect_code(125);
    output.expect_stderr("vm.swappiness");
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").expect("read a sysctl"), before);
}

fn container_among_the_host_s_processes_ends_as_a_whole(bed: &Bed) {
    // The kernel kills nobody when the first process ends here; the one that is left even holds the output open.
    let script = "sleep 3599 & seq 1 20000; echo last";
    let output = bed.run(["run", "--name", "box", "--pid=host", "busybox", "sh", "-c", script]).expect_ok();
    let expected: String =
        (1..=20_000).map(|line| format!("{line}\n")).chain(["last\n".to_owned()]).collect();
    assert!(output.text() == expected, "{} lines", output.text().lines().count());
    assert!(bed.run(["logs", "box"]).expect_ok().text() == expected, "the log");
    bed.ok(["rm", "box"]);
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "--pid=host",
        "busybox",
        "sh",
        "-c",
        "sleep 3599 & exec sleep 600",
    ]);
    let group = fs::read_to_string(format!("/proc/{}/cgroup", bed.field("box", "{{.State.Pid}}")));
    let group = group.expect("the container's process");
    bed.ok(["kill", "box"]);
    bed.ok(["wait", "box"]);
    let ended = eventually(Duration::from_secs(5), || processes_in(&group).is_empty().then_some(()));
    assert!(ended.is_some(), "left: {:?}", processes_in(&group));
}

/// Every process of the machine that is in these control groups.
fn processes_in(group: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("list the processes").flatten();
    processes
        .map(|entry| entry.path())
        .filter(|path| fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text == group))
        .filter_map(|path| fs::read_to_string(path.join("cmdline")).ok())
        .collect()
}
