//! What a container is shown at `/sys/fs/cgroup`.

use std::path::PathBuf;

use super::{Cgroup, Layout};

/// The directories to bind, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMounts {
    /// Which form `/sys/fs/cgroup` has: a tmpfs with a directory for each hierarchy, or on [`Layout::V2`] the group itself.
    pub layout: Layout,
    /// The version 1 hierarchies.
    pub v1: Vec<V1Mount>,
    /// The version 2 group. On [`Layout::Hybrid`] it belongs into the directory `unified`.
    pub unified: Option<PathBuf>,
}

/// A version 1 hierarchy as the container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V1Mount {
    /// The name of its directory, as on the host: `memory`, `cpu,cpuacct`, `systemd`.
    pub directory: String,
    /// The container's own group, to be bound there.
    pub source: PathBuf,
    /// The mount options (`cpu,cpuacct`, `name=systemd`) where it is mounted anew inside a cgroup namespace.
    pub options: String,
    /// Further names of single controllers, to be links to the directory.
    pub links: Vec<String>,
}

pub(super) fn of(cgroup: &Cgroup) -> CgroupMounts {
    let v1 = cgroup
        .v1
        .iter()
        .map(|group| {
            let directory = group
                .mount
                .file_name()
                .map_or_else(|| group.names.join(","), |name| name.to_string_lossy().into_owned());
            let is_link = |name: &&String| !name.starts_with("name=") && **name != directory;
            V1Mount {
                links: group.names.iter().filter(is_link).cloned().collect(),
                source: group.path.clone(),
                options: group.names.join(","),
                directory,
            }
        })
        .collect();
    let unified = cgroup.unified.as_ref().map(|group| group.path.clone());
    CgroupMounts { layout: cgroup.layout, v1, unified }
}
