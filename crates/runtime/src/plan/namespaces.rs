//! Which namespaces are new, which are joined.

use std::fs::File;
use std::os::fd::OwnedFd;

use oci::runtime::{Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType};
use sys::namespace::Namespaces;

use crate::error::{Error, Step};

/// The namespaces of a container.
#[derive(Debug)]
pub(crate) struct NamespacePlan {
    /// All kinds that it does not share with the host, new and joined.
    pub(crate) private: Namespaces,
    /// The new ones.
    pub(crate) new: Namespaces,
    /// Existing ones that the process itself joins.
    pub(crate) joined: Vec<(Namespaces, OwnedFd)>,
    /// An existing PID namespace, which only a child can be born into.
    pub(crate) joined_pid: Option<OwnedFd>,
    /// What is written to `/proc/self/timens_offsets`.
    pub(crate) time_offsets: String,
    /// What is written to the maps of a new user namespace.
    pub(crate) mappings: Option<Mappings>,
}

/// The identities of a user namespace, as its map files take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) users: String,
    pub(crate) groups: String,
}

impl NamespacePlan {
    /// # Errors
    /// Namespaces that are named twice, cannot be opened, or are of a form that is not supported.
    pub(crate) fn new(linux: Option<&Linux>, network: Option<OwnedFd>) -> Result<Self, Error> {
        let mut plan = Self::empty();
        for namespace in linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default() {
            plan.add(namespace)?;
        }
        plan.add_network(network)?;
        if !plan.new.contains(Namespaces::MOUNT) {
            return Err(Error::unsupported("a container without a mount namespace of its own"));
        }
        plan.mappings = mappings(linux, plan.new)?;
        plan.time_offsets = time_offsets(linux, plan.new)?;
        Ok(plan)
    }

    fn empty() -> Self {
        Self {
            private: Namespaces::empty(),
            new: Namespaces::empty(),
            joined: Vec::new(),
            joined_pid: None,
            time_offsets: String::new(),
            mappings: None,
        }
    }

    fn add(&mut self, namespace: &LinuxNamespace) -> Result<(), Error> {
        let kind = kind(namespace.typ());
        if self.private.contains(kind) {
            return Err(Error::invalid("linux.namespaces", format!("{} is there twice", namespace.typ())));
        }
        self.private |= kind;
        let Some(path) = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) else {
            self.new |= kind;
            return Ok(());
        };
        if kind == Namespaces::MOUNT || kind == Namespaces::USER {
            return Err(Error::unsupported(format!("joining the {} namespace {path:?}", namespace.typ())));
        }
        let handle = OwnedFd::from(File::open(path).step_with(|| format!("open namespace {path:?}"))?);
        match kind {
            Namespaces::PID => self.joined_pid = Some(handle),
            kind => self.joined.push((kind, handle)),
        }
        Ok(())
    }

    /// A network namespace that was handed in takes the place of a new one.
    fn add_network(&mut self, network: Option<OwnedFd>) -> Result<(), Error> {
        let Some(network) = network else { return Ok(()) };
        if !self.new.contains(Namespaces::NETWORK) {
            let reason = "a network namespace was handed in, but the configuration has none without a path";
            return Err(Error::invalid("linux.namespaces", reason));
        }
        self.new.remove(Namespaces::NETWORK);
        self.joined.push((Namespaces::NETWORK, network));
        Ok(())
    }
}

fn kind(typ: LinuxNamespaceType) -> Namespaces {
    match typ {
        LinuxNamespaceType::Mount => Namespaces::MOUNT,
        LinuxNamespaceType::Cgroup => Namespaces::CGROUP,
        LinuxNamespaceType::Uts => Namespaces::UTS,
        LinuxNamespaceType::Ipc => Namespaces::IPC,
        LinuxNamespaceType::User => Namespaces::USER,
        LinuxNamespaceType::Pid => Namespaces::PID,
        LinuxNamespaceType::Network => Namespaces::NETWORK,
        LinuxNamespaceType::Time => Namespaces::TIME,
    }
}

