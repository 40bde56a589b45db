//! What a container uses, in the terms of the Engine API's statistics.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Cgroup, CgroupError, file};

/// A measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Numbers of processes.
    pub pids: PidsStats,
    /// Input and output of block devices.
    pub block_io: BlockIoStats,
}

/// Processor time; all times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// Of all processors together.
    pub total: u64,
    /// Of each processor; empty on version 2.
    pub per_cpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In user mode.
    pub user: u64,
    /// How many periods had a quota.
    pub periods: u64,
    /// In how many of them it was used up.
    pub throttled_periods: u64,
    /// For how long processes had to wait therefore.
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In use, page cache included.
    pub usage: u64,
    /// The most that was ever in use; unknown on version 2 before Linux 5.19.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub fail_count: u64,
    /// The limit; `u64::MAX` is none.
    pub limit: u64,
    /// The lines of `memory.stat`.
    pub details: BTreeMap<String, u64>,
}

/// Numbers of processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// At most; `None` is without limit.
    pub limit: Option<u64>,
}

/// Input and output of block devices, by device and operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIoStats {
    /// Bytes.
    pub service_bytes: Vec<BlockIoEntry>,
    /// Operations.
    pub serviced: Vec<BlockIoEntry>,
}

/// A counter of one device and operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockIoEntry {
    /// Of the device.
    pub major: u64,
    /// Of the device.
    pub minor: u64,
    /// `Read`, `Write`, … on version 1, `read` and `write` on version 2, as Docker has it.
    pub operation: String,
    /// The counter.
    pub value: u64,
}

pub(super) fn read(cgroup: &Cgroup) -> Result<Stats, CgroupError> {
    let mut stats = Stats::default();
    if let Some(group) = &cgroup.unified {
        read_v2(&group.path, &mut stats)?;
    }
    for group in &cgroup.v1 {
        if group.has("cpuacct") {
            read_cpuacct(&group.path, &mut stats.cpu)?;
        }
        if group.has("cpu") {
            read_throttling(&group.path, &mut stats.cpu)?;
        }
        if group.has("memory") {
            stats.memory = read_memory_v1(&group.path)?;
        }
        if group.has("pids") {
            stats.pids = read_pids(&group.path)?;
        }
        if group.has("blkio") {
            stats.block_io = read_blkio(&group.path)?;
        }
    }
    Ok(stats)
}

impl Cgroup {
    pub(super) fn memory_usage(&self) -> Result<u64, CgroupError> {
        if let Some(directory) = self.v1_directory("memory") {
            return number(&directory.join("memory.usage_in_bytes")).map(Option::unwrap_or_default);
        }
        match &self.unified {
            Some(group) => number(&group.path.join("memory.current")).map(Option::unwrap_or_default),
            None => Ok(0),
        }
    }
}

/// A file of one number; `max`, or no such file, is `None`.
fn number(path: &Path) -> Result<Option<u64>, CgroupError> {
    Ok(file::read_optional(path)?.and_then(|text| text.trim().parse().ok()))
}

fn fields(path: &Path) -> Result<BTreeMap<String, u64>, CgroupError> {
    let text = file::read_optional(path)?.unwrap_or_default();
    Ok(text
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect())
}

fn read_cpuacct(path: &Path, cpu: &mut CpuStats) -> Result<(), CgroupError> {
    let text = file::read_optional(&path.join("cpuacct.usage_all"))?.unwrap_or_default();
    cpu.total = number(&path.join("cpuacct.usage"))?.unwrap_or_default();
    cpu.per_cpu.clear();
    (cpu.user, cpu.kernel) = (0, 0);
    // A line for each processor: its number, user time, system time.
    for line in text.lines().skip(1) {
        let mut words = line.split(' ').skip(1).filter_map(|word| word.parse::<u64>().ok());
        let (user, system) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        cpu.user += user;
        cpu.kernel += system;
        cpu.per_cpu.push(user + system);
    }
    Ok(())
}

fn read_throttling(path: &Path, cpu: &mut CpuStats) -> Result<(), CgroupError> {
    let text = file::read_optional(&path.join("cpu.stat"))?.unwrap_or_default();
    cpu.periods = file::field(&text, "nr_periods").unwrap_or_default();
    cpu.throttled_periods = file::field(&text, "nr_throttled").unwrap_or_default();
    cpu.throttled_time = file::field(&text, "throttled_time").unwrap_or_default();
    Ok(())
}

fn read_memory_v1(path: &Path) -> Result<MemoryStats, CgroupError> {
    // "Unlimited" is the largest number of whole pages, whatever the page size.
    const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;
    let read = |name: &str| Ok::<u64, CgroupError>(number(&path.join(name))?.unwrap_or_default());
    let limit = read("memory.limit_in_bytes")?;
    Ok(MemoryStats {
        usage: read("memory.usage_in_bytes")?,
        max_usage: read("memory.max_usage_in_bytes")?,
        fail_count: read("memory.failcnt")?,
        limit: if limit >= UNLIMITED { u64::MAX } else { limit },
        details: fields(&path.join("memory.stat"))?,
    })
}

