//! Groups in the version 2 hierarchy.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::layout::Unified;
use super::plan::Mode;
use super::{CgroupError, Place, UnifiedGroup, file, open_directory, require_empty};

impl UnifiedGroup {
    /// The group if it exists.
    pub(super) fn open(unified: &Unified, place: &Place) -> Result<Option<Self>, CgroupError> {
        let path = place.directory(&unified.mount, &unified.own);
        match open_directory(&path) {
            Ok(descriptor) => Ok(Some(Self { path, controllers: unified.controllers.clone(), descriptor })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(CgroupError::io("open", &path, error)),
        }
    }

    /// Makes the directory, and those above it that are missing, with all controllers the hierarchy offers.
    pub(super) fn make(unified: &Unified, place: &Place) -> Result<Self, CgroupError> {
        let path = place.directory(&unified.mount, &unified.own);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&path).map_err(|source| CgroupError::io("create", &path, source))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => require_empty(&path)?,
            Err(error) => return Err(CgroupError::io("create", &path, error)),
        }
        enable_controllers(unified, &path)?;
        let descriptor = open_directory(&path).map_err(|error| CgroupError::io("open", &path, error))?;
        Ok(Self { path, controllers: unified.controllers.clone(), descriptor })
    }

    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// The first word of `cpu.max`, which an update of the period alone writes back.
    pub(super) fn quota(&self, mode: Mode) -> Result<String, CgroupError> {
        let unlimited = || "max".to_owned();
        if mode == Mode::Create {
            return Ok(unlimited());
        }
        let text = file::read_optional(&self.path.join("cpu.max"))?.unwrap_or_default();
        Ok(text.split_whitespace().next().map_or_else(unlimited, str::to_owned))
    }
}

/// Enables what the hierarchy offers in every group from the mount down to the parent of `path`.
///
/// A group that has processes of its own cannot pass on most controllers (cgroups(7), "no internal processes"). That is no
/// failure yet: the container may not need them, and a limit that does names the file which is missing.
fn enable_controllers(unified: &Unified, path: &Path) -> Result<(), CgroupError> {
    if unified.controllers.is_empty() {
        return Ok(());
    }
    let enabled = file::read(&path.join("cgroup.controllers"))?;
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    if unified.controllers.iter().all(|name| has(&enabled, name)) {
        return Ok(());
    }
    let ancestors: Vec<&Path> =
        path.ancestors().skip(1).take_while(|a| a.starts_with(&unified.mount)).collect();
    for ancestor in ancestors.into_iter().rev() {
        let available = file::read(&ancestor.join("cgroup.controllers"))?;
        let passed_on = file::read(&ancestor.join("cgroup.subtree_control"))?;
        let missing: Vec<String> = available
            .split_whitespace()
            .filter(|name| !has(&passed_on, name))
            .map(|name| format!("+{name}"))
            .collect();
        enable(&ancestor.join("cgroup.subtree_control"), &missing);
    }
    Ok(())
}

/// All at once, else one by one: the kernel refuses the whole list for one controller that cannot be enabled.
fn enable(control: &Path, controllers: &[String]) {
    if controllers.is_empty() || file::try_write(control, &controllers.join(" ")).is_ok() {
        return;
    }
    for controller in controllers {
        let _ = file::try_write(control, controller);
    }
}
