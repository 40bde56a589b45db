//! Limits on resources, as the container's cgroup and processes show them.

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    memory_limit_is_in_the_cgroup,
    memory_reservation_and_swap_are_kept,
    memory_beyond_the_limit_is_an_oom_kill,
    cpus_are_a_quota,
    cpu_shares_and_cpuset_are_in_the_cgroup,
    pids_limit_stops_forks,
    ulimits_are_set,
    shm_size_is_that_of_the_mount,
    oom_score_is_adjusted,
    memory_below_the_minimum_is_refused,
);

/// Reads one of two files below `/sys/fs/cgroup`: the name in version 1, then the name in version 2.
fn cgroup_value(bed: &Bed, options: &[&str], version_1: &str, version_2: &str) -> String {
    let script =
        format!("cd /sys/fs/cgroup; if [ -e {version_1} ]; then cat {version_1}; else cat {version_2}; fi");
    bed.sh(options, &script)
}

fn memory_limit_is_in_the_cgroup(bed: &Bed) {
    let value = cgroup_value(bed, &["-m", "64m"], "memory/memory.limit_in_bytes", "memory.max");
    assert_eq!(value, (64 << 20).to_string());
}

fn memory_reservation_and_swap_are_kept(bed: &Bed) {
    let options = ["--name", "box", "-m", "64m", "--memory-reservation", "32m", "--memory-swap", "64m"];
    bed.ok(["create"].iter().chain(&options).chain(&["busybox"]));
    let template = "{{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} {{.HostConfig.MemorySwap}}";
    assert_eq!(bed.field("box", template), "67108864 33554432 67108864");
    let options = ["-m", "64m", "--memory-reservation", "32m"];
    let value = cgroup_value(bed, &options, "memory/memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(value, (32 << 20).to_string());
}

fn memory_beyond_the_limit_is_an_oom_kill(bed: &Bed) {
    let options = ["run", "--name", "box", "-m", "16m", "--memory-swap", "16m"];
    bed.run(options.iter().chain(&["busybox", "tail", "/dev/zero"])).expect_code(137);
    assert_eq!(bed.field("box", "{{.State.OOMKilled}} {{.State.ExitCode}}"), "true 137");
}

fn cpus_are_a_quota(bed: &Bed) {
    let options = ["--cpus", "0.5"];
    let value = cgroup_value(bed, &options, "cpu/cpu.cfs_quota_us", "cpu.max");
    assert!(value == "50000" || value == "50000 100000", "{value}");
}

fn cpu_shares_and_cpuset_are_in_the_cgroup(bed: &Bed) {
    assert_eq!(cgroup_value(bed, &["--cpuset-cpus", "0"], "cpuset/cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(bed.sh(&["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status | cut -f2"), "0");
    let value = cgroup_value(bed, &["--cpu-shares", "2048"], "cpu/cpu.shares", "cpu.weight");
    assert!(value == "2048" || value == "79", "{value}");
}

fn pids_limit_stops_forks(bed: &Bed) {
    assert_eq!(cgroup_value(bed, &["--pids-limit", "12"], "pids/pids.max", "pids.max"), "12");
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait";
    let output = bed.run(["run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c", script]);
    assert_ne!(output.status, 0);
    output.expect_stderr("can't fork");
}

fn ulimits_are_set(bed: &Bed) {
    let text =
        bed.sh(&["--ulimit", "nofile=123:456", "--ulimit", "core=0"], "ulimit -Sn; ulimit -Hn; ulimit -c");
    assert_eq!(text, "123\n456\n0");
    bed.run(["run", "--rm", "--ulimit", "nofile=10:5", "busybox", "true"]).expect_code(125);
}

fn shm_size_is_that_of_the_mount(bed: &Bed) {
    let script = "grep ' /dev/shm ' /proc/mounts | tr ', ' '\\n\\n' | grep size=";
    assert_eq!(bed.sh(&[], script), "size=65536k");
    assert_eq!(bed.sh(&["--shm-size", "1m"], script), "size=1024k");
}

fn oom_score_is_adjusted(bed: &Bed) {
    assert_eq!(bed.sh(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500");
    assert_eq!(bed.sh(&[], "cat /proc/self/oom_score_adj"), "0");
}

fn memory_below_the_minimum_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "-m", "1m", "busybox", "true"]).expect_code(125);
    output.expect_stderr("Minimum memory limit allowed is 6MB");
}
