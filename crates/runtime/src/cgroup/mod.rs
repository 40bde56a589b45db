//! The control groups of a container: made, limited, joined, frozen, emptied, measured and removed.
//!
//! One [`Cgroup`] stands for a container's group in *every* mounted hierarchy, whatever the machine has: version 1 with
//! each controller somewhere, version 2, or both (hybrid). Each controller is used where it is mounted; the version 2
//! group is made wherever that hierarchy exists, because it can be entered at `clone3` and killed at one stroke, even when
//! it carries no controller.
//!
//! A specification's path that begins with `/` is relative to the mounts; any other is relative to this process's own
//! groups. What is to be written is decided by [`plan_v1`] and [`plan_v2`], which touch no file.

mod devices;
mod entrance;
mod error;
mod file;
mod freeze;
mod layout;
mod mounts;
mod oom;
mod plan;
mod plan_v1;
mod plan_v2;
mod stats;
#[cfg(test)]
mod tests;
mod version1;
mod version2;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use oci::runtime::LinuxResources;
use rustix::fs::{Mode as FileMode, OFlags};

pub use entrance::Entrance;
pub use error::CgroupError;
pub use layout::{Hierarchies, Hierarchy, Layout, Unified};
pub use mounts::{CgroupMounts, V1Mount};
pub use oom::OomWatch;
pub use stats::{BlockIoEntry, BlockIoStats, CpuStats, MemoryStats, PidsStats, Stats};

use plan::{Mode, Step};

/// The groups of one container.
#[derive(Debug)]
pub struct Cgroup {
    layout: Layout,
    v1: Vec<Group>,
    unified: Option<UnifiedGroup>,
}

/// A directory in a version 1 hierarchy.
#[derive(Debug)]
struct Group {
    names: Vec<String>,
    mount: PathBuf,
    path: PathBuf,
}

/// A directory in the version 2 hierarchy.
#[derive(Debug)]
struct UnifiedGroup {
    path: PathBuf,
    /// Those of the mounted root; not all of them need be enabled here.
    controllers: Vec<String>,
    descriptor: OwnedFd,
}

impl Cgroup {
    /// Makes the groups of `path` (`linux.cgroupsPath`) in every hierarchy and writes their limits. Devices are denied
    /// except for those of `resources` and the ones that the specification promises to every container.
    ///
    /// # Errors
    /// A group that exists and has processes, a limit this machine cannot enforce, a value the kernel refuses. What was
    /// made is removed again.
    pub fn create(path: &str, resources: Option<&LinuxResources>) -> Result<Self, CgroupError> {
        Self::create_in(Hierarchies::system()?, path, resources)
    }

