//! The specification's limits as values of version 2 files.

use oci::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::CgroupError;
use super::plan::{Mode, Plan, Setting, Step};
use super::plan_v1::{plan_cpuset, plan_rdma};

/// Decides what to write for `resources`, without devices. `quota` is the first word of the group's `cpu.max`.
///
/// # Errors
/// A field that version 2 has no counterpart for.
pub(super) fn plan(resources: &LinuxResources, mode: Mode, quota: &str) -> Result<Vec<Step>, CgroupError> {
    let mut plan = Plan::new(mode);
    if let Some(cpu) = resources.cpu() {
        plan_cpu(&mut plan, cpu, quota)?;
        plan_cpuset(&mut plan, cpu);
    }
    if let Some(memory) = resources.memory() {
        plan_memory(&mut plan, memory)?;
    }
    if let Some(limit) = resources.pids().as_ref().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
        plan.push_unless("max", Setting::new("pids", "pids.max", or_max(limit)));
    }
    if let Some(block_io) = resources.block_io() {
        plan_block_io(&mut plan, block_io)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let size = limit.page_size();
        plan.push(Setting::new("hugetlb", format!("hugetlb.{size}.max"), limit.limit()));
        plan.push(Setting::new("hugetlb", format!("hugetlb.{size}.rsvd.max"), limit.limit()).optional());
    }
    if let Some(network) = resources.network() {
        refuse(network.class_id().is_some_and(|class| class != 0), "network.classID")?;
        refuse(network.priorities().as_ref().is_some_and(|list| !list.is_empty()), "network.priorities")?;
    }
    plan_rdma(&mut plan, resources);
    Ok(plan.steps)
}

/// The files of the `unified` map, in the order of their names.
///
/// # Errors
/// A name that is not a plain file name of a controller.
pub(super) fn plan_unified(resources: &LinuxResources) -> Result<Vec<(String, String)>, CgroupError> {
    let mut files: Vec<(String, String)> =
        resources.unified().iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
    files.sort();
    match files.iter().find(|(name, _)| name.contains('/') || !name.contains('.')) {
        Some((name, _)) => Err(CgroupError::Invalid {
            setting: "unified",
            reason: format!("{name:?} is not the name of a cgroup file"),
        }),
        None => Ok(files),
    }
}

fn refuse(set: bool, field: &str) -> Result<(), CgroupError> {
    if set { Err(CgroupError::unsupported(field, "cgroup version 2 has no such limit")) } else { Ok(()) }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn plan_cpu(plan: &mut Plan, cpu: &LinuxCpu, current_quota: &str) -> Result<(), CgroupError> {
    refuse(cpu.realtime_runtime().is_some_and(|value| value != 0), "cpu.realtimeRuntime")?;
    refuse(cpu.realtime_period().is_some_and(|value| value != 0), "cpu.realtimePeriod")?;
    // The kernel refuses a weight while the group is idle, and the first to be written back is `cpu.idle` = 0.
    if let Some(idle) = cpu.idle() {
        plan.push_unless("0", Setting::new("cpu", "cpu.idle", idle));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && cpu.idle() != Some(1)) {
        plan.push_unless("100", Setting::new("cpu", "cpu.weight", cpu_weight(shares)));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0).map(or_max);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let mut value = quota.unwrap_or_else(|| current_quota.to_owned());
        if let Some(period) = period.filter(|period| plan.mode == Mode::Update || *period != 100_000) {
            value.push_str(&format!(" {period}"));
        }
        plan.push_unless("max", Setting::new("cpu", "cpu.max", value));
    }
    if let Some(burst) = cpu.burst() {
        plan.push_unless("0", Setting::new("cpu", "cpu.max.burst", burst));
    }
    Ok(())
}

/// Maps shares (2 to 262144, 1024 by default) to a weight (1 to 10000, 100 by default): the curve through these
/// three points that runc uses since its version 1.3.2, so that defaults meet.
fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            // What is above a whole number by the rounding of the arithmetic alone must not become the next one.
            (10f64.powf(exponent) - 1e-9).ceil() as u64
        }
    }
}

