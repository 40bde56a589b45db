//! What a default container is allowed, item by item. Needs root.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use support::Bundle;

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.starts_with(name)).expect(name);
    line[name.len() + 1..].trim().to_owned()
}

const DEFAULT_CAPABILITIES: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

fn assert_default_capabilities(status: &str) {
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(field(status, set), DEFAULT_CAPABILITIES, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(field(status, set), NONE, "{set}");
    }
}

#[test]
fn root_has_the_default_capabilities_and_default_signals() {
    let status = Bundle::new(&["/bin/cat", "/proc/self/status"]).run_ok();
    assert_default_capabilities(&status);
    for set in ["SigBlk", "SigIgn"] {
        assert_eq!(field(&status, set), NONE, "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), "0");
    assert_eq!(field(&status, "NSpid"), "1");
}

#[test]
fn user_has_no_capabilities_but_the_bounding_set() {
    let mut bundle = Bundle::new(&["/bin/cat", "/proc/self/status"]);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [1001, 44]});
    let status = bundle.run_ok();
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(&status, set), NONE, "{set}");
    }
    assert_eq!(field(&status, "CapBnd"), DEFAULT_CAPABILITIES);
    assert_eq!(field(&status, "Groups"), "44 1001");
    assert_eq!(field(&status, "Uid"), "1000\t1000\t1000\t1000");
}

#[test]
fn further_process_has_the_default_capabilities() {
    let bundle = Bundle::new(&["/bin/sleep", "100"]);
    bundle.create();
    bundle.ok(&["start", &bundle.id]);
    let status = bundle.ok(&["exec", &bundle.id, "/bin/cat", "/proc/self/status"]);
    assert_default_capabilities(&status);
    assert_eq!(field(&status, "SigBlk"), NONE);
}

#[test]
fn no_new_privileges_is_set_where_asked_for() {
    let mut bundle = Bundle::new(&["/bin/cat", "/proc/self/status"]);
    bundle.config["process"]["noNewPrivileges"] = json!(true);
    assert_eq!(field(&bundle.run_ok(), "NoNewPrivs"), "1");
}

/// Mount points with their attributes and types.
fn mounts(mountinfo: &str) -> BTreeMap<String, (String, String)> {
    mountinfo
        .lines()
        .map(|line| {
            let (mount, file_system) = line.split_once(" - ").expect("a separator");
            let fields: Vec<&str> = mount.split(' ').collect();
            let typ = file_system.split(' ').next().expect("a type");
            (fields[4].to_owned(), (fields[5].to_owned(), typ.to_owned()))
        })
        .collect()
}

#[test]
fn mounts_are_those_of_a_default_container() {
    let mounts = mounts(&Bundle::new(&["/bin/cat", "/proc/self/mountinfo"]).run_ok());
    let expected = [
        ("/proc", "rw,nosuid,nodev,noexec,relatime", "proc"),
        ("/dev", "rw,nosuid", "tmpfs"),
        ("/dev/pts", "rw,nosuid,noexec,relatime", "devpts"),
        ("/dev/mqueue", "rw,nosuid,nodev,noexec,relatime", "mqueue"),
        ("/dev/shm", "rw,nosuid,nodev,noexec,relatime", "tmpfs"),
        ("/sys", "ro,nosuid,nodev,noexec,relatime", "sysfs"),
        ("/proc/bus", "ro,nosuid,nodev,noexec,relatime", "proc"),
        ("/proc/fs", "ro,nosuid,nodev,noexec,relatime", "proc"),
        ("/proc/irq", "ro,nosuid,nodev,noexec,relatime", "proc"),
        ("/proc/sys", "ro,nosuid,nodev,noexec,relatime", "proc"),
        ("/sys/firmware", "ro,relatime", "tmpfs"),
    ];
    for (place, attributes, typ) in expected {
        assert_eq!(mounts.get(place), Some(&(attributes.to_owned(), typ.to_owned())), "{place}");
    }
    let known = |place: &str| {
        let exact = ["/", "/proc/sysrq-trigger"].contains(&place);
        exact || expected.iter().any(|(known, ..)| *known == place)
    };
    for (place, (attributes, typ)) in &mounts {
        let masked = typ == "tmpfs" && place.starts_with("/proc/");
        let masked_later = typ == "tmpfs" && place.starts_with("/sys/devices/");
        let cgroup = place.starts_with("/sys/fs/cgroup") && attributes == "ro,nosuid,nodev,noexec,relatime";
        assert!(known(place) || masked || masked_later || cgroup, "{place} {attributes} {typ}");
    }
}

