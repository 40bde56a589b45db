//! What can go wrong with a container's control groups.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to make, change, read or remove control groups.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The machine has no control group file system where this process could see it.
    #[error("no cgroup file system is mounted")]
    NoHierarchy,
    /// The path of the specification is not one a group can have.
    #[error("cgroups path {path:?}: {reason}")]
    InvalidPath {
        /// As written in the specification.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A group of that name exists and is in use.
    #[error("cgroup {path} is not empty: {count} process(es) found", path = path.display())]
    NotEmpty {
        /// The group.
        path: PathBuf,
        /// How many processes are in it.
        count: usize,
    },
    /// A limit that this machine's control groups cannot enforce.
    #[error("{setting} is not supported: {reason}")]
    Unsupported {
        /// The field of the specification, or the group's file.
        setting: String,
        /// Why not.
        reason: String,
    },
    /// A limit whose value makes no sense.
    #[error("{setting}: {reason}")]
    Invalid {
        /// The field of the specification.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that the kernel refused.
    #[error("cannot write {value:?} to {path}: {source}", path = path.display())]
    Write {
        /// The group's file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Any other access to a group that failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The processes of a group did not all stop in time.
    #[error("cgroup {path} could not be frozen in time", path = path.display())]
    FreezeTimeout {
        /// The group.
        path: PathBuf,
    },
    /// Loading or attaching the device program failed.
    #[error("cannot {action} the device program of cgroup {path}: {source}", path = path.display())]
    DeviceProgram {
        /// What was attempted.
        action: &'static str,
        /// The group.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CgroupError {
    pub(super) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    pub(super) fn unsupported(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { setting: setting.into(), reason: reason.into() }
    }

    /// The kernel's error number, where the kernel gave one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Write { source, .. } | Self::Io { source, .. } | Self::DeviceProgram { source, .. } => {
                source.raw_os_error()
            }
            _ => None,
        }
    }
}