fn plan_memory(plan: &mut Plan, memory: &LinuxMemory) -> Result<(), CgroupError> {
    refuse(memory.swappiness().is_some_and(|value| value != u64::MAX), "memory.swappiness")?;
    refuse(memory.disable_oom_killer() == Some(true), "memory.disableOOMKiller")?;
    refuse(memory.kernel().is_some_and(|value| value > 0), "memory.kernel")?;
    refuse(memory.kernel_tcp().is_some_and(|value| value > 0), "memory.kernelTCP")?;
    let limit = memory.limit().filter(|value| *value != 0);
    // The limit of swap goes first: lowering the memory limit may need swap to push pages to.
    if let Some(swap) = swap_limit(limit, memory.swap().filter(|value| *value != 0))? {
        plan.push_unless("max", Setting::new("memory", "memory.swap.max", swap));
    }
    if let Some(limit) = limit {
        plan.push_unless("max", Setting::new("memory", "memory.max", or_max(limit)));
    }
    if let Some(low) = memory.reservation().filter(|value| *value != 0) {
        plan.push_unless("0", Setting::new("memory", "memory.low", or_max(low)));
    }
    Ok(())
}

/// The limit of swap alone, where the specification gives that of memory and swap together.
fn swap_limit(limit: Option<i64>, together: Option<i64>) -> Result<Option<String>, CgroupError> {
    let invalid = |reason: String| Err(CgroupError::Invalid { setting: "memory.swap", reason });
    match (limit, together) {
        (Some(limit), None) if limit < 0 => Ok(Some("max".to_owned())),
        (_, None) => Ok(None),
        (_, Some(together)) if together < 0 => Ok(Some("max".to_owned())),
        (None, Some(_)) => invalid("a limit of swap needs a limit of memory".to_owned()),
        (Some(limit), Some(_)) if limit < 0 => invalid("a limit of swap needs a limit of memory".to_owned()),
        (Some(limit), Some(together)) if together < limit => {
            invalid(format!("memory and swap together ({together}) are less than memory ({limit})"))
        }
        (Some(limit), Some(together)) => Ok(Some((together - limit).to_string())),
    }
}

fn plan_block_io(plan: &mut Plan, block_io: &LinuxBlockIo) -> Result<(), CgroupError> {
    refuse(block_io.leaf_weight().is_some_and(|weight| weight != 0), "blockIO.leafWeight")?;
    if let Some(weight) = block_io.weight().filter(|weight| *weight != 0) {
        plan_io_weight(plan, "default ", weight);
    }
    for device in block_io.weight_device().iter().flatten() {
        refuse(device.leaf_weight().is_some_and(|weight| weight != 0), "blockIO.weightDevice.leafWeight")?;
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            plan_io_weight(plan, &format!("{}:{} ", device.major(), device.minor()), weight);
        }
    }
    let throttles = [
        ("rbps", block_io.throttle_read_bps_device()),
        ("wbps", block_io.throttle_write_bps_device()),
        ("riops", block_io.throttle_read_iops_device()),
        ("wiops", block_io.throttle_write_iops_device()),
    ];
    for (key, devices) in throttles {
        for device in devices.iter().flatten() {
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
            plan.push(Setting::new("io", "io.max", value));
        }
    }
    Ok(())
}

