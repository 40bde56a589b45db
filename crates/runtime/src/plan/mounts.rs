//! The mounts of a configuration, understood.

use std::path::{Path, PathBuf};

use oci::runtime::{Mount, Spec};
use sys::mount::{Attributes, Depth};

use super::mount_options::{self, MountOptions};
use crate::error::Error;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPlan {
    /// Where, as configured.
    pub(crate) destination: PathBuf,
    /// What.
    pub(crate) kind: MountKind,
    /// How.
    pub(crate) options: MountOptions,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A copy of a mount of the host, from this path.
    Bind { source: PathBuf, depth: Depth },
    /// A copy of a mount of another process, given as its folder in `/proc` and a path in its root. The kernel copies no
    /// mounts of another mount namespace, so that one is entered for it.
    Foreign { process: PathBuf, path: PathBuf, depth: Depth },
    /// A file system of this type.
    FileSystem { typ: String, source: String },
    /// The container's own control groups.
    Cgroup,
}

impl MountKind {
    /// Whether something that is mounted elsewhere already becomes visible here too.
    pub(crate) fn is_bind(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::Foreign { .. })
    }
}

impl MountPlan {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> PathBuf {
        match &self.kind {
            MountKind::Bind { source, .. } => source.clone(),
            MountKind::Foreign { process, path, .. } => process.join("root").join(path),
            MountKind::FileSystem { source, .. } => PathBuf::from(source),
            MountKind::Cgroup => PathBuf::from("cgroup"),
        }
    }

    /// Whether it hides the devices of the root file system with those of the host.
    pub(crate) fn is_host_dev(&self) -> bool {
        self.kind.is_bind() && clean(&self.destination) == Path::new("/dev")
    }

    /// A tmpfs is filled (copies, mount points below) before it becomes read-only.
    pub(crate) fn is_read_only_later(&self) -> bool {
        let tmpfs = matches!(&self.kind, MountKind::FileSystem { typ, .. } if typ == "tmpfs");
        self.options.read_only && (tmpfs || clean(&self.destination) == Path::new("/dev"))
    }

    /// The attributes of the new mount.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = self.options.change.set;
        if self.is_read_only_later() {
            attributes.remove(Attributes::READ_ONLY);
        }
        attributes
    }
}

/// The mounts of a configuration; relative sources of bind mounts are relative to the bundle.
///
/// # Errors
/// What a mount asks for and nobody here does.
pub(crate) fn plan(spec: &Spec, bundle: &Path) -> Result<Vec<MountPlan>, Error> {
    spec.mounts().as_deref().unwrap_or_default().iter().map(|mount| plan_one(mount, bundle)).collect()
}

fn plan_one(mount: &Mount, bundle: &Path) -> Result<MountPlan, Error> {
    let destination = mount.destination().clone();
    if destination.as_os_str().is_empty() {
        return Err(Error::invalid("mounts", "a mount without a destination"));
    }
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return Err(Error::unsupported(format!("mounts: uidMappings of {destination:?}")));
    }
    let options = mount_options::parse(mount.options().as_deref().unwrap_or_default())?;
    let kind = kind(mount, &options, bundle)?;
    if kind.is_bind() && options.copy_up {
        return Err(Error::invalid("mounts", format!("tmpcopyup of the bind mount {destination:?}")));
    }
    Ok(MountPlan { destination, kind, options })
}

fn kind(mount: &Mount, options: &MountOptions, bundle: &Path) -> Result<MountKind, Error> {
    let typ = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().clone().unwrap_or_default();
    if options.bind.is_some() || typ == "bind" {
        if source.as_os_str().is_empty() {
            let reason = format!("the bind mount {:?} has no source", mount.destination());
            return Err(Error::invalid("mounts", reason));
        }
        let depth = options.bind.unwrap_or(Depth::Single);
        let source = bundle.join(source);
        return Ok(match foreign(&source) {
            Some((process, path)) => MountKind::Foreign { process, path, depth },
            None => MountKind::Bind { source, depth },
        });
    }
    match typ {
        "" => Err(Error::invalid("mounts", format!("the mount {:?} has no type", mount.destination()))),
        "cgroup" | "cgroup2" => Ok(MountKind::Cgroup),
        typ => {
            let source = source.to_string_lossy();
            let source = if source.is_empty() { typ } else { &source };
            Ok(MountKind::FileSystem { typ: typ.to_owned(), source: source.to_owned() })
        }
    }
}

/// Takes `/proc/<pid>/root/<path>` apart.
fn foreign(source: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts = source.strip_prefix("/proc").ok()?.iter();
    let process = parts.next()?.to_str()?;
    let is_process = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    (is_process && parts.next()? == "root").then(|| (Path::new("/proc").join(process), parts.collect()))
}

/// A path without repeated or trailing separators and dots, as a human means it; `..` is left to the kernel.
pub(crate) fn clean(path: &Path) -> PathBuf {
    Path::new("/").join(path).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Result<MountPlan, Error> {
        plan_one(&serde_json::from_str(json).expect("a mount"), Path::new("/bundle"))
    }

    #[test]
    fn bind_source_is_relative_to_the_bundle() {
        let plan = planned(r#"{"destination":"/a","source":"b","options":["rbind"]}"#).expect("a plan");
        let source = PathBuf::from("/bundle/b");
        assert_eq!(plan.kind, MountKind::Bind { source, depth: Depth::Recursive });
    }

    #[test]
    fn bind_source_in_the_root_of_a_process_is_a_mount_of_that_process() {
        let plan = planned(r#"{"destination":"/a","source":"/proc/12/root/dev/shm","options":["rbind"]}"#);
        let kind = MountKind::Foreign {
            process: PathBuf::from("/proc/12"),
            path: PathBuf::from("dev/shm"),
            depth: Depth::Recursive,
        };
        assert_eq!(plan.expect("a plan").kind, kind);
        for source in
            ["/proc/self/root/x", "/proc/12/cwd/x", "/proc/12", "/proc/12x/root/x", "/a/proc/12/root"]
        {
            assert_eq!(foreign(Path::new(source)), None, "{source}");
        }
    }

    #[test]
    fn bind_without_source_is_refused() {
        planned(r#"{"destination":"/a","type":"bind"}"#).expect_err("refused");
    }

    #[test]
    fn mount_without_type_is_refused() {
        planned(r#"{"destination":"/a","source":"b"}"#).expect_err("refused");
    }

    #[test]
    fn read_only_tmpfs_starts_writable() {
        let plan =
            planned(r#"{"destination":"/a","type":"tmpfs","options":["ro","nosuid"]}"#).expect("a plan");
        assert!(plan.is_read_only_later());
        assert_eq!(plan.attributes(), Attributes::NO_SUID);
    }

    #[test]
    fn device_directory_is_known_however_it_is_written() {
        let plan =
            planned(r#"{"destination":"//dev/./","source":"/dev","options":["bind"]}"#).expect("a plan");
        assert!(plan.is_host_dev());
    }
}
