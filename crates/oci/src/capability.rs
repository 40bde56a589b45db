//! Capabilities: which a container gets, by Docker's rules.

use std::collections::HashSet;
use std::sync::OnceLock;

use oci_spec::runtime::Capability;

/// What a container is given that asks for nothing.
pub const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// All capabilities that this program knows, in the order of their numbers: the first is number 0.
pub const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Whether a container is privileged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileged {
    /// It gets every capability.
    Yes,
    /// It gets what the rules give.
    No,
}

/// A name that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// It is no capability's.
    #[error("invalid {field}: unknown capability: \"{name}\"")]
    Unknown {
        /// `CapAdd` or `CapDrop`.
        field: &'static str,
        /// The name, normalised.
        name: String,
    },
    /// The capability cannot be given here.
    #[error(
        "invalid {field}: capability not supported by your kernel or not available in the current environment: \"{name}\""
    )]
    Unavailable {
        /// `CapAdd` or `CapDrop`.
        field: &'static str,
        /// The name, normalised.
        name: String,
    },
}

/// The capability's number, as the kernel counts.
pub fn number(capability: Capability) -> u8 {
    let place = ALL.iter().position(|&known| known == capability);
    u8::try_from(place.expect("ALL has every capability")).expect("there are 41")
}

/// The capability with this name: `NET_ADMIN` or `CAP_NET_ADMIN`, in any case.
pub fn parse(name: &str) -> Option<Capability> {
    let upper = name.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL.into_iter().find(|capability| capability.to_string() == name)
}

/// Those that this process can give away: of its bounding set, and known to the kernel. Looked up once.
pub fn available() -> &'static HashSet<Capability> {
    static AVAILABLE: OnceLock<HashSet<Capability>> = OnceLock::new();
    AVAILABLE.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        of_mask(bounding_set(&status).unwrap_or(u64::MAX))
    })
}

/// The bounding set in the text of `/proc/<pid>/status`, proc_pid_status(5).
fn bounding_set(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

fn of_mask(mask: u64) -> HashSet<Capability> {
    ALL.into_iter().filter(|&capability| mask & 1 << number(capability) != 0).collect()
}

/// The set that `--cap-add`, `--cap-drop` and `--privileged` come to, where `available` ones can be given.
///
/// `ALL` in either list changes what the other list starts from, as in Docker.
///
/// # Errors
///
/// [`CapabilityError`].
pub fn resolve(
    add: &[String],
    drop: &[String],
    privileged: Privileged,
    available: &HashSet<Capability>,
) -> Result<HashSet<Capability>, CapabilityError> {
    let add = Request::parse("CapAdd", add, available)?;
    let drop = Request::parse("CapDrop", drop, available)?;
    let start: HashSet<Capability> = match (privileged, add.all, drop.all) {
        (Privileged::Yes, ..) => return Ok(available.clone()),
        (_, true, _) => available.clone(),
        (_, false, true) => return Ok(add.names),
        (_, false, false) => DEFAULT.into(),
    };
    let kept = start.difference(&drop.names).copied();
    Ok(if add.all { kept.collect() } else { kept.chain(add.names).collect() })
}

struct Request {
    all: bool,
    names: HashSet<Capability>,
}

impl Request {
    fn parse(
        field: &'static str,
        names: &[String],
        available: &HashSet<Capability>,
    ) -> Result<Self, CapabilityError> {
        let mut request = Self { all: false, names: HashSet::new() };
        for name in names {
            if name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL") {
                request.all = true;
                continue;
            }
            let capability =
                parse(name).ok_or_else(|| CapabilityError::Unknown { field, name: normalised(name) })?;
            if !available.contains(&capability) {
                return Err(CapabilityError::Unavailable { field, name: normalised(name) });
            }
            request.names.insert(capability);
        }
        Ok(request)
    }
}

fn normalised(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(add: &[&str], drop: &[&str]) -> u64 {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let set = resolve(&words(add), &words(drop), Privileged::No, &ALL.into()).unwrap();
        set.into_iter().map(|capability| 1u64 << number(capability)).sum()
    }

    #[test]
    fn default_set_is_dockers() {
        assert_eq!(resolved(&[], &[]), 0xa804_25fb);
    }

    #[test]
    fn added_and_dropped_names_are_taken_in_any_spelling() {
        assert_eq!(resolved(&["net_admin"], &[]), 0xa804_25fb | 1 << 12);
        assert_eq!(resolved(&[], &["CAP_CHOWN"]), 0xa804_25fa);
    }

    #[test]
    fn all_changes_what_the_other_list_starts_from() {
        assert_eq!(resolved(&["ALL"], &[]), (1 << 41) - 1);
        assert_eq!(resolved(&["ALL"], &["CHOWN"]), (1 << 41) - 2);
        assert_eq!(resolved(&["CHOWN"], &["ALL"]), 1);
        assert_eq!(resolved(&[], &["ALL"]), 0);
    }

    #[test]
    fn unknown_name_is_refused_in_dockers_words() {
        let error = resolve(&["foo".to_owned()], &[], Privileged::No, &ALL.into()).unwrap_err();
        assert_eq!(error.to_string(), "invalid CapAdd: unknown capability: \"CAP_FOO\"");
    }

    #[test]
    fn what_the_machine_does_not_have_is_in_no_set_and_refused_by_name() {
        let status = "CapEff:\t000001ffffffffff\nCapBnd:\t000000ffffffffff\nCapAmb:\t0\n";
        let available = of_mask(bounding_set(status).unwrap());
        assert_eq!(available.len(), 40);
        let all = ["ALL".to_owned()];
        assert_eq!(resolve(&[], &[], Privileged::Yes, &available).unwrap(), available);
        assert_eq!(resolve(&all, &[], Privileged::No, &available).unwrap(), available);
        let error = resolve(&["checkpoint_restore".to_owned()], &[], Privileged::No, &available).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid CapAdd: capability not supported by your kernel or not available in the current environment: \
             \"CAP_CHECKPOINT_RESTORE\""
        );
    }

    #[test]
    fn numbers_are_the_kernels() {
        assert_eq!((number(Capability::SysAdmin), number(Capability::CheckpointRestore)), (21, 40));
    }
}
