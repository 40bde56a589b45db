//! Groups in version 1 hierarchies.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::layout::Hierarchy;
use super::{CgroupError, Group, Place, file, require_empty};

impl Group {
    pub(super) fn new(hierarchy: &Hierarchy, place: &Place) -> Self {
        Self {
            names: hierarchy.names.clone(),
            mount: hierarchy.mount.clone(),
            path: place.directory(&hierarchy.mount, &hierarchy.own),
        }
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.names.iter().any(|name| name == controller)
    }

    /// Makes the directory, and those above it that are missing.
    pub(super) fn make(&self) -> Result<(), CgroupError> {
        match fs::create_dir(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_parents()?;
                fs::create_dir(&self.path).map_err(|source| CgroupError::io("create", &self.path, source))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => require_empty(&self.path)?,
            Err(error) => return Err(CgroupError::io("create", &self.path, error)),
        }
        if self.has("cpuset") { inherit_cpuset(&self.path) } else { Ok(()) }
    }

    fn make_parents(&self) -> Result<(), CgroupError> {
        let mut missing: Vec<&Path> = self
            .path
            .ancestors()
            .skip(1)
            .take_while(|ancestor| *ancestor != self.mount && !ancestor.exists())
            .collect();
        while let Some(path) = missing.pop() {
            match fs::create_dir(path) {
                // Another container's creation may have been faster.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(CgroupError::io("create", path, error));
                }
                _ => {}
            }
            if self.has("cpuset") {
                inherit_cpuset(path)?;
                // Groups made below start with this one's processors and memory nodes: nothing to copy for each container.
                file::write(&path.join("cgroup.clone_children"), "1")?;
            }
        }
        Ok(())
    }
}

/// A version 1 cpuset starts empty, and no process can enter it until it has processors and memory nodes.
fn inherit_cpuset(path: &Path) -> Result<(), CgroupError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if !file::read(&path.join(name))?.trim().is_empty() {
            continue;
        }
        let Some(parent) = path.parent() else { continue };
        let mut inherited = file::read(&parent.join(name))?;
        if inherited.trim().is_empty() {
            // Another container's creation has just made it, and not come to this yet. The topmost one is never empty.
            inherit_cpuset(parent)?;
            inherited = file::read(&parent.join(name))?;
        }
        file::write(&path.join(name), inherited.trim())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_below_one_that_was_just_made_fills_both() {
        let top = tempfile::tempdir().expect("a folder");
        let child = top.path().join("parent/child");
        fs::create_dir_all(&child).expect("folders");
        for (folder, cpus, mems) in
            [(top.path(), "0-3\n", "0\n"), (child.parent().unwrap(), "\n", "\n"), (&child, "\n", "\n")]
        {
            fs::write(folder.join("cpuset.cpus"), cpus).expect("write");
            fs::write(folder.join("cpuset.mems"), mems).expect("write");
        }
        inherit_cpuset(&child).expect("it inherits");
        for folder in [child.parent().unwrap(), &child] {
            assert_eq!(fs::read_to_string(folder.join("cpuset.cpus")).expect("read").trim(), "0-3");
            assert_eq!(fs::read_to_string(folder.join("cpuset.mems")).expect("read").trim(), "0");
        }
    }
}
