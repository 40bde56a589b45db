//! Control groups on the machine's own hierarchies. Needs root, and whatever mix of versions the machine has.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oci::runtime::LinuxResources;
use runtime::cgroup::{Cgroup, CgroupError, Hierarchies, Layout};

/// A group of this test alone, emptied and removed at its end.
struct Scratch {
    cgroup: Cgroup,
    path: String,
}

impl Scratch {
    fn new(resources: &str) -> Self {
        let path = unique_path();
        let resources: LinuxResources = serde_json::from_str(resources).unwrap();
        Self { cgroup: Cgroup::create(&path, Some(&resources)).unwrap(), path }
    }

    /// The version 1 directory of a controller, where the machine has it on version 1.
    fn v1(&self, controller: &str) -> Option<PathBuf> {
        let hierarchies = Hierarchies::system().unwrap();
        let hierarchy = hierarchies.v1.iter().find(|hierarchy| hierarchy.has(controller))?;
        Some(hierarchy.mount.join(&self.path[1..]))
    }

    /// What the file of the controller's version says.
    fn value(&self, controller: &str, v1: &str, v2: &str) -> String {
        let path = match self.v1(controller) {
            Some(directory) => directory.join(v1),
            None => self.unified().join(v2),
        };
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn unified(&self) -> PathBuf {
        Hierarchies::system().unwrap().unified.as_ref().unwrap().mount.join(&self.path[1..])
    }

    /// Every directory of the group.
    fn directories(&self) -> Vec<PathBuf> {
        let hierarchies = Hierarchies::system().unwrap();
        let v1 = hierarchies.v1.iter().map(|hierarchy| &hierarchy.mount);
        v1.chain(hierarchies.unified.iter().map(|unified| &unified.mount))
            .map(|mount| mount.join(&self.path[1..]))
            .collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let killed = self.cgroup.kill_all();
        let removed = self.cgroup.remove();
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
        }
        // The parent that the tests of this process share goes with the last of them.
        for directory in self.directories() {
            let _ = std::fs::remove_dir(directory.parent().unwrap());
        }
    }
}

fn unique_path() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("/corten-test-{}/{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn shell(script: &str) -> Child {
    Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::null()).spawn().unwrap()
}

/// A child that runs the script once it is in the group.
fn shell_in(scratch: &Scratch, script: &str) -> Child {
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("read line; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    scratch.cgroup.add(child.id().cast_signed()).unwrap();
    drop(child.stdin.take());
    child
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited ten seconds for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn created_group_is_in_every_hierarchy_and_is_removed() {
    let scratch = Scratch::new("{}");
    let directories = scratch.directories();
    assert!(directories.iter().all(|directory| directory.is_dir()), "{directories:?}");
    let mut child = shell_in(&scratch, "exec sleep 100");
    let pid = child.id().cast_signed();
    assert_eq!(scratch.cgroup.pids().unwrap(), [pid]);
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let elsewhere: Vec<_> = groups.lines().filter(|line| !line.ends_with(&scratch.path)).collect();
    assert!(elsewhere.is_empty(), "the process is still in {elsewhere:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(scratch);
    assert!(!directories.iter().any(|directory| directory.exists()));
}

#[test]
fn thread_that_enters_is_in_every_version_1_group() {
    let scratch = Scratch::new("{}");
    let entrances = scratch.cgroup.entrances().unwrap();
    let seen = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            entrances.iter().for_each(|entrance| entrance.enter().unwrap());
            std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
        });
        thread.join().unwrap()
    });
    let entered =
        seen.lines().filter(|line| !line.starts_with("0::") && line.ends_with(&scratch.path)).count();
    assert_eq!(entered, entrances.len(), "{seen}");
    assert_eq!(seen.lines().filter(|line| !line.starts_with("0::")).count(), entrances.len(), "{seen}");
}

