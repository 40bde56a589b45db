//! Groups in directory trees that look like control group file systems.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;

/// A version 2 tree with the group `/corten/x`, whose files are there already, as plain ones.
struct Fake {
    root: TempDir,
    hierarchies: Hierarchies,
}

const CONTROLLERS: &str = "cpuset cpu io memory hugetlb pids rdma";
const FILES: [&str; 18] = [
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "hugetlb.2MB.max",
    "hugetlb.2MB.rsvd.max",
    "io.max",
    "io.weight",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.oom.group",
    "memory.swap.max",
    "pids.max",
    "rdma.max",
    "memory.current",
];
const ALL_DEVICES: &str = r#""devices":[{"allow":true,"access":"rwm"}]"#;

impl Fake {
    fn version2(files: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let leaf = root.path().join("corten/x");
        std::fs::create_dir_all(&leaf).unwrap();
        for group in [root.path(), leaf.parent().unwrap()] {
            std::fs::write(group.join("cgroup.controllers"), CONTROLLERS).unwrap();
            std::fs::write(group.join("cgroup.subtree_control"), "").unwrap();
        }
        for name in files.iter().chain(&["cgroup.controllers", "cgroup.procs"]) {
            std::fs::write(leaf.join(name), "").unwrap();
        }
        let controllers = CONTROLLERS.split(' ').map(str::to_owned).collect();
        let unified = Unified { mount: root.path().to_owned(), own: String::new(), controllers };
        Self { hierarchies: Hierarchies { v1: Vec::new(), unified: Some(unified) }, root }
    }

    fn create(&self, json: &str) -> Result<Cgroup, CgroupError> {
        let resources = serde_json::from_str(&format!("{{{ALL_DEVICES},{json}}}")).unwrap();
        Cgroup::create_in(&self.hierarchies, "/corten/x", Some(&resources))
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.path().join(path)).unwrap()
    }

    /// The group's files that were written.
    fn written(&self) -> BTreeMap<&'static str, String> {
        let contents = FILES.into_iter().map(|name| (name, self.read(&format!("corten/x/{name}"))));
        contents.filter(|(_, text)| !text.is_empty()).collect()
    }
}

#[test]
fn version2_limits_are_written_to_their_files() {
    let fake = Fake::version2(&FILES);
    fake.create(
        r#""cpu":{"shares":512,"quota":50000,"period":200000,"cpus":"0-1","mems":"0"},
           "memory":{"limit":1000,"swap":2500,"reservation":500},
           "pids":{"limit":7},
           "blockIO":{"weight":100,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]},
           "hugepageLimits":[{"pageSize":"2MB","limit":9}],
           "unified":{"memory.high":"900","memory.oom.group":"1"}"#,
    )
    .unwrap();
    let expected = [
        ("cpu.max", "50000 200000"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("hugetlb.2MB.max", "9"),
        ("hugetlb.2MB.rsvd.max", "9"),
        ("io.max", "8:0 rbps=1048576"),
        ("io.weight", "default 910"),
        ("memory.high", "900"),
        ("memory.low", "500"),
        ("memory.max", "1000"),
        ("memory.oom.group", "1"),
        ("memory.swap.max", "1500"),
        ("pids.max", "7"),
    ];
    assert_eq!(fake.written(), expected.map(|(name, value)| (name, value.to_owned())).into());
}

#[test]
fn version2_controllers_are_enabled_from_the_root_down() {
    let fake = Fake::version2(&FILES);
    fake.create(r#""pids":{"limit":-1}"#).unwrap();
    let enabled = "+cpuset +cpu +io +memory +hugetlb +pids +rdma";
    assert_eq!(fake.read("cgroup.subtree_control"), enabled);
    assert_eq!(fake.read("corten/cgroup.subtree_control"), enabled);
    assert!(fake.written().is_empty());
}

#[test]
fn version2_controllers_that_are_enabled_are_left_alone() {
    let fake = Fake::version2(&FILES);
    std::fs::write(fake.root.path().join("corten/x/cgroup.controllers"), CONTROLLERS).unwrap();
    fake.create(r#""pids":{"limit":3}"#).unwrap();
    assert_eq!(fake.read("cgroup.subtree_control"), "");
}

#[test]
fn version2_update_of_the_period_keeps_the_quota() {
    let fake = Fake::version2(&FILES);
    let cgroup = fake.create(r#""cpu":{"quota":30000}"#).unwrap();
    std::fs::write(fake.root.path().join("corten/x/cpu.max"), "30000 100000\n").unwrap();
    cgroup.update(&serde_json::from_str(r#"{"cpu":{"period":50000}}"#).unwrap()).unwrap();
    assert_eq!(fake.read("corten/x/cpu.max"), "30000 50000");
}

#[test]
fn version2_without_a_file_refuses_the_limit_by_name() {
    let fake = Fake::version2(&["pids.max"]);
    let error = fake.create(r#""memory":{"limit":1000}"#).unwrap_err();
    assert!(error.to_string().starts_with("memory.max is not supported"), "{error}");
}

#[test]
fn hybrid_uses_each_controller_where_it_is() {
    let mut fake = Fake::version2(&FILES);
    let v1 = tempfile::tempdir().unwrap();
    let leaf = v1.path().join("corten/x");
    std::fs::create_dir_all(&leaf).unwrap();
    for name in ["cgroup.procs", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] {
        std::fs::write(leaf.join(name), "").unwrap();
    }
    fake.hierarchies.v1.push(Hierarchy {
        names: vec!["memory".to_owned()],
        mount: v1.path().to_owned(),
        own: String::new(),
    });
    fake.create(r#""memory":{"limit":1000,"swappiness":18446744073709551615},"pids":{"limit":5}"#).unwrap();
    assert_eq!(std::fs::read_to_string(leaf.join("memory.limit_in_bytes")).unwrap(), "1000");
    assert_eq!(fake.written(), [("pids.max", "5".to_owned())].into());
}

#[test]
fn version1_mounts_keep_names_and_link_controllers() {
    let names = |text: &str| text.split(',').map(str::to_owned).collect();
    let hierarchy =
        |text: &str, mount: &str| Hierarchy { names: names(text), mount: mount.into(), own: String::new() };
    let hierarchies = Hierarchies {
        v1: vec![hierarchy("cpu,cpuacct", "/c/cpu,cpuacct"), hierarchy("name=systemd", "/c/systemd")],
        unified: None,
    };
    let mounts = Cgroup::open_in(&hierarchies, "/corten/x").unwrap().mounts();
    assert_eq!(mounts.v1[0].directory, "cpu,cpuacct");
    assert_eq!(mounts.v1[0].links, ["cpu", "cpuacct"]);
    assert_eq!(mounts.v1[0].source, Path::new("/c/cpu,cpuacct/corten/x"));
    assert!(mounts.v1[1].links.is_empty());
}

#[test]
fn place_keeps_absolute_paths_below_the_mount() {
    let place = Place::parse("/corten//abc/./").unwrap();
    assert_eq!(place.directory(Path::new("/m"), "own"), Path::new("/m/corten/abc"));
    let place = Place::parse("corten/abc").unwrap();
    assert_eq!(place.directory(Path::new("/m"), "own"), Path::new("/m/own/corten/abc"));
}

#[test]
fn place_outside_or_nowhere_is_refused() {
    for path in ["", "/", "/a/../..", "..", ".", "/a\0b", "/a\nb"] {
        assert!(Place::parse(path).is_err(), "{path:?}");
    }
}
