//! The specification's limits as values of version 1 files.

use oci::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources, LinuxThrottleDevice};

use super::CgroupError;
use super::plan::{Mode, Plan, Setting, Step};

/// Decides what to write for `resources`, without devices. A number of 0 is "not set", as everywhere in the specification.
pub(super) fn plan(resources: &LinuxResources, mode: Mode) -> Result<Vec<Step>, CgroupError> {
    let mut plan = Plan::new(mode);
    if let Some(cpu) = resources.cpu() {
        plan_cpu(&mut plan, cpu);
        plan_cpuset(&mut plan, cpu);
    }
    if let Some(memory) = resources.memory() {
        plan_memory(&mut plan, memory)?;
    }
    if let Some(limit) = resources.pids().as_ref().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
        let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
        plan.push_unless("max", Setting::new("pids", "pids.max", value));
    }
    if let Some(block_io) = resources.block_io() {
        plan_block_io(&mut plan, block_io);
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        let size = limit.page_size();
        plan.push(Setting::new("hugetlb", format!("hugetlb.{size}.limit_in_bytes"), limit.limit()));
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        plan.push(Setting::new("hugetlb", reserved, limit.limit()).optional());
    }
    if let Some(network) = resources.network() {
        plan_network(&mut plan, network);
    }
    plan_rdma(&mut plan, resources);
    Ok(plan.steps)
}

fn plan_cpu(plan: &mut Plan, cpu: &LinuxCpu) {
    // The kernel refuses shares while the group is idle.
    if let Some(idle) = cpu.idle() {
        plan.push_unless("0", Setting::new("cpu", "cpu.idle", idle));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && cpu.idle() != Some(1)) {
        plan.push_unless("1024", Setting::new("cpu", "cpu.shares", shares));
    }
    let period = cpu.period().filter(|period| *period != 0);
    let quota = cpu.quota().filter(|quota| *quota != 0).map(|quota| quota.max(-1));
    let fresh = plan.mode == Mode::Create;
    plan.push_pair(
        period
            .filter(|period| !(fresh && *period == 100_000))
            .map(|period| Setting::new("cpu", "cpu.cfs_period_us", period)),
        quota
            .filter(|quota| !(fresh && *quota == -1))
            .map(|quota| Setting::new("cpu", "cpu.cfs_quota_us", quota)),
    );
    if let Some(burst) = cpu.burst() {
        plan.push_unless("0", Setting::new("cpu", "cpu.cfs_burst_us", burst));
    }
    plan.push_pair(
        cpu.realtime_period()
            .filter(|period| *period != 0)
            .map(|period| Setting::new("cpu", "cpu.rt_period_us", period)),
        cpu.realtime_runtime()
            .filter(|runtime| *runtime != 0)
            .map(|runtime| Setting::new("cpu", "cpu.rt_runtime_us", runtime)),
    );
}

/// Shared with version 2, whose files have the same names.
pub(super) fn plan_cpuset(plan: &mut Plan, cpu: &LinuxCpu) {
    for (file, value) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            plan.push(Setting::new("cpuset", file, value));
        }
    }
}

