//! Where this machine's control groups are mounted.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{CgroupError, file};

/// Which generation of control groups the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One hierarchy for each controller, or few of them.
    V1,
    /// As [`Layout::V1`], and a version 2 hierarchy beside them with the controllers that are left, often none.
    Hybrid,
    /// The one unified hierarchy.
    V2,
}

/// A mounted version 1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, or one `name=…`.
    pub names: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// This process's group, relative to the mount; empty is the mount itself.
    pub own: String,
}

/// The mounted version 2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// This process's group, relative to the mount; empty is the mount itself.
    pub own: String,
    /// The controllers that the mounted root offers.
    pub controllers: Vec<String>,
}

/// All hierarchies of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1, in the order they were mounted.
    pub v1: Vec<Hierarchy>,
    /// Version 2.
    pub unified: Option<Unified>,
}

const V1_CONTROLLERS: [&str; 15] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "debug",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

impl Hierarchies {
    /// The hierarchies of this machine, looked up at the first call.
    ///
    /// # Errors
    /// `/proc` cannot be read, or nothing is mounted. A failure is not remembered.
    pub fn system() -> Result<&'static Self, CgroupError> {
        static SYSTEM: OnceLock<Hierarchies> = OnceLock::new();
        if let Some(found) = SYSTEM.get() {
            return Ok(found);
        }
        let mountinfo = file::read(Path::new("/proc/self/mountinfo"))?;
        let own = file::read(Path::new("/proc/self/cgroup"))?;
        let mut found = Self::parse(&mountinfo, &own)?;
        if let Some(unified) = &mut found.unified {
            unified.load_controllers()?;
        }
        Ok(SYSTEM.get_or_init(|| found))
    }

    /// Reads the texts of `/proc/<pid>/mountinfo` and `/proc/<pid>/cgroup`. The version 2 controllers stay empty.
    ///
    /// # Errors
    /// [`CgroupError::NoHierarchy`] where no control group file system is mounted.
    pub fn parse(mountinfo: &str, own: &str) -> Result<Self, CgroupError> {
        let mut found = Self::default();
        for mount in mountinfo.lines().filter_map(CgroupMount::parse) {
            if mount.version2 {
                found.add_unified(mount, own);
            } else {
                found.add_v1(mount, own);
            }
        }
        if found.v1.is_empty() && found.unified.is_none() {
            return Err(CgroupError::NoHierarchy);
        }
        Ok(found)
    }

    /// Which generation this is.
    pub fn layout(&self) -> Layout {
        match (&self.unified, self.v1.iter().any(Hierarchy::has_controllers)) {
            (None, _) => Layout::V1,
            (Some(_), true) => Layout::Hybrid,
            (Some(_), false) => Layout::V2,
        }
    }

    fn add_unified(&mut self, mount: CgroupMount<'_>, own: &str) {
        if self.unified.is_none() {
            let own = own_group(own, |controllers| controllers.is_empty());
            self.unified =
                Some(Unified { own: below(own, mount.root), mount: mount.point, controllers: Vec::new() });
        }
    }

    fn add_v1(&mut self, mount: CgroupMount<'_>, own: &str) {
        let names: Vec<String> = mount
            .options
            .split(',')
            .filter(|option| V1_CONTROLLERS.contains(option) || option.starts_with("name="))
            .map(str::to_owned)
            .collect();
        // The same hierarchy may be mounted again elsewhere, as in a container's root.
        if names.is_empty() || self.v1.iter().any(|known| known.names.contains(&names[0])) {
            return;
        }
        let own = own_group(own, |controllers| controllers.split(',').any(|name| name == names[0]));
        self.v1.push(Hierarchy { own: below(own, mount.root), names, mount: mount.point });
    }
}

impl Hierarchy {
    /// Whether it carries this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.names.iter().any(|name| name == controller)
    }

    fn has_controllers(&self) -> bool {
        self.names.iter().any(|name| !name.starts_with("name="))
    }
}

impl Unified {
    /// Reads which controllers the mounted root offers.
    pub(super) fn load_controllers(&mut self) -> Result<(), CgroupError> {
        let text = file::read(&self.mount.join("cgroup.controllers"))?;
        self.controllers = text.split_whitespace().map(str::to_owned).collect();
        Ok(())
    }
}

struct CgroupMount<'a> {
    version2: bool,
    root: &'a str,
    point: PathBuf,
    options: &'a str,
}

impl<'a> CgroupMount<'a> {
    /// Reads a line of mountinfo, proc_pid_mountinfo(5), if it is a control group mount.
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let version2 = match after.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let options = after.nth(1).unwrap_or_default();
        let mut before = before.split(' ').skip(3);
        let root = before.next()?;
        let point = PathBuf::from(unescape(before.next()?));
        Some(Self { version2, root, point, options })
    }
}

/// Resolves the octal escapes that the kernel writes for space, tab, newline and backslash.
fn unescape(field: &str) -> String {
    let mut text = field.to_owned();
    for (escape, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        if text.contains(escape) {
            text = text.replace(escape, plain);
        }
    }
    text
}

/// The group of the line of `/proc/<pid>/cgroup` whose controllers fit.
fn own_group(text: &str, fits: impl Fn(&str) -> bool) -> &str {
    text.lines()
        .find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            fits(controllers).then_some(group)
        })
        .unwrap_or("/")
}

/// The group relative to the part of the hierarchy that is mounted; the mount itself where it is outside.
fn below(group: &str, root: &str) -> String {
    let root = root.trim_end_matches('/');
    let relative = group.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let relative = relative.unwrap_or_default().trim_matches('/');
    if relative.split('/').any(|part| part == "..") { String::new() } else { relative.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/my\\040memory rw,relatime - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
35 31 0:29 / /elsewhere/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
36 31 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "4:name=systemd:/user.slice\n3:memory:/a/b\n2:cpu,cpuacct:/\n0::/x\n";

    #[test]
    fn parse_hybrid_finds_each_hierarchy_once() {
        let found = Hierarchies::parse(HYBRID, OWN).unwrap();
        assert_eq!(found.layout(), Layout::Hybrid);
        let names: Vec<_> = found.v1.iter().map(|hierarchy| hierarchy.names.join(",")).collect();
        assert_eq!(names, ["cpu,cpuacct", "memory", "name=systemd"]);
        assert_eq!(found.v1[1].mount, Path::new("/sys/fs/cgroup/my memory"));
        assert_eq!(found.v1[1].own, "a/b");
        assert_eq!(found.unified.unwrap().own, "x");
    }

    #[test]
    fn parse_unified_with_named_v1_is_v2() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n\
                    34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        assert_eq!(Hierarchies::parse(text, "0::/\n").unwrap().layout(), Layout::V2);
    }

    #[test]
    fn parse_without_cgroups_is_refused() {
        let text = "31 23 0:28 / /proc rw - proc proc rw\n";
        assert!(matches!(Hierarchies::parse(text, ""), Err(CgroupError::NoHierarchy)));
    }

    #[test]
    fn own_group_inside_a_container_is_relative_to_the_mounted_root() {
        assert_eq!(below("/docker/abc", "/docker/abc"), "");
        assert_eq!(below("/docker/abc/x", "/docker/abc"), "x");
        assert_eq!(below("/docker/abcd", "/docker/abc"), "");
        assert_eq!(below("/../x", "/"), "");
        assert_eq!(below("/a", "/"), "a");
    }
}
