//! What every container has unless it asks otherwise: file systems, device rules, hidden and read-only paths.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, Mount};

/// `/proc` and `/sys` paths that show or change what belongs to the host.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Paths that cannot be read; those that exist on this host beyond the fixed list are added.
pub fn masked_paths() -> Vec<String> {
    let fixed = MASKED.iter().map(|&path| path.to_owned());
    fixed.chain(thermal_throttle_paths()).collect()
}

/// Paths that cannot be written.
pub fn readonly_paths() -> Vec<String> {
    READ_ONLY.iter().map(|&path| path.to_owned()).collect()
}

/// One folder for each processor whose driver counts throttling, which tells about the neighbours' load. All of the machine's
/// processors count, not only those that this process may run on.
fn thermal_throttle_paths() -> impl Iterator<Item = String> {
    static PROCESSORS: OnceLock<Vec<u32>> = OnceLock::new();
    let directory = "/sys/devices/system/cpu";
    PROCESSORS
        .get_or_init(|| throttled_processors(Path::new(directory)))
        .iter()
        .map(move |number| format!("{directory}/cpu{number}/thermal_throttle"))
}

fn throttled_processors(directory: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter(|entry| entry.path().join("thermal_throttle").exists())
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("cpu")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// The file systems of a container, in the order in which they are mounted.
pub fn mounts() -> Vec<Mount> {
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
    ]
}

/// The rules of the device cgroup: nothing, but nodes of any kind can be made, and the harmless ones used.
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    let mut deny = LinuxDeviceCgroup::default();
    deny.set_allow(false).set_access(Some("rwm".to_owned()));
    let mut rules = vec![deny, allow(C, None, None, "m"), allow(B, None, None, "m")];
    let usable = USABLE_DEVICES.map(|(major, minor)| (Some(i64::from(major)), minor.map(i64::from)));
    rules.extend(usable.map(|(major, minor)| allow(C, major, minor, "rwm")));
    rules
}

/// Character devices that every container reads and writes, by major and minor number: null, zero, full, random, urandom,
/// tty, console, ptmx and the terminals of devpts.
pub const USABLE_DEVICES: [(u32, Option<u32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// A rule that lets a container use devices.
pub fn allow(
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind))
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_whose_throttling_is_counted_are_found() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["cpu10/thermal_throttle", "cpu2/thermal_throttle", "cpu3", "cpufreq/thermal_throttle"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        assert_eq!(throttled_processors(directory.path()), [2, 10]);
    }
}
