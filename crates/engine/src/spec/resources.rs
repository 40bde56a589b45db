//! Resource limits, as the cgroups get them.

use std::os::unix::fs::MetadataExt;

use api::container::{HostConfig, ThrottleDevice, WeightDevice};
use oci::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxThrottleDeviceBuilder, LinuxWeightDevice, LinuxWeightDeviceBuilder,
};

use super::devices::{self, Devices};
use crate::error::Error;

pub(super) fn resources(host: &HostConfig, devices: &Devices) -> Result<LinuxResources, Error> {
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(devices.rules.clone()))
        .set_memory(memory(host))
        .set_cpu(cpu(host))
        .set_pids(pids(host))
        .set_block_io(block_io(host)?);
    Ok(resources)
}

fn memory(host: &HostConfig) -> Option<LinuxMemory> {
    let nonzero = |value: i64| (value != 0).then_some(value);
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(nonzero(host.memory))
        .set_reservation(nonzero(host.memory_reservation))
        .set_swap(nonzero(host.memory_swap))
        .set_swappiness(host.memory_swappiness.and_then(|value| u64::try_from(value).ok()))
        .set_disable_oom_killer(host.oom_kill_disable.filter(|&disable| disable));
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(host: &HostConfig) -> Option<LinuxCpu> {
    const PERIOD: i64 = 100_000;
    const BILLION: i64 = 1_000_000_000;
    let positive = |value: i64| u64::try_from(value).ok().filter(|&value| value > 0);
    let text = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    let (quota, period) = match host.nano_cpus {
        0 => (host.cpu_quota, host.cpu_period),
        nano => (nano.saturating_mul(PERIOD) / BILLION, PERIOD),
    };
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(positive(host.cpu_shares))
        .set_quota((quota != 0).then_some(quota))
        .set_period(positive(period))
        .set_realtime_runtime((host.cpu_realtime_runtime != 0).then_some(host.cpu_realtime_runtime))
        .set_realtime_period(positive(host.cpu_realtime_period))
        .set_cpus(text(&host.cpuset_cpus))
        .set_mems(text(&host.cpuset_mems));
    (cpu != LinuxCpu::default()).then_some(cpu)
}

fn pids(host: &HostConfig) -> Option<LinuxPids> {
    host.pids_limit.filter(|&limit| limit > 0).map(|limit| {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        pids
    })
}

fn block_io(host: &HostConfig) -> Result<Option<LinuxBlockIo>, Error> {
    let mut block_io = LinuxBlockIo::default();
    block_io
        .set_weight((host.blkio_weight != 0).then_some(host.blkio_weight))
        .set_weight_device(weights(&host.blkio_weight_device)?)
        .set_throttle_read_bps_device(throttles(&host.blkio_device_read_bps)?)
        .set_throttle_write_bps_device(throttles(&host.blkio_device_write_bps)?)
        .set_throttle_read_iops_device(throttles(&host.blkio_device_read_iops)?)
        .set_throttle_write_iops_device(throttles(&host.blkio_device_write_iops)?);
    Ok((block_io != LinuxBlockIo::default()).then_some(block_io))
}

fn weights(asked: &Option<Vec<WeightDevice>>) -> Result<Option<Vec<LinuxWeightDevice>>, Error> {
    let Some(asked) = asked.as_ref().filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let weight = |device: &WeightDevice| {
        let (major, minor) = block_device(&device.path)?;
        let weight = LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(device.weight);
        Ok(weight.build().expect("every field has a default"))
    };
    asked.iter().map(weight).collect::<Result<_, Error>>().map(Some)
}

fn throttles(asked: &Option<Vec<ThrottleDevice>>) -> Result<Option<Vec<LinuxThrottleDevice>>, Error> {
    let Some(asked) = asked.as_ref().filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let throttle = |device: &ThrottleDevice| {
        let (major, minor) = block_device(&device.path)?;
        let throttle = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(device.rate);
        Ok(throttle.build().expect("every field has a default"))
    };
    asked.iter().map(throttle).collect::<Result<_, Error>>().map(Some)
}

fn block_device(path: &str) -> Result<(i64, i64), Error> {
    let metadata = std::fs::metadata(path).map_err(Error::file("look at device", path))?;
    Ok(devices::numbers(metadata.rdev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn billionths_of_a_processor_become_quota_and_period() {
        let host = HostConfig { nano_cpus: 1_500_000_000, ..HostConfig::default() };
        let cpu = cpu(&host).unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn container_without_limits_sets_none() {
        let host =
            HostConfig { pids_limit: Some(-1), oom_kill_disable: Some(false), ..HostConfig::default() };
        assert_eq!((memory(&host), cpu(&host), pids(&host)), (None, None, None));
    }
}