    /// As [`Cgroup::create`], in given hierarchies.
    pub fn create_in(
        hierarchies: &Hierarchies,
        path: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, CgroupError> {
        let cgroup = Self::make(hierarchies, path)?;
        let none = LinuxResources::default();
        match cgroup.limit(resources.unwrap_or(&none)) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // The refused limit is what the caller must hear of; an empty group left behind is found by the next create.
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    /// The groups of a container that was created before. They need not all exist any more.
    ///
    /// # Errors
    /// A path that no group can have; no hierarchy.
    pub fn open(path: &str) -> Result<Self, CgroupError> {
        Self::open_in(Hierarchies::system()?, path)
    }

    /// As [`Cgroup::open`], in given hierarchies.
    pub fn open_in(hierarchies: &Hierarchies, path: &str) -> Result<Self, CgroupError> {
        let place = Place::parse(path)?;
        let unified = match &hierarchies.unified {
            Some(unified) => UnifiedGroup::open(unified, &place)?,
            None => None,
        };
        let v1 = hierarchies.v1.iter().map(|hierarchy| Group::new(hierarchy, &place)).collect();
        Ok(Self { layout: hierarchies.layout(), v1, unified })
    }

    fn make(hierarchies: &Hierarchies, path: &str) -> Result<Self, CgroupError> {
        let place = Place::parse(path)?;
        let mut cgroup = Self { layout: hierarchies.layout(), v1: Vec::new(), unified: None };
        let made = cgroup.make_groups(hierarchies, &place);
        match made {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    fn make_groups(&mut self, hierarchies: &Hierarchies, place: &Place) -> Result<(), CgroupError> {
        for hierarchy in &hierarchies.v1 {
            let group = Group::new(hierarchy, place);
            group.make()?;
            self.v1.push(group);
        }
        if let Some(unified) = &hierarchies.unified {
            self.unified = Some(UnifiedGroup::make(unified, place)?);
        }
        Ok(())
    }

    fn limit(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        self.write_limits(resources, Mode::Create)?;
        devices::restrict(self, resources)
    }

    /// Changes limits. What `resources` leaves open stays as it is, the list of devices too where it is empty.
    ///
    /// # Errors
    /// A limit this machine cannot enforce, or a value the kernel refuses; values written before stay.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        self.check_memory_before_update(resources)?;
        self.write_limits(resources, Mode::Update)?;
        match resources.devices() {
            Some(rules) if !rules.is_empty() => devices::update(self, resources),
            _ => Ok(()),
        }
    }

    fn write_limits(&self, resources: &LinuxResources, mode: Mode) -> Result<(), CgroupError> {
        let v1 = plan_v1::plan(resources, mode)?;
        let v2 = match &self.unified {
            Some(group) if self.layout == Layout::V2 || !group.controllers.is_empty() => {
                plan_v2::plan(&self.on_v2(resources), mode, &group.quota(mode)?)?
            }
            _ => Vec::new(),
        };
        let on_v2 = |step: &Step| step.settings().all(|setting| self.is_on_v2(setting.controller));
        for step in v1.iter().filter(|step| !on_v2(step)) {
            step.apply(&|controller| self.v1_directory(controller))?;
        }
        for step in v2.iter().filter(|step| on_v2(step)) {
            step.apply(&|_| self.unified.as_ref().map(|group| group.path.as_path()))?;
        }
        self.write_unified(resources)
    }

    /// The part of the resources whose controllers are on version 2.
    fn on_v2(&self, resources: &LinuxResources) -> LinuxResources {
        let mut part = resources.clone();
        if !self.is_on_v2("memory") {
            part.set_memory(None);
        }
        if !self.is_on_v2("cpu") {
            part.set_cpu(None);
        }
        if !self.is_on_v2("io") {
            part.set_block_io(None);
        }
        if self.layout == Layout::Hybrid {
            part.set_network(None);
        }
        part
    }

    /// Whether the controller is to be used on version 2: it is there, or at least nowhere else.
    fn is_on_v2(&self, controller: &str) -> bool {
        let name = if controller == "blkio" { "io" } else { controller };
        let v1_name = if name == "io" { "blkio" } else { name };
        match self.layout {
            Layout::V1 => false,
            Layout::V2 => true,
            Layout::Hybrid => {
                self.v1_directory(v1_name).is_none()
                    && self.unified.as_ref().is_some_and(|group| group.has(name))
            }
        }
    }

    fn write_unified(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let files = plan_v2::plan_unified(resources)?;
        let Some(group) = &self.unified else {
            return match files.first() {
                None => Ok(()),
                Some(_) => Err(CgroupError::unsupported("unified", "this machine has no cgroup version 2")),
            };
        };
        files.iter().try_for_each(|(name, value)| file::write(&group.path.join(name), value))
    }

    /// Refuses a memory limit below what is used now, where the specification asks for that check.
    fn check_memory_before_update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let Some(memory) = resources.memory() else { return Ok(()) };
        let limit = memory.limit().filter(|limit| *limit > 0 && memory.check_before_update() == Some(true));
        let Some(limit) = limit else { return Ok(()) };
        let used = self.memory_usage()?;
        if used > limit.unsigned_abs() {
            return Err(CgroupError::Invalid {
                setting: "memory.limit",
                reason: format!("{limit} is below the {used} bytes in use"),
            });
        }
        Ok(())
    }

    /// Which generation of control groups these are in.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The version 2 group, for `CLONE_INTO_CGROUP`, wherever that hierarchy is mounted.
    pub fn join_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|group| group.descriptor.as_fd())
    }

