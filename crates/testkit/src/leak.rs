//! Finding what an engine has left on the machine.
//!
//! Everything is told apart by names that only one engine under test has: its temporary directory, its bridge and its
//! cgroup. What other engines and other tests do at the same time is not seen.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::Command;

/// One thing that is still there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leak {
    /// A mount in the host's mount namespace.
    Mount(PathBuf),
    /// A process, by its command line.
    Process(i32, String),
    /// A cgroup.
    Cgroup(PathBuf),
    /// A network interface on the engine's bridge.
    Interface(String),
    /// A container's directory.
    Directory(PathBuf),
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Process(pid, command) => write!(f, "process {pid}: {command}"),
            Self::Cgroup(path) => write!(f, "cgroup {}", path.display()),
            Self::Interface(name) => write!(f, "interface {name}"),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
        }
    }
}

/// What tells one engine's things from others'.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The directory that nothing else uses; its name occurs in every path of the engine.
    pub directory: PathBuf,
    /// The engine's data root.
    pub data_root: PathBuf,
    /// The engine's exec root.
    pub exec_root: PathBuf,
    /// The engine's bridge.
    pub bridge: String,
    /// The cgroup above those of the containers, with a leading slash.
    pub cgroup_parent: String,
    /// The engine's own process, which is no leak.
    pub engine: Option<u32>,
}

impl Traces {
    /// Everything there is now.
    pub fn find(&self) -> Vec<Leak> {
        let mut leaks = self.processes();
        leaks.extend(self.mounts().into_iter().map(Leak::Mount));
        leaks.extend(self.cgroups().into_iter().map(Leak::Cgroup));
        leaks.extend(entries(&self.bridge_ports()).iter().map(|path| Leak::Interface(file_name(path))));
        leaks.extend(self.container_directories().into_iter().map(Leak::Directory));
        leaks
    }

    /// Removes everything, with the bridge, its rules and the parent cgroup, so that a failed test leaves a clean machine.
    pub fn remove(&self) {
        for leak in self.processes() {
            if let Leak::Process(pid, _) = leak
                && let Some(pid) = Pid::from_raw(pid)
            {
                // It may have ended since it was listed; likewise below.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for path in self.mounts().iter().rev() {
            let _ = unmount(path, UnmountFlags::DETACH);
        }
        if Path::new("/sys/class/net").join(&self.bridge).exists() {
            Command::new("ip").args(["link", "delete", &self.bridge]).run();
        }
        // An engine's rules outlive it; one that never came up has none.
        Command::new("nft").args(["delete", "table", "inet", &format!("corten-{}", self.bridge)]).run();
        crate::eventually(std::time::Duration::from_secs(2), || {
            self.cgroups().iter().for_each(|path| drop(fs::remove_dir(path)));
            self.cgroup_parents().iter().for_each(|path| drop(fs::remove_dir(path)));
            self.cgroup_parents().is_empty().then_some(())
        });
    }

    /// The part of every path by which the engine is known, whatever file system the path is seen from.
    fn mark(&self) -> String {
        file_name(&self.directory)
    }

    fn processes(&self) -> Vec<Leak> {
        let mark = self.mark();
        let own_namespace = fs::read_link("/proc/self/ns/mnt").ok();
        let mut found = Vec::new();
        for path in entries(Path::new("/proc")) {
            let Ok(pid) = file_name(&path).parse::<i32>() else { continue };
            if pid.unsigned_abs() == std::process::id() || Some(pid.unsigned_abs()) == self.engine {
                continue;
            }
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
            let foreign_namespace = fs::read_link(path.join("ns/mnt")).ok() != own_namespace;
            if command.contains(&mark)
                || has_open_file(&path, &mark)
                || foreign_namespace && is_rooted(&path, &mark)
            {
                found.push(Leak::Process(pid, command));
            }
        }
        found
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let mark = self.mark();
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        // A test may have mounted the data root itself.
        points
            .map(PathBuf::from)
            .filter(|path| path.to_string_lossy().contains(&mark) && *path != self.data_root)
            .collect()
    }

    /// The cgroups of containers, the innermost first.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for parent in self.cgroup_parents() {
            collect_directories(&parent, &mut found);
        }
        found
    }

    fn cgroup_parents(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let name = self.cgroup_parent.trim_start_matches('/');
        let hierarchies: BTreeSet<PathBuf> =
            entries(top).into_iter().filter_map(|path| path.canonicalize().ok()).collect();
        let all = hierarchies.into_iter().chain([top.to_owned()]);
        all.map(|hierarchy| hierarchy.join(name)).filter(|path| path.is_dir()).collect()
    }

    fn bridge_ports(&self) -> PathBuf {
        Path::new("/sys/class/net").join(&self.bridge).join("brif")
    }

    fn container_directories(&self) -> Vec<PathBuf> {
        let parents =
            [self.data_root.join("containers"), self.exec_root.join("shim"), self.exec_root.join("runtime")];
        let all = parents.iter().flat_map(|parent| entries(parent));
        all.filter(|path| is_id(&file_name(path))).collect()
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a process has a file open below the marked directory.
fn has_open_file(process: &Path, mark: &str) -> bool {
    let open = entries(&process.join("fd"));
    open.iter().any(|path| fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains(mark)))
}

/// Whether a process lives in a container of the engine: its root, or the files every container has from its engine,
/// come from the marked directory. Other mounts do not count: a new namespace starts with a copy of the host's.
fn is_rooted(process: &Path, mark: &str) -> bool {
    let table = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
    let from_engine = ["/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
    table
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|point| from_engine.contains(&point)))
        .any(|line| line.contains(mark))
}

fn collect_directories(parent: &Path, found: &mut Vec<PathBuf>) {
    for path in entries(parent).into_iter().filter(|path| path.is_dir()) {
        collect_directories(&path, found);
        found.push(path);
    }
}

/// What a directory contains; nothing where it does not exist.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait::eventually;

    fn traces(directory: &Path) -> Traces {
        Traces {
            directory: directory.to_owned(),
            data_root: directory.join("lib"),
            exec_root: directory.join("run"),
            bridge: "ctestnone".to_owned(),
            cgroup_parent: "/ctestnone".to_owned(),
            engine: None,
        }
    }

    #[test]
    fn process_with_the_directory_in_its_command_line_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line", &directory.path().display().to_string()])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // A process has its command line a moment after it has become its program.
        let found = eventually(Duration::from_secs(5), || {
            Some(traces(directory.path()).find()).filter(|found| !found.is_empty())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found.unwrap_or_default();
        assert!(
            matches!(found.as_slice(), [Leak::Process(pid, _)] if *pid == child.id() as i32),
            "{found:?}"
        );
    }

    #[test]
    fn container_directory_is_found_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let leaked = directory.path().join("lib/containers").join("a".repeat(64));
        fs::create_dir_all(&leaked).unwrap();
        fs::create_dir_all(directory.path().join("lib/containers/other")).unwrap();
        assert_eq!(traces(directory.path()).find(), [Leak::Directory(leaked)]);
    }
}
