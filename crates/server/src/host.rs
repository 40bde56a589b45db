//! What the host is and can.

use std::fs;
use std::path::Path;

use api::system::{Commit, Info};

/// What does not change while the engine runs.
pub(crate) struct Host {
    pub(crate) kernel: String,
    name: String,
    system: String,
    system_version: String,
    processors: i64,
    memory: i64,
    cgroups: Cgroups,
}

struct Cgroups {
    version: &'static str,
    memory: bool,
    swap: bool,
    cpu: bool,
    cpuset: bool,
    pids: bool,
}

impl Host {
    /// Asks the kernel and the distribution's files.
    pub(crate) fn read() -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| os_release(&release, name).unwrap_or_default();
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            name: read("/proc/sys/kernel/hostname"),
            system: field("PRETTY_NAME"),
            system_version: field("VERSION_ID"),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as i64),
            memory: total_memory(&read("/proc/meminfo")),
            cgroups: Cgroups::read(),
        }
    }

    /// Adds to what the engine knows.
    pub(crate) fn complete(&self, info: Info) -> Info {
        let Cgroups { version: cgroup_version, memory, swap, cpu, cpuset, pids } = self.cgroups;
        let switched_on = |path: &str| read(path) == "1";
        let bridge =
            |family: &str| switched_on(&format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables"));
        Info {
            memory_limit: memory,
            swap_limit: swap,
            cpu_cfs_period: cpu,
            cpu_cfs_quota: cpu,
            cpu_shares: cpu,
            cpu_set: cpuset,
            pids_limit: pids,
            oom_kill_disable: memory && cgroup_version == "1",
            ipv4_forwarding: switched_on("/proc/sys/net/ipv4/ip_forward"),
            bridge_nf_iptables: Some(bridge("ip")),
            bridge_nf_ip6tables: Some(bridge("ip6")),
            nfd: fs::read_dir("/proc/self/fd").map_or(-1, |entries| entries.count() as i64),
            ngoroutines: fs::read_dir("/proc/self/task").map_or(-1, |entries| entries.count() as i64),
            cgroup_driver: "cgroupfs".to_owned(),
            cgroup_version: cgroup_version.to_owned(),
            kernel_version: self.kernel.clone(),
            operating_system: self.system.clone(),
            os_version: self.system_version.clone(),
            os_type: "linux".to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            ncpu: self.processors,
            mem_total: self.memory,
            name: self.name.clone(),
            security_options: self.security_options(),
            runc_commit: commit(),
            containerd_commit: commit(),
            init_commit: commit(),
            ..info
        }
    }

    fn security_options(&self) -> Vec<String> {
        let mut options = vec!["name=seccomp,profile=builtin".to_owned()];
        if self.cgroups.version == "2" {
            options.push("name=cgroupns".to_owned());
        }
        options
    }
}

impl Cgroups {
    fn read() -> Self {
        match fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
            Ok(controllers) => Self::unified(&controllers),
            Err(_) => Self::legacy(),
        }
    }

    fn unified(controllers: &str) -> Self {
        let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
        let (memory, cpu) = (has("memory"), has("cpu"));
        Self { version: "2", memory, swap: memory, cpu, cpuset: has("cpuset"), pids: has("pids") }
    }

    fn legacy() -> Self {
        let has = |path: &str| Path::new("/sys/fs/cgroup").join(path).exists();
        Self {
            version: "1",
            memory: has("memory/memory.limit_in_bytes"),
            swap: has("memory/memory.memsw.limit_in_bytes"),
            cpu: has("cpu/cpu.cfs_quota_us") || has("cpu,cpuacct/cpu.cfs_quota_us"),
            cpuset: has("cpuset/cpuset.cpus"),
            pids: has("pids/cgroup.procs"),
        }
    }
}

/// The runtime is a part of this program.
fn commit() -> Commit {
    Commit { id: env!("CARGO_PKG_VERSION").to_owned(), expected: None }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn total_memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|kilobytes| kilobytes.parse::<i64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

/// The value of a line `NAME=value`, without quotes.
fn os_release(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distribution_is_read_without_quotes() {
        let text = "NAME=\"Debian\"\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(os_release(text, "PRETTY_NAME").unwrap(), "Debian GNU/Linux 12");
        assert_eq!(os_release(text, "VERSION"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(total_memory("MemTotal:       2048 kB\nMemFree: 1 kB"), 2_097_152);
    }

    #[test]
    fn missing_controllers_are_told() {
        let cgroups = Cgroups::unified("cpu memory pids");
        assert!(cgroups.memory && cgroups.cpu && cgroups.pids && !cgroups.cpuset);
    }
}