    /// Moves a process (0 is the calling one) into all groups.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        let value = pid.to_string();
        self.v1.iter().try_for_each(|group| file::write(&group.path.join("cgroup.procs"), &value))?;
        match &self.unified {
            Some(group) => file::write(&group.path.join("cgroup.procs"), &value),
            None => Ok(()),
        }
    }

    /// The ways into the version 1 groups, for a child that is cloned into [`Cgroup::join_descriptor`] and may have no
    /// right any more to open them itself.
    ///
    /// # Errors
    /// A group that is gone.
    pub fn entrances(&self) -> Result<Vec<Entrance>, CgroupError> {
        self.v1.iter().map(|group| Entrance::open(&group.path)).collect()
    }

    /// The processes in the container's group and all groups below it, as this process's PID namespace numbers them.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        file::processes(self.census_path())
    }

    /// Sends `SIGKILL` to every process of the container. A fork bomb cannot outrun it: the groups are killed at one
    /// stroke (`cgroup.kill`), or while they are frozen. Frozen processes are thawed, so that they die.
    ///
    /// # Errors
    /// Processes that cannot be listed or killed. It does not wait for their end.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        freeze::kill_all(self)
    }

    /// Freezes every process of the container, and returns when they stand still.
    ///
    /// # Errors
    /// [`CgroupError::FreezeTimeout`] where they do not within ten seconds; they are thawed then.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        freeze::freeze(self)
    }

    /// Lets frozen processes run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        freeze::thaw(self)
    }

    /// Whether the container is frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        freeze::is_frozen(self)
    }

    /// A descriptor that polls readable when the kernel runs out of memory for the container.
    pub fn oom_events(&self) -> Result<OomWatch, CgroupError> {
        OomWatch::new(self)
    }

    /// How many processes the kernel has killed for want of memory.
    pub fn oom_kill_count(&self) -> Result<u64, CgroupError> {
        oom::kill_count(self)
    }

    /// What the container uses.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        stats::read(self)
    }

    /// What the runtime mounts so that the container sees its own groups at `/sys/fs/cgroup`.
    pub fn mounts(&self) -> CgroupMounts {
        mounts::of(self)
    }

    /// Removes all groups and the groups below them. Processes that are just dying are waited for, five seconds at most.
    ///
    /// # Errors
    /// The first group that could not be removed; the others are.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let groups = self.v1.iter().map(|group| &group.path);
        let mut first = Ok(());
        for path in groups.chain(self.unified.as_ref().map(|group| &group.path)) {
            first = first.and(remove_tree(path));
        }
        first
    }

    /// The version 1 directory of a controller.
    fn v1_directory(&self, controller: &str) -> Option<&Path> {
        self.v1.iter().find(|group| group.has(controller)).map(|group| group.path.as_path())
    }

    /// The group whose list of processes is the container's.
    fn census_path(&self) -> &Path {
        match &self.unified {
            Some(group) => &group.path,
            None => self.v1_census_path().expect("there is a hierarchy of either version"),
        }
    }

    fn v1_census_path(&self) -> Option<&Path> {
        ["freezer", "pids", "devices"]
            .iter()
            .find_map(|controller| self.v1_directory(controller))
            .or_else(|| self.v1.first().map(|group| group.path.as_path()))
    }
}

/// A path of the specification, checked.
#[derive(Debug)]
struct Place {
    absolute: bool,
    relative: String,
}

impl Place {
    fn parse(path: &str) -> Result<Self, CgroupError> {
        let invalid = |reason| Err(CgroupError::InvalidPath { path: path.to_owned(), reason });
        if path.contains(['\0', '\n']) {
            return invalid("it contains a NUL or a line end");
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.is_empty() {
            return invalid("it names no group");
        }
        if parts.contains(&"..") {
            return invalid("it contains \"..\"");
        }
        Ok(Self { absolute: path.starts_with('/'), relative: parts.join("/") })
    }

    /// The directory in a hierarchy, given this process's own group there.
    fn directory(&self, mount: &Path, own: &str) -> PathBuf {
        if self.absolute { mount.join(&self.relative) } else { mount.join(own).join(&self.relative) }
    }
}

/// Fails if the group, which was there before, is in use.
fn require_empty(path: &Path) -> Result<(), CgroupError> {
    match file::processes(path)?.len() {
        0 => Ok(()),
        count => Err(CgroupError::NotEmpty { path: path.to_owned(), count }),
    }
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, FileMode::empty())
}

fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const LONGEST_PAUSE: Duration = Duration::from_millis(20);
    let mut pause = Duration::from_micros(100);
    let mut waited = Duration::ZERO;
    loop {
        let error = match try_remove_tree(path) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let busy = error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
        if !busy || waited >= PATIENCE {
            return Err(error);
        }
        sleep(pause);
        waited += pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn try_remove_tree(path: &Path) -> Result<(), CgroupError> {
    use rustix::io::Errno;
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Sub-groups read as EBUSY too; NOTEMPTY is what a directory of another file system says.
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(error) => return Err(CgroupError::io("remove", path, error)),
    }
    for group in file::subgroups(path)? {
        try_remove_tree(&group)?;
    }
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(CgroupError::io("remove", path, error)),
    }
}