#[test]
fn limits_are_written_where_the_controllers_are() {
    let scratch = Scratch::new(
        r#"{"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"},
            "memory":{"limit":33554432,"swap":67108864,"reservation":16777216},"pids":{"limit":17}}"#,
    );
    assert_eq!(scratch.value("cpu", "cpu.shares", "cpu.weight"), if_v1(&scratch, "cpu", "512", "59"));
    let quota = scratch.value("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota, if_v1(&scratch, "cpu", "50000", "50000 100000"));
    assert_eq!(scratch.value("cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(scratch.value("memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    let swap = scratch.value("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    assert_eq!(swap, if_v1(&scratch, "memory", "67108864", "33554432"));
    assert_eq!(scratch.value("memory", "memory.soft_limit_in_bytes", "memory.low"), "16777216");
    assert_eq!(scratch.value("pids", "pids.max", "pids.max"), "17");
    let stats = scratch.cgroup.stats().unwrap();
    assert_eq!(stats.memory.limit, 33_554_432);
    assert_eq!(stats.pids.limit, Some(17));
}

fn if_v1<'a>(scratch: &Scratch, controller: &str, v1: &'a str, v2: &'a str) -> &'a str {
    if scratch.v1(controller).is_some() { v1 } else { v2 }
}

#[test]
fn update_raises_and_lowers_memory_and_swap_together() {
    let scratch = Scratch::new(r#"{"memory":{"limit":33554432,"swap":33554432}}"#);
    for (limit, swap) in [(134_217_728, 268_435_456), (16_777_216, 16_777_216), (67_108_864, 67_108_864)] {
        let resources = format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#);
        scratch.cgroup.update(&serde_json::from_str(&resources).unwrap()).unwrap();
        assert_eq!(scratch.value("memory", "memory.limit_in_bytes", "memory.max"), limit.to_string());
    }
    scratch.cgroup.update(&serde_json::from_str(r#"{"memory":{"limit":-1}}"#).unwrap()).unwrap();
    assert_eq!(scratch.cgroup.stats().unwrap().memory.limit, u64::MAX);
}

#[test]
fn update_below_usage_is_refused_where_asked_for() {
    let scratch = Scratch::new("{}");
    let mut child = shell_in(&scratch, "x=$(head -c 8388608 /dev/zero | tr '\\0' x); sleep 100");
    wait_until("8 MiB in use", || scratch.cgroup.stats().unwrap().memory.usage > 8_388_608);
    let resources = r#"{"memory":{"limit":4194304,"checkBeforeUpdate":true}}"#;
    let error = scratch.cgroup.update(&serde_json::from_str(resources).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("memory.limit: 4194304 is below"), "{error}");
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn create_where_a_process_lives_is_refused() {
    let scratch = Scratch::new("{}");
    let mut child = shell_in(&scratch, "exec sleep 100");
    let error = Cgroup::create(&scratch.path, None).unwrap_err();
    assert!(error.to_string().contains("is not empty: 1 process(es) found"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    Cgroup::create(&scratch.path, None).unwrap();
}

#[test]
fn create_with_a_bad_value_leaves_nothing() {
    let path = unique_path();
    let resources = serde_json::from_str(r#"{"cpu":{"cpus":"99999"}}"#).unwrap();
    let error = Cgroup::create(&path, Some(&resources)).unwrap_err();
    assert!(matches!(error, CgroupError::Write { .. }), "{error}");
    let reopened = Scratch { cgroup: Cgroup::open(&path).unwrap(), path };
    assert!(!reopened.directories().iter().any(|directory| directory.exists()));
}

#[test]
fn frozen_processes_stand_still_until_thawed() {
    let scratch = Scratch::new("{}");
    let ticks = tempfile::NamedTempFile::new().unwrap();
    let script = format!("while :; do echo >> {}; done", ticks.path().display());
    let mut child = shell_in(&scratch, &script);
    let size = || std::fs::metadata(ticks.path()).unwrap().len();
    wait_until("the first tick", || size() > 0);
    scratch.cgroup.freeze().unwrap();
    assert!(scratch.cgroup.is_frozen().unwrap());
    let frozen_at = size();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(size(), frozen_at);
    scratch.cgroup.thaw().unwrap();
    assert!(!scratch.cgroup.is_frozen().unwrap());
    wait_until("a tick after the thaw", || size() > frozen_at);
    scratch.cgroup.freeze().unwrap();
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
    wait_until("the group to be empty", || scratch.cgroup.pids().unwrap().is_empty());
}

#[test]
fn fork_bomb_is_killed_whole() {
    let scratch = Scratch::new(r#"{"pids":{"limit":300}}"#);
    let mut child = shell_in(&scratch, "f() { f & f & sleep 3; }; while :; do f; done");
    wait_until("the bomb to go off", || scratch.cgroup.pids().unwrap().len() > 100);
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
    wait_until("the group to be empty", || scratch.cgroup.pids().unwrap().is_empty());
}

#[test]
fn processes_of_subgroups_are_listed_killed_and_removed() {
    let scratch = Scratch::new("{}");
    let mut child = shell("exec sleep 100");
    for directory in scratch.directories() {
        let below = directory.join("below/further");
        std::fs::create_dir_all(&below).unwrap();
        if below.join("cpuset.cpus").exists() {
            // These groups were made behind the library's back, and a version 1 cpuset starts empty.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = std::fs::read_to_string(directory.join(file)).unwrap();
                std::fs::write(directory.join("below").join(file), &value).unwrap();
                std::fs::write(below.join(file), &value).unwrap();
            }
        }
        std::fs::write(below.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    assert_eq!(scratch.cgroup.pids().unwrap(), [child.id().cast_signed()]);
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn process_that_left_the_unified_group_is_killed_too() {
    let scratch = Scratch::new("{}");
    if scratch.cgroup.layout() != Layout::Hybrid {
        return;
    }
    let mut child = shell_in(&scratch, "exec sleep 100");
    let unified = scratch.unified();
    let outside = unified.ancestors().nth(2).unwrap();
    std::fs::write(outside.join("cgroup.procs"), child.id().to_string()).unwrap();
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
}

#[test]
fn want_of_memory_is_reported_and_counted() {
    let scratch = Scratch::new(r#"{"memory":{"limit":8388608,"swap":8388608}}"#);
    let mut watch = scratch.cgroup.oom_events().unwrap();
    assert!(!watch.drain().unwrap());
    let mut child = shell_in(&scratch, "x=$(head -c 67108864 /dev/zero | tr '\\0' x)");
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(watch.as_fd(), rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).unwrap(), 1);
    wait_until("an event about memory", || watch.drain().unwrap());
    child.wait().unwrap();
    assert_eq!(scratch.cgroup.oom_kill_count().unwrap(), 1);
    assert!(!watch.drain().unwrap(), "one kill is told once");
}

#[test]
fn removal_of_a_group_is_no_want_of_memory() {
    let scratch = Scratch::new("{}");
    let mut watch = scratch.cgroup.oom_events().unwrap();
    scratch.cgroup.remove().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(!watch.drain().unwrap());
}

#[test]
fn devices_are_denied_unless_promised_or_allowed() {
    let scratch = Scratch::new(
        r#"{"devices":[{"allow":false},{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]}"#,
    );
    let directory = tempfile::tempdir().unwrap();
    let node = |name: &str, minor: &str, major: &str| {
        let path = directory.path().join(name);
        let made = Command::new("mknod").arg(&path).args(["c", major, minor]).status().unwrap();
        assert!(made.success());
        path
    };
    let kmsg = node("kmsg", "11", "1");
    let null = node("null", "3", "1");
    let open = |path: &Path| {
        shell_in(&scratch, &format!("cat {} < /dev/null > /dev/null & wait $!; true < {0}", path.display()))
            .wait()
            .unwrap()
            .success()
    };
    assert!(open(&null));
    assert!(!open(&kmsg));
    let allow =
        r#"{"devices":[{"allow":false},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    scratch.cgroup.update(&serde_json::from_str(allow).unwrap()).unwrap();
    let read =
        |path: &Path| shell_in(&scratch, &format!("true < {}", path.display())).wait().unwrap().success();
    assert!(read(&kmsg));
    assert!(read(&null));
    scratch.cgroup.update(&serde_json::from_str(r#"{"devices":[{"allow":false}]}"#).unwrap()).unwrap();
    assert!(!read(&kmsg));
    assert!(read(&null));
}

#[test]
fn mounts_name_every_hierarchy_once() {
    let scratch = Scratch::new("{}");
    let mounts = scratch.cgroup.mounts();
    let hierarchies = Hierarchies::system().unwrap();
    assert_eq!(mounts.v1.len(), hierarchies.v1.len());
    assert_eq!(mounts.unified.is_some(), hierarchies.unified.is_some());
    assert!(mounts.v1.iter().all(|mount| mount.source.is_dir()));
}

/// This machine's version 2 hierarchy as if there were no other. On a hybrid machine it may have no controllers, but it
/// freezes, kills, lists, and runs device programs.
fn unified_only() -> Hierarchies {
    let unified = Hierarchies::system().unwrap().unified.clone().expect("a version 2 hierarchy is mounted");
    Hierarchies { v1: Vec::new(), unified: Some(unified) }
}

fn unified_scratch(resources: &str) -> Scratch {
    let path = unique_path();
    let resources: LinuxResources = serde_json::from_str(resources).unwrap();
    Scratch { cgroup: Cgroup::create_in(&unified_only(), &path, Some(&resources)).unwrap(), path }
}

#[test]
fn version2_group_alone_is_joined_frozen_killed_and_removed() {
    let scratch = unified_scratch("{}");
    assert_eq!(scratch.cgroup.layout(), Layout::V2);
    assert!(scratch.cgroup.join_descriptor().is_some());
    let mut child = shell_in(&scratch, "sleep 100 & sleep 100");
    wait_until("its child to run", || scratch.cgroup.pids().unwrap().len() > 1);
    scratch.cgroup.freeze().unwrap();
    assert!(scratch.cgroup.is_frozen().unwrap());
    scratch.cgroup.kill_all().unwrap();
    child.wait().unwrap();
    let group = scratch.unified();
    drop(scratch);
    assert!(!group.exists());
}

#[test]
fn version2_devices_are_decided_by_a_program() {
    let scratch = unified_scratch(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#);
    let directory = tempfile::tempdir().unwrap();
    let kmsg = directory.path().join("kmsg");
    let made = Command::new("mknod").arg(&kmsg).args(["c", "1", "11"]).status().unwrap();
    assert!(made.success());
    let read =
        |path: &Path| shell_in(&scratch, &format!("true < {}", path.display())).wait().unwrap().success();
    let write =
        |path: &Path| shell_in(&scratch, &format!("true >> {}", path.display())).wait().unwrap().success();
    assert!(read(Path::new("/dev/null")) && write(Path::new("/dev/null")));
    assert!(!read(&kmsg) && !write(&kmsg));
    let update = |rules: &str| {
        let resources = format!(r#"{{"devices":[{{"allow":false}},{rules}]}}"#);
        scratch.cgroup.update(&serde_json::from_str(&resources).unwrap()).unwrap();
    };
    update(r#"{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}"#);
    assert!(read(&kmsg) && !write(&kmsg));
    assert!(read(Path::new("/dev/null")));
    update(r#"{"allow":true,"type":"c","major":1,"access":"rw"}"#);
    assert!(read(&kmsg) && write(&kmsg));
    update(r#"{"allow":true,"access":"rwm"}"#);
    assert!(read(&kmsg) && write(&kmsg));
    update(r#"{"allow":true,"type":"b","major":1,"access":"rwm"}"#);
    assert!(!read(&kmsg) && read(Path::new("/dev/null")));
}

#[test]
fn version2_limit_without_its_controller_is_refused_by_name() {
    let hierarchies = unified_only();
    if hierarchies.unified.as_ref().unwrap().controllers.iter().any(|name| name == "memory") {
        return;
    }
    let path = unique_path();
    let resources = serde_json::from_str(r#"{"memory":{"limit":33554432}}"#).unwrap();
    let error = Cgroup::create_in(&hierarchies, &path, Some(&resources)).unwrap_err();
    assert!(error.to_string().starts_with("memory.max is not supported"), "{error}");
    let parent = hierarchies.unified.unwrap().mount.join(&path[1..]);
    assert!(!parent.exists());
    let _ = std::fs::remove_dir(parent.parent().unwrap());
}