/// Both versions have the same files.
fn read_pids(path: &Path) -> Result<PidsStats, CgroupError> {
    Ok(PidsStats {
        current: number(&path.join("pids.current"))?.unwrap_or_default(),
        limit: number(&path.join("pids.max"))?,
    })
}

fn read_blkio(path: &Path) -> Result<BlockIoStats, CgroupError> {
    Ok(BlockIoStats {
        service_bytes: blkio_entries(path, "io_service_bytes_recursive")?,
        serviced: blkio_entries(path, "io_serviced_recursive")?,
    })
}

/// The BFQ scheduler's counters where it has any, else those of throttling, which count everything.
fn blkio_entries(path: &Path, name: &str) -> Result<Vec<BlockIoEntry>, CgroupError> {
    for prefix in ["blkio.bfq", "blkio.throttle"] {
        let text = file::read_optional(&path.join(format!("{prefix}.{name}")))?.unwrap_or_default();
        let entries: Vec<_> = text.lines().filter_map(blkio_entry).collect();
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    Ok(Vec::new())
}

/// Reads `8:0 Read 4096`. The last line of the file, `Total 4096`, is of no device.
fn blkio_entry(line: &str) -> Option<BlockIoEntry> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    Some(BlockIoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        operation: words.next()?.to_owned(),
        value: words.next()?.parse().ok()?,
    })
}

fn read_v2(path: &Path, stats: &mut Stats) -> Result<(), CgroupError> {
    let cpu = file::read_optional(&path.join("cpu.stat"))?.unwrap_or_default();
    let nanoseconds = |key: &str| file::field(&cpu, key).unwrap_or_default().saturating_mul(1000);
    stats.cpu = CpuStats {
        total: nanoseconds("usage_usec"),
        per_cpu: Vec::new(),
        kernel: nanoseconds("system_usec"),
        user: nanoseconds("user_usec"),
        periods: file::field(&cpu, "nr_periods").unwrap_or_default(),
        throttled_periods: file::field(&cpu, "nr_throttled").unwrap_or_default(),
        throttled_time: nanoseconds("throttled_usec"),
    };
    let events = file::read_optional(&path.join("memory.events"))?.unwrap_or_default();
    stats.memory = MemoryStats {
        usage: number(&path.join("memory.current"))?.unwrap_or_default(),
        max_usage: number(&path.join("memory.peak"))?.unwrap_or_default(),
        fail_count: file::field(&events, "max").unwrap_or_default(),
        limit: number(&path.join("memory.max"))?.unwrap_or(u64::MAX),
        details: fields(&path.join("memory.stat"))?,
    };
    stats.pids = read_pids(path)?;
    stats.block_io = read_io(&file::read_optional(&path.join("io.stat"))?.unwrap_or_default());
    Ok(())
}

/// Reads lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn read_io(text: &str) -> BlockIoStats {
    let mut stats = BlockIoStats::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let entry =
                |operation: &str| BlockIoEntry { major, minor, operation: operation.to_owned(), value };
            match key {
                "rbytes" => stats.service_bytes.push(entry("read")),
                "wbytes" => stats.service_bytes.push(entry("write")),
                "rios" => stats.serviced.push(entry("read")),
                "wios" => stats.serviced.push(entry("write")),
                _ => {}
            }
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(operation: &str, value: u64) -> BlockIoEntry {
        BlockIoEntry { major: 8, minor: 16, operation: operation.to_owned(), value }
    }

    #[test]
    fn io_stat_lines_become_entries() {
        let stats = read_io("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\ngarbage\n8:x rbytes=1\n");
        assert_eq!(stats.service_bytes, [entry("read", 1), entry("write", 2)]);
        assert_eq!(stats.serviced, [entry("read", 3), entry("write", 4)]);
    }

    #[test]
    fn blkio_total_is_no_entry() {
        assert_eq!(blkio_entry("8:16 Read 7"), Some(entry("Read", 7)));
        assert_eq!(blkio_entry("Total 7"), None);
        assert_eq!(blkio_entry("8:16 Read x"), None);
    }

    #[test]
    fn version1_directory_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("cpuacct.usage", "30\n");
        write("cpuacct.usage_all", "cpu user system\n0 10 5\n1 8 7\n");
        let mut cpu = CpuStats::default();
        read_cpuacct(directory.path(), &mut cpu).unwrap();
        assert_eq!((cpu.total, cpu.user, cpu.kernel), (30, 18, 12));
        assert_eq!(cpu.per_cpu, [15, 15]);
        write("memory.limit_in_bytes", "9223372036854771712\n");
        write("memory.usage_in_bytes", "4096\n");
        write("memory.stat", "cache 1\ntotal_inactive_file 2\n");
        let memory = read_memory_v1(directory.path()).unwrap();
        assert_eq!((memory.limit, memory.usage), (u64::MAX, 4096));
        assert_eq!(memory.details["total_inactive_file"], 2);
    }
}
