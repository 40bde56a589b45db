//! `--privileged`: all that the engine itself may do.
//!
//! Docker 20.10 asks for every capability the kernel knows, and fails where the machine withholds one.

use std::fs;

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(container_has_what_the_engine_has, exec_has_what_the_engine_has);

const CAPABILITIES: &str = "grep CapEff /proc/self/status | cut -f2";

fn own() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("read the own status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t"));
    line.expect("a bounding set").to_owned()
}

fn container_has_what_the_engine_has(bed: &Bed) {
    assert_eq!(bed.sh(&["--privileged"], CAPABILITIES), own());
    assert_eq!(bed.sh(&["--privileged"], "grep Seccomp: /proc/self/status | cut -f2"), "0");
    assert_eq!(bed.sh(&["--privileged"], "mount -t tmpfs none /tmp && echo mounted"), "mounted");
    let script = "test -c /dev/kmsg && test -w /proc/sys/kernel/hostname && echo yes";
    assert_eq!(bed.sh(&["--privileged"], script), "yes");
}

fn exec_has_what_the_engine_has(bed: &Bed) {
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    assert_eq!(bed.ok(["exec", "--privileged", "box", "sh", "-c", CAPABILITIES]), own());
    assert_eq!(bed.ok(["exec", "box", "sh", "-c", CAPABILITIES]), "00000000a80425fb");
}
