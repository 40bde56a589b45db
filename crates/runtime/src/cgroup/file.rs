//! Reading and writing the files of a group.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::CgroupError;

/// Writes one value. The kernel takes it in a single `write`, so it is never split.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    try_write(path, value).map_err(|source| refused(path, value, source))
}

pub(super) fn try_write(path: &Path, value: &str) -> io::Result<()> {
    // Never created: where the kernel has no such file, the limit does not exist.
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(value.as_bytes())
}

/// Opens a file that takes several values, one `write` each.
pub(super) fn open_for_writing(path: &Path) -> Result<File, CgroupError> {
    OpenOptions::new().write(true).open(path).map_err(|source| CgroupError::io("open", path, source))
}

pub(super) fn refused(path: &Path, value: &str, source: io::Error) -> CgroupError {
    CgroupError::Write { path: path.to_owned(), value: value.to_owned(), source }
}

pub(super) fn read(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path).map_err(|source| CgroupError::io("read", path, source))
}

/// Reads a file that not every kernel or hierarchy has.
pub(super) fn read_optional(path: &Path) -> Result<Option<String>, CgroupError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // ENODEV: the group was removed while the file was open. EOPNOTSUPP: a counter this kernel no longer keeps.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.raw_os_error(), Some(ENODEV | EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(CgroupError::io("read", path, error)),
    }
}

const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
const EOPNOTSUPP: i32 = rustix::io::Errno::OPNOTSUPP.raw_os_error();

/// The value of `key` in a file of `key value` lines.
pub(super) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The directories in a group, which are its sub-groups.
pub(super) fn subgroups(path: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CgroupError::io("list", path, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| CgroupError::io("list", path, source))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The processes of a group and of all groups below it.
pub(super) fn processes(path: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut pids = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(group) = pending.pop() {
        // A sub-group may vanish while it is looked at; then it has no processes.
        let text = read_optional(&group.join("cgroup.procs"))?.unwrap_or_default();
        // Processes outside this process's PID namespace read as 0.
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        pending.extend(subgroups(&group)?);
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}
