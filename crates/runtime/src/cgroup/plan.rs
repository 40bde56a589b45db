//! What is to be written into a group's files: decided here without touching any, carried out by the group.

use std::io;
use std::path::Path;

use super::{CgroupError, file};

/// Whether the group is fresh or carries limits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Fresh: a value that is the kernel's default is not written.
    Create,
    /// In use: every value is written.
    Update,
}

/// One value for one file of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) controller: &'static str,
    /// The files that may take it; the first that exists does.
    pub(super) files: Vec<String>,
    pub(super) value: String,
    pub(super) need: Need,
}

/// Whether a missing file is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

impl Setting {
    pub(super) fn new(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        Self { controller, files: vec![file.into()], value: value.to_string(), need: Need::Required }
    }

    pub(super) fn or(mut self, file: &str) -> Self {
        self.files.push(file.to_owned());
        self
    }

    pub(super) fn optional(mut self) -> Self {
        self.need = Need::Optional;
        self
    }
}

/// Settings that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A single one.
    One(Setting),
    /// Two that the kernel checks against each other: which order it accepts depends on the values already there.
    Pair(Setting, Setting),
    /// The first whose file exists.
    Either(Setting, Setting),
}

impl Step {
    pub(super) fn settings(&self) -> impl Iterator<Item = &Setting> {
        match self {
            Self::One(setting) => [Some(setting), None],
            Self::Pair(first, second) | Self::Either(first, second) => [Some(first), Some(second)],
        }
        .into_iter()
        .flatten()
    }

    /// Writes the settings into the group that `directory` finds for each controller.
    pub(super) fn apply<'a>(&self, directory: &impl Fn(&str) -> Option<&'a Path>) -> Result<(), CgroupError> {
        match self {
            Self::One(setting) => write(setting, directory),
            Self::Pair(first, second) => match write(first, directory) {
                Err(error) if error.raw_os_error() == Some(EINVAL) => {
                    write(second, directory)?;
                    write(first, directory)
                }
                Err(error) => Err(error),
                Ok(()) => write(second, directory),
            },
            Self::Either(first, second) => match write(first, directory) {
                Err(CgroupError::Unsupported { .. }) => write(second, directory),
                other => other,
            },
        }
    }
}

const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();

fn write<'a>(setting: &Setting, directory: &impl Fn(&str) -> Option<&'a Path>) -> Result<(), CgroupError> {
    let Some(directory) = directory(setting.controller) else {
        return match setting.need {
            Need::Optional => Ok(()),
            Need::Required => Err(missing_controller(setting)),
        };
    };
    for name in &setting.files {
        let path = directory.join(name);
        match file::try_write(&path, &setting.value) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file::refused(&path, &setting.value, error)),
        }
    }
    match setting.need {
        Need::Optional => Ok(()),
        Need::Required => Err(missing_file(setting, directory)),
    }
}

fn missing_controller(setting: &Setting) -> CgroupError {
    CgroupError::unsupported(
        setting.files[0].clone(),
        format!("this machine has no `{}` cgroup controller", setting.controller),
    )
}

fn missing_file(setting: &Setting, directory: &Path) -> CgroupError {
    CgroupError::unsupported(
        setting.files[0].clone(),
        format!("cgroup {} has no such file (controller `{}`)", directory.display(), setting.controller),
    )
}

/// Collects steps, leaving out what need not be written.
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, steps: Vec::new() }
    }

    pub(super) fn push(&mut self, setting: Setting) {
        self.steps.push(Step::One(setting));
    }

    /// Adds the setting unless the group is fresh and `default` is what it has.
    pub(super) fn push_unless(&mut self, default: &str, setting: Setting) {
        if self.mode == Mode::Update || setting.value != default {
            self.push(setting);
        }
    }

    pub(super) fn push_pair(&mut self, first: Option<Setting>, second: Option<Setting>) {
        match (first, second) {
            (Some(first), Some(second)) => self.steps.push(Step::Pair(first, second)),
            (Some(one), None) | (None, Some(one)) => self.push(one),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_takes_the_first_file_that_exists() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("b"), "").unwrap();
        let step = Step::One(Setting::new("x", "a", 7).or("b"));
        step.apply(&|_| Some(directory.path())).unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join("b")).unwrap(), "7");
    }

    #[test]
    fn setting_without_its_file_is_named_in_the_error() {
        let directory = tempfile::tempdir().unwrap();
        let step = Step::One(Setting::new("memory", "memory.max", 7));
        let error = step.apply(&|_| Some(directory.path())).unwrap_err();
        assert!(error.to_string().starts_with("memory.max is not supported"), "{error}");
        let optional = Step::One(Setting::new("memory", "memory.max", 7).optional());
        optional.apply(&|_| Some(directory.path())).unwrap();
    }

    #[test]
    fn setting_without_its_controller_is_named_in_the_error() {
        let step = Step::One(Setting::new("hugetlb", "hugetlb.2MB.max", 7));
        let error = step.apply(&|_| None).unwrap_err();
        assert!(error.to_string().contains("no `hugetlb` cgroup controller"), "{error}");
    }
}
