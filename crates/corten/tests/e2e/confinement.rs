//! What a container may do, as seen from inside.

use std::fs;

use serde_json::json;
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;

with_each_client!(
    default_capabilities_are_docker_s_fourteen,
    capabilities_are_added_and_dropped,
    ordinary_user_has_no_capabilities,
    default_filter_is_loaded,
    filter_can_be_turned_off,
    filter_can_be_replaced,
    no_new_privileges_is_set,
    masked_paths_are_empty,
    read_only_paths_refuse_writes,
    system_file_systems_are_mounted_with_care,
    mounting_and_namespaces_are_refused,
    no_descriptor_is_inherited,
    host_processes_are_not_seen,
    unknown_capability_is_refused,
    unknown_security_option_is_refused,
    default_sysctls_are_set,
    labels_and_variables_of_an_image_are_only_data,
);

fn status(bed: &Bed, options: &[&str], field: &str) -> String {
    bed.sh(options, &format!("grep '^{field}:' /proc/self/status | cut -f2"))
}

fn capabilities(bed: &Bed, options: &[&str]) -> u64 {
    u64::from_str_radix(&status(bed, options, "CapEff"), 16).expect("a number")
}

fn default_capabilities_are_docker_s_fourteen(bed: &Bed) {
    let text = bed.sh(&[], "grep '^Cap' /proc/self/status | tr '\\t' ' '");
    let expected = "CapInh: 0000000000000000\nCapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\n\
                    CapBnd: 00000000a80425fb\nCapAmb: 0000000000000000";
    // Docker 20.10 still filled the inheritable set.
    let found = text.replace("CapInh: 00000000a80425fb", "CapInh: 0000000000000000");
    assert_eq!(found, expected);
}

fn capabilities_are_added_and_dropped(bed: &Bed) {
    const DEFAULT: u64 = 0xa804_25fb;
    const NET_ADMIN: u64 = 1 << 12;
    const CHOWN: u64 = 1;
    assert_eq!(capabilities(bed, &["--cap-add", "NET_ADMIN"]), DEFAULT | NET_ADMIN);
    assert_eq!(
        capabilities(bed, &["--cap-add", "CAP_NET_ADMIN", "--cap-drop", "chown"]),
        (DEFAULT | NET_ADMIN) & !CHOWN
    );
    assert_eq!(capabilities(bed, &["--cap-drop", "ALL"]), 0);
    assert_eq!(capabilities(bed, &["--cap-drop", "ALL", "--cap-add", "CHOWN"]), CHOWN);
}

fn ordinary_user_has_no_capabilities(bed: &Bed) {
    assert_eq!(capabilities(bed, &["-u", "1000"]), 0);
    assert_eq!(status(bed, &["-u", "1000"], "CapBnd"), "00000000a80425fb");
}

fn default_filter_is_loaded(bed: &Bed) {
    assert_eq!(status(bed, &[], "Seccomp"), "2");
    assert_eq!(status(bed, &["-u", "1000"], "Seccomp"), "2");
}