/// The BFQ scheduler takes the specification's range (10 to 1000) as it is; `io.weight` has 1 to 10000. Which of the two
/// files a machine has depends on its kernel's configuration.
fn plan_io_weight(plan: &mut Plan, subject: &str, weight: u16) {
    let converted = 1 + (u64::from(weight.max(10)) - 10) * 9999 / 990;
    plan.steps.push(Step::Either(
        Setting::new("io", "io.bfq.weight", format!("{subject}{weight}")),
        Setting::new("io", "io.weight", format!("{subject}{converted}")),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_lines(json: &str, mode: Mode) -> Result<Vec<String>, CgroupError> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let steps = plan(&resources, mode, "12345")?;
        Ok(steps
            .iter()
            .flat_map(Step::settings)
            .map(|s| format!("{} {}", s.files.join("|"), s.value))
            .collect())
    }

    fn lines(json: &str, mode: Mode) -> Vec<String> {
        try_lines(json, mode).unwrap()
    }

    #[test]
    fn shares_become_weights_and_keep_ends_and_default() {
        let pairs = [(2, 1), (10, 4), (100, 17), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)];
        for (shares, weight) in pairs {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        assert!((3..2000).all(|shares| cpu_weight(shares) <= cpu_weight(shares + 1)));
    }

    #[test]
    fn plan_of_nothing_or_defaults_writes_nothing() {
        assert!(lines("{}", Mode::Create).is_empty());
        let defaults = r#"{"memory":{"limit":-1,"swap":-1,"disableOOMKiller":false,"swappiness":18446744073709551615},
                           "cpu":{"shares":1024,"quota":-1},"pids":{"limit":-1}}"#;
        assert!(lines(defaults, Mode::Create).is_empty());
        assert_eq!(
            lines(defaults, Mode::Update),
            ["cpu.weight 100", "cpu.max max", "memory.swap.max max", "memory.max max", "pids.max max"]
        );
    }

    #[test]
    fn plan_covers_every_field() {
        let json = r#"{
            "cpu":{"shares":512,"quota":50000,"period":200000,"burst":1000,"cpus":"0-1","mems":"0","idle":0},
            "memory":{"limit":1000,"swap":2500,"reservation":500},
            "pids":{"limit":7},
            "blockIO":{"weight":300,"weightDevice":[{"major":8,"minor":0,"weight":1000}],
                       "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":0}],
                       "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":4}]},
            "hugepageLimits":[{"pageSize":"2MB","limit":9}],
            "rdma":{"mlx5_1":{"hcaHandles":3}}
        }"#;
        assert_eq!(
            lines(json, Mode::Create),
            [
                "cpu.weight 59",
                "cpu.max 50000 200000",
                "cpu.max.burst 1000",
                "cpuset.cpus 0-1",
                "cpuset.mems 0",
                "memory.swap.max 1500",
                "memory.max 1000",
                "memory.low 500",
                "pids.max 7",
                "io.bfq.weight default 300",
                "io.weight default 2930",
                "io.bfq.weight 8:0 1000",
                "io.weight 8:0 10000",
                "io.max 8:0 rbps=1",
                "io.max 8:0 wbps=max",
                "io.max 8:0 riops=3",
                "io.max 8:0 wiops=4",
                "hugetlb.2MB.max 9",
                "hugetlb.2MB.rsvd.max 9",
                "rdma.max mlx5_1 hca_handle=3",
            ]
        );
    }

    #[test]
    fn period_alone_keeps_the_quota() {
        assert_eq!(lines(r#"{"cpu":{"period":20000}}"#, Mode::Update), ["cpu.max 12345 20000"]);
    }

    #[test]
    fn field_without_counterpart_is_refused_by_name() {
        for (json, name) in [
            (r#"{"memory":{"swappiness":10}}"#, "memory.swappiness"),
            (r#"{"memory":{"disableOOMKiller":true}}"#, "memory.disableOOMKiller"),
            (r#"{"memory":{"kernel":10}}"#, "memory.kernel"),
            (r#"{"memory":{"kernelTCP":10}}"#, "memory.kernelTCP"),
            (r#"{"cpu":{"realtimeRuntime":10}}"#, "cpu.realtimeRuntime"),
            (r#"{"cpu":{"realtimePeriod":10}}"#, "cpu.realtimePeriod"),
            (r#"{"blockIO":{"leafWeight":10}}"#, "blockIO.leafWeight"),
            (r#"{"network":{"classID":1}}"#, "network.classID"),
        ] {
            let error = try_lines(json, Mode::Create).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is not supported")), "{error}");
        }
    }

    #[test]
    fn swap_limit_is_the_difference() {
        assert_eq!(swap_limit(Some(10), Some(10)).unwrap().as_deref(), Some("0"));
        assert_eq!(swap_limit(Some(10), Some(-1)).unwrap().as_deref(), Some("max"));
        assert_eq!(swap_limit(Some(10), None).unwrap(), None);
        assert!(swap_limit(Some(10), Some(9)).is_err());
        assert!(swap_limit(None, Some(9)).is_err());
        assert!(swap_limit(Some(-1), Some(9)).is_err());
    }

    #[test]
    fn unified_name_with_a_slash_is_refused() {
        let resources: LinuxResources =
            serde_json::from_str(r#"{"unified":{"../cgroup.procs":"0"}}"#).unwrap();
        assert!(plan_unified(&resources).is_err());
    }
}