#[test]
fn masked_paths_have_nothing_and_read_only_paths_stay_as_they_are() {
    let script = "cat /proc/timer_list /proc/keys /proc/interrupts | wc -c; ls /proc/acpi /sys/firmware 2>/dev/null | \
                  grep -v : | grep -c . ; echo x > /proc/sys/kernel/domainname; echo x > /proc/sysrq-trigger; true";
    let output = Bundle::script(script).run();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "0"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("/proc/sys/kernel/domainname: Read-only file system"), "{errors}");
    assert!(
        errors.matches("Read-only file system").count() + errors.matches("nonexistent").count() >= 2,
        "{errors}"
    );
}

#[test]
fn program_inherits_three_descriptors() {
    let text = Bundle::script("ls /proc/$$/fd; true").run_ok();
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[test]
fn devices_are_the_default_ones() {
    let script = "cd /dev; for name in *; do if [ -c $name ] && ! [ -L $name ]; then stat -c '%n %t:%T %a' $name; fi; done";
    let text = Bundle::script(script).run_ok();
    let expected =
        ["full 1:7 666", "null 1:3 666", "random 1:8 666", "tty 5:0 666", "urandom 1:9 666", "zero 1:5 666"];
    let devices: Vec<&str> = text.lines().collect();
    assert_eq!(devices, expected);
}

#[test]
fn device_outside_of_the_rules_cannot_be_opened() {
    let mut bundle = Bundle::script("cat /dev/kmsg0 2>&1; echo; cat /dev/zero0 | true; echo end");
    bundle.config["linux"]["devices"] = json!([
        {"path": "/dev/kmsg0", "type": "c", "major": 1, "minor": 11, "fileMode": 438},
    ]);
    let text = bundle.run_ok();
    assert!(text.contains("Operation not permitted"), "{text}");
}

#[test]
fn hostname_is_private() {
    let before = rustix::system::uname().nodename().to_owned();
    let mut bundle = Bundle::new(&["/bin/hostname"]);
    bundle.config["hostname"] = json!("inside");
    assert_eq!(bundle.run_ok(), "inside\n");
    assert_eq!(rustix::system::uname().nodename().to_owned(), before);
}

#[test]
fn sysctl_of_an_own_namespace_is_set_and_any_other_refused() {
    let mut bundle = Bundle::new(&["/bin/cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
    assert_eq!(bundle.run_ok(), "7\n");
    bundle.config["linux"]["sysctl"] = json!({"kernel.panic": "7"});
    let output = bundle.run();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(r#"sysctl "kernel.panic" is not in a separate kernel namespace"#), "{said}");
}

#[test]
fn swapped_mount_target_stays_inside_of_the_root() {
    let outside = tempfile::tempdir().expect("a directory");
    let mut bundle = Bundle::script("mount | grep -c ' on .*made-inside '");
    symlink(outside.path(), bundle.rootfs().join("evil")).expect("a link");
    bundle.add_mount(json!({"destination": "/evil/made-inside", "type": "tmpfs", "source": "tmpfs"}));
    assert_eq!(bundle.run_ok(), "1\n");
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
    let inside = bundle.rootfs().join(outside.path().strip_prefix("/").expect("absolute"));
    assert!(inside.join("made-inside").is_dir());
}

#[test]
fn link_in_place_of_proc_is_refused() {
    let bundle = Bundle::new(&["/bin/true"]);
    symlink("/etc", bundle.rootfs().join("proc")).expect("a link");
    let output = bundle.run();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("must be mounted on ordinary directory"), "{said}");
}

#[test]
fn mount_over_the_procfs_is_refused() {
    let mut bundle = Bundle::new(&["/bin/true"]);
    bundle.add_mount(json!({"destination": "/proc/self", "type": "tmpfs", "source": "tmpfs"}));
    let said = String::from_utf8_lossy(&bundle.run().stderr).into_owned();
    assert!(said.contains("cannot be mounted because it is inside /proc"), "{said}");
}

#[test]
fn executable_of_the_runtime_cannot_be_written() {
    let bundle = Bundle::new(&["/bin/true"]);
    bundle.create();
    let path = format!("/proc/{}/exe", bundle.state()["pid"]);
    assert!(fs::read_link(&path).is_ok(), "the process waits for its start");
    // As long as it runs it is busy; the mount stays read-only after that.
    fs::OpenOptions::new().write(true).open(&path).expect_err("it runs");
    let flags = rustix::fs::statvfs(&path).expect("its mount").f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{flags:?}");
}

#[test]
fn working_directory_outside_of_the_root_is_not_reached() {
    let mut bundle = Bundle::new(&["/bin/pwd"]);
    bundle.config["process"]["cwd"] = json!("/proc/self/fd/7");
    let output = bundle.run();
    assert!(!output.status.success());
}

#[test]
fn missing_working_directory_is_made() {
    let mut bundle = Bundle::new(&["/bin/pwd"]);
    bundle.config["process"]["cwd"] = json!("/new/place");
    assert_eq!(bundle.run_ok(), "/new/place\n");
}