fn plan_memory(plan: &mut Plan, memory: &LinuxMemory) -> Result<(), CgroupError> {
    let set = |file: &str, value: Option<i64>| {
        value.filter(|value| *value != 0).map(|value| Setting::new("memory", file, value.max(-1)))
    };
    let mut limit = set("memory.limit_in_bytes", memory.limit());
    let mut swap = set("memory.memsw.limit_in_bytes", memory.swap());
    if limit.as_ref().is_some_and(|limit| limit.value == "-1") && swap.is_none() {
        // Without a memory limit the sum of both cannot be limited either; a kernel without swap accounting has no file.
        swap = Some(Setting::new("memory", "memory.memsw.limit_in_bytes", -1).optional());
    }
    if plan.mode == Mode::Create {
        limit = limit.filter(|limit| limit.value != "-1");
        swap = swap.filter(|swap| swap.value != "-1");
    }
    plan.push_pair(limit, swap);
    plan.steps.extend(set("memory.soft_limit_in_bytes", memory.reservation()).map(Step::One));
    plan.steps.extend(set("memory.kmem.limit_in_bytes", memory.kernel()).map(Step::One));
    plan.steps.extend(set("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp()).map(Step::One));
    // Docker's clients send -1 for "as the machine has it".
    match memory.swappiness().filter(|value| *value != u64::MAX) {
        Some(value) if value > 100 => {
            return Err(CgroupError::Invalid {
                setting: "memory.swappiness",
                reason: format!("{value} is not between 0 and 100"),
            });
        }
        Some(value) => plan.push(Setting::new("memory", "memory.swappiness", value)),
        None => {}
    }
    if let Some(disable) = memory.disable_oom_killer() {
        plan.push_unless("0", Setting::new("memory", "memory.oom_control", u8::from(disable)));
    }
    if memory.use_hierarchy() == Some(true) && plan.mode == Mode::Create {
        plan.push(Setting::new("memory", "memory.use_hierarchy", 1));
    }
    Ok(())
}

fn plan_block_io(plan: &mut Plan, block_io: &LinuxBlockIo) {
    if let Some(weight) = block_io.weight().filter(|weight| *weight != 0) {
        plan.push(Setting::new("blkio", "blkio.weight", weight).or("blkio.bfq.weight"));
    }
    if let Some(weight) = block_io.leaf_weight().filter(|weight| *weight != 0) {
        plan.push(Setting::new("blkio", "blkio.leaf_weight", weight));
    }
    for device in block_io.weight_device().iter().flatten() {
        let name = format!("{}:{}", device.major(), device.minor());
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            let value = format!("{name} {weight}");
            plan.push(Setting::new("blkio", "blkio.weight_device", value).or("blkio.bfq.weight_device"));
        }
        if let Some(weight) = device.leaf_weight().filter(|weight| *weight != 0) {
            plan.push(Setting::new("blkio", "blkio.leaf_weight_device", format!("{name} {weight}")));
        }
    }
    let throttles = [
        ("blkio.throttle.read_bps_device", block_io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", block_io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", block_io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", block_io.throttle_write_iops_device()),
    ];
    for (file, devices) in throttles {
        for device in devices.iter().flatten() {
            plan.push(Setting::new("blkio", file, throttle(device)));
        }
    }
}

fn throttle(device: &LinuxThrottleDevice) -> String {
    format!("{}:{} {}", device.major(), device.minor(), device.rate())
}

fn plan_network(plan: &mut Plan, network: &LinuxNetwork) {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        plan.push(Setting::new("net_cls", "net_cls.classid", class));
    }
    for priority in network.priorities().iter().flatten() {
        let value = format!("{} {}", priority.name(), priority.priority());
        plan.push(Setting::new("net_prio", "net_prio.ifpriomap", value));
    }
}

/// Shared with version 2, whose file has the same name and format.
pub(super) fn plan_rdma(plan: &mut Plan, resources: &LinuxResources) {
    let mut devices: Vec<_> = resources.rdma().iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    for (name, limits) in devices {
        let mut value = name.clone();
        if let Some(handles) = limits.hca_handles() {
            value.push_str(&format!(" hca_handle={handles}"));
        }
        if let Some(objects) = limits.hca_objects() {
            value.push_str(&format!(" hca_object={objects}"));
        }
        plan.push(Setting::new("rdma", "rdma.max", value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(json: &str, mode: Mode) -> Vec<String> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let steps = plan(&resources, mode).unwrap();
        steps.iter().flat_map(Step::settings).map(|s| format!("{} {}", s.files.join("|"), s.value)).collect()
    }

    #[test]
    fn plan_of_nothing_writes_nothing() {
        assert!(lines("{}", Mode::Create).is_empty());
        let zeros = r#"{"memory":{"limit":0,"swap":0,"disableOOMKiller":false,"swappiness":18446744073709551615},
                        "cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},"pids":{"limit":0},"blockIO":{"weight":0}}"#;
        assert!(lines(zeros, Mode::Create).is_empty());
    }

    #[test]
    fn plan_of_defaults_writes_only_on_update() {
        let defaults =
            r#"{"memory":{"limit":-1},"cpu":{"shares":1024,"quota":-1,"period":100000},"pids":{"limit":-1}}"#;
        assert!(lines(defaults, Mode::Create).is_empty());
        assert_eq!(
            lines(defaults, Mode::Update),
            [
                "cpu.shares 1024",
                "cpu.cfs_period_us 100000",
                "cpu.cfs_quota_us -1",
                "memory.limit_in_bytes -1",
                "memory.memsw.limit_in_bytes -1",
                "pids.max max",
            ]
        );
    }

    #[test]
    fn plan_covers_every_field() {
        let json = r#"{
            "cpu":{"shares":512,"quota":50000,"period":200000,"burst":1000,"realtimeRuntime":95,"realtimePeriod":100,
                   "cpus":"0-1","mems":"0","idle":0},
            "memory":{"limit":1000,"swap":2000,"reservation":500,"kernel":30,"kernelTCP":40,"swappiness":60,
                      "disableOOMKiller":true,"useHierarchy":true},
            "pids":{"limit":7},
            "blockIO":{"weight":300,"leafWeight":20,"weightDevice":[{"major":8,"minor":0,"weight":100,"leafWeight":50}],
                       "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}],"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":2}],
                       "throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":3}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":4}]},
            "hugepageLimits":[{"pageSize":"2MB","limit":9}],
            "network":{"classID":1048577,"priorities":[{"name":"eth0","priority":5}]},
            "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000}}
        }"#;
        assert_eq!(
            lines(json, Mode::Create),
            [
                "cpu.shares 512",
                "cpu.cfs_period_us 200000",
                "cpu.cfs_quota_us 50000",
                "cpu.cfs_burst_us 1000",
                "cpu.rt_period_us 100",
                "cpu.rt_runtime_us 95",
                "cpuset.cpus 0-1",
                "cpuset.mems 0",
                "memory.limit_in_bytes 1000",
                "memory.memsw.limit_in_bytes 2000",
                "memory.soft_limit_in_bytes 500",
                "memory.kmem.limit_in_bytes 30",
                "memory.kmem.tcp.limit_in_bytes 40",
                "memory.swappiness 60",
                "memory.oom_control 1",
                "memory.use_hierarchy 1",
                "pids.max 7",
                "blkio.weight|blkio.bfq.weight 300",
                "blkio.leaf_weight 20",
                "blkio.weight_device|blkio.bfq.weight_device 8:0 100",
                "blkio.leaf_weight_device 8:0 50",
                "blkio.throttle.read_bps_device 8:0 1",
                "blkio.throttle.write_bps_device 8:0 2",
                "blkio.throttle.read_iops_device 8:0 3",
                "blkio.throttle.write_iops_device 8:0 4",
                "hugetlb.2MB.limit_in_bytes 9",
                "hugetlb.2MB.rsvd.limit_in_bytes 9",
                "net_cls.classid 1048577",
                "net_prio.ifpriomap eth0 5",
                "rdma.max mlx5_1 hca_handle=3 hca_object=10000",
            ]
        );
    }

    #[test]
    fn swappiness_above_100_is_refused() {
        let resources: LinuxResources = serde_json::from_str(r#"{"memory":{"swappiness":101}}"#).unwrap();
        assert!(plan(&resources, Mode::Create).is_err());
    }
}