fn filter_can_be_turned_off(bed: &Bed) {
    assert_eq!(status(bed, &["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
}

fn filter_can_be_replaced(bed: &Bed) {
    let profile = bed.engine.directory().join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    fs::write(&profile, text).expect("write a profile");
    let option = format!("seccomp={}", profile.display());
    let output =
        bed.run(["run", "--rm", "--security-opt", &option, "busybox", "mkdir", "/new"]).expect_code(1);
    output.expect_stderr("Operation not permitted");
    fs::write(&profile, "{ not json").expect("write a profile");
    assert_ne!(bed.run(["run", "--rm", "--security-opt", &option, "busybox", "true"]).status, 0);
}

fn no_new_privileges_is_set(bed: &Bed) {
    assert_eq!(status(bed, &[], "NoNewPrivs"), "0");
    assert_eq!(status(bed, &["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
    assert_eq!(status(bed, &["--security-opt", "no-new-privileges:true"], "NoNewPrivs"), "1");
}

fn masked_paths_are_empty(bed: &Bed) {
    let script = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/latency_stats /proc/sched_debug; do
        [ -e $f ] && head -c 1 $f; done; for d in /proc/acpi /proc/scsi /sys/firmware; do [ -e $d ] && ls $d; done; echo end";
    assert_eq!(bed.sh(&[], script), "end");
}

fn read_only_paths_refuse_writes(bed: &Bed) {
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
    ] {
        let script = format!("[ -e {path} ] || exit 3; echo x > {path}");
        let output = bed.run(["run", "--rm", "busybox", "sh", "-c", &script]);
        assert_ne!(output.status, 0, "{path} was written");
        assert!(output.status == 3 || output.stderr.contains("Read-only file system"), "{path}: {output:?}");
    }
}

fn system_file_systems_are_mounted_with_care(bed: &Bed) {
    let table = bed.sh(&[], "cat /proc/mounts");
    for (point, kind, options) in [
        ("/proc", "proc", "rw,nosuid,nodev,noexec"),
        ("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        ("/dev", "tmpfs", "rw,nosuid"),
        ("/dev/pts", "devpts", "rw,nosuid,noexec"),
        ("/dev/mqueue", "mqueue", "rw,nosuid,nodev,noexec"),
        ("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec"),
    ] {
        let line = table.lines().find(|line| line.split(' ').nth(1) == Some(point));
        let words: Vec<&str> =
            line.unwrap_or_else(|| panic!("{point} is mounted:\n{table}")).split(' ').collect();
        assert!(words[2] == kind && words[3].starts_with(options), "{words:?}");
    }
    for line in table.lines().filter(|line| line.contains(" cgroup")) {
        assert!(line.contains(" ro,"), "{line}");
    }
}

fn mounting_and_namespaces_are_refused(bed: &Bed) {
    for command in [
        "mount -t tmpfs none /tmp",
        "unshare -n true",
        "unshare -U true",
        "mount -o remount,rw /sys",
        "chroot / mount -t proc p /tmp",
    ] {
        let output = bed.run(["run", "--rm", "busybox", "sh", "-c", command]);
        assert_ne!(output.status, 0, "{command} was allowed");
        let said = output.stderr.to_lowercase();
        assert!(said.contains("not permitted") || said.contains("denied"), "{command}: {output:?}");
    }
}

fn no_descriptor_is_inherited(bed: &Bed) {
    // The fourth is the directory that `ls` reads.
    assert_eq!(bed.sh(&[], "exec ls /proc/self/fd").lines().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

fn host_processes_are_not_seen(bed: &Bed) {
    let text = bed.sh(&[], "ls -d /proc/[0-9]* | wc -l");
    assert!(text.parse::<u32>().expect("a number") <= 4, "{text} processes are seen");
}

fn unknown_capability_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--cap-add", "NO_SUCH", "busybox", "true"]).expect_code(125);
    assert!(output.stderr.contains("NO_SUCH"), "{}", output.stderr);
}

fn unknown_security_option_is_refused(bed: &Bed) {
    assert_ne!(bed.run(["run", "--rm", "--security-opt", "nonsense=1", "busybox", "true"]).status, 0);
}

fn default_sysctls_are_set(bed: &Bed) {
    let read = "cd /proc/sys/net/ipv4; cat ping_group_range ip_unprivileged_port_start";
    assert_eq!(bed.sh(&[], read), "0\t2147483647\n0");
    // What is asked for counts more.
    let asked = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=1000"];
    assert_eq!(bed.sh(&asked, read), "0\t2147483647\n1000");
    // The namespace is not ours with the host's network.
    let host = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("read a sysctl");
    let read = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(bed.sh(&["--network=host"], read), host.trim());
}

fn labels_and_variables_of_an_image_are_only_data(bed: &Bed) {
    let config = json!({
        "Env": ["PATH=/bin", "HOSTNAME", "HOME", "DOCKER_HOST", "LD_PRELOAD=/evil.so", "DOCKER_BUILDKIT=0"],
        "Labels": {"privileged": "true", "com.docker.security-opt": "seccomp=unconfined", "Mounts": "/:/host"},
    });
    bed.engine.load_archive(&on_busybox(config, Vec::new()).docker_archive("data:1"));
    bed.ok([
        "create",
        "--name",
        "box",
        "data:1",
        "busybox",
        "sh",
        "-c",
        "busybox env; busybox cat /proc/self/status",
    ]);
    assert_eq!(
        bed.field("box", "{{.HostConfig.Privileged}} {{.HostConfig.SecurityOpt}} {{len .Mounts}}"),
        "false [] 0"
    );
    let text = bed.ok(["start", "-a", "box"]);
    for line in ["CapEff:\t00000000a80425fb", "Seccomp:\t2", "LD_PRELOAD=/evil.so"] {
        assert!(text.lines().any(|found| found == line), "{line:?} in {text}");
    }
    // Names without a value: neither the engine's value nor that of the client goes in.
    let bare: Vec<&str> = text.lines().filter(|line| line.starts_with("DOCKER_HOST")).collect();
    assert!(bare.is_empty() || bare == ["DOCKER_HOST"], "{bare:?}");
}