fn mappings(linux: Option<&Linux>, new: Namespaces) -> Result<Option<Mappings>, Error> {
    let users = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
    let groups = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
    match (new.contains(Namespaces::USER), users.is_empty(), groups.is_empty()) {
        (false, true, true) => Ok(None),
        (false, ..) => {
            Err(Error::invalid("linux.uidMappings", "there is no new user namespace that they are for"))
        }
        (true, false, false) => Ok(Some(Mappings { users: map_text(users), groups: map_text(groups) })),
        (true, ..) => Err(Error::invalid(
            "linux.namespaces",
            "a new user namespace needs linux.uidMappings and linux.gidMappings",
        )),
    }
}

fn map_text(mappings: &[LinuxIdMapping]) -> String {
    mappings
        .iter()
        .map(|mapping| format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size()))
        .collect()
}

fn time_offsets(linux: Option<&Linux>, new: Namespaces) -> Result<String, Error> {
    let Some(offsets) = linux.and_then(|linux| linux.time_offsets().as_ref()) else {
        return Ok(String::new());
    };
    if !offsets.is_empty() && !new.contains(Namespaces::TIME) {
        return Err(Error::invalid("linux.timeOffsets", "there is no new time namespace"));
    }
    offsets
        .iter()
        .map(|(clock, offset)| match clock.as_str() {
            "monotonic" | "boottime" => {
                let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
                Ok(format!("{clock} {seconds} {nanoseconds}\n"))
            }
            _ => Err(Error::invalid("linux.timeOffsets", format!("there is no clock {clock:?}"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux(json: &str) -> Linux {
        serde_json::from_str(json).expect("a configuration")
    }

    fn plan(json: &str) -> Result<NamespacePlan, Error> {
        NamespacePlan::new(Some(&linux(json)), None)
    }

    #[test]
    fn namespace_without_path_is_new() {
        let plan = plan(r#"{"namespaces":[{"type":"mount"},{"type":"pid"}]}"#).expect("a plan");
        assert_eq!(plan.new, Namespaces::MOUNT | Namespaces::PID);
        assert!(plan.joined.is_empty());
    }

    #[test]
    fn namespace_with_path_is_joined() {
        let plan = plan(r#"{"namespaces":[{"type":"mount"},{"type":"network","path":"/proc/self/ns/net"}]}"#)
            .expect("a plan");
        assert_eq!(plan.new, Namespaces::MOUNT);
        assert_eq!(plan.joined[0].0, Namespaces::NETWORK);
    }

    #[test]
    fn namespace_named_twice_is_refused() {
        let error = plan(r#"{"namespaces":[{"type":"mount"},{"type":"mount"}]}"#).expect_err("refused");
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn missing_mount_namespace_is_refused() {
        plan(r#"{"namespaces":[{"type":"pid"}]}"#).expect_err("refused");
    }

    #[test]
    fn user_namespace_needs_mappings() {
        plan(r#"{"namespaces":[{"type":"mount"},{"type":"user"}]}"#).expect_err("refused");
        let plan = plan(
            r#"{"namespaces":[{"type":"mount"},{"type":"user"}],
                "uidMappings":[{"containerID":0,"hostID":1000,"size":10}],
                "gidMappings":[{"containerID":0,"hostID":2000,"size":10}]}"#,
        )
        .expect("a plan");
        let mappings = plan.mappings.expect("mappings");
        assert_eq!((mappings.users.as_str(), mappings.groups.as_str()), ("0 1000 10\n", "0 2000 10\n"));
    }

    #[test]
    fn unknown_clock_is_refused() {
        plan(r#"{"namespaces":[{"type":"mount"},{"type":"time"}],"timeOffsets":{"sundial":{"secs":1}}}"#)
            .expect_err("refused");
    }

    #[test]
    fn time_offset_is_written_as_the_kernel_reads_it() {
        let plan = plan(
            r#"{"namespaces":[{"type":"mount"},{"type":"time"}],"timeOffsets":{"boottime":{"secs":-5,"nanosecs":7}}}"#,
        )
        .expect("a plan");
        assert_eq!(plan.time_offsets, "boottime -5 7\n");
    }
}
