//! Resource limits that make no sense, alone or together. The texts are Docker's.

use api::container::HostConfig;

use crate::error::Error;

const SMALLEST_MEMORY: i64 = 6 * 1024 * 1024;
const BILLION: i64 = 1_000_000_000;

pub(super) fn check(host_config: &HostConfig) -> Result<(), Error> {
    memory(host_config)?;
    cpu(host_config)?;
    cpuset(host_config)?;
    block_io(host_config)?;
    ulimits(host_config)
}

fn memory(host: &HostConfig) -> Result<(), Error> {
    let swappiness = host.memory_swappiness.unwrap_or(-1);
    let refusal = if host.memory != 0 && host.memory < SMALLEST_MEMORY {
        "Minimum memory limit allowed is 6MB"
    } else if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    } else if host.memory == 0 && host.memory_swap > 0 {
        "You should always set the Memory limit when using Memoryswap limit, see usage"
    } else if host.memory_reservation != 0 && host.memory_reservation < SMALLEST_MEMORY {
        "Minimum memory reservation allowed is 6MB"
    } else if host.memory > 0 && host.memory_reservation > host.memory {
        "Minimum memory limit can not be less than memory reservation limit, see usage"
    } else if !(-1..=100).contains(&swappiness) {
        return Err(Error::invalid(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )));
    } else {
        return Ok(());
    };
    Err(Error::invalid(refusal))
}

fn cpu(host: &HostConfig) -> Result<(), Error> {
    let cpus = std::thread::available_parallelism()
        .map_or(1, |count| i64::try_from(count.get()).unwrap_or(i64::MAX));
    let refusal = if host.nano_cpus > 0 && host.cpu_period > 0 {
        "Conflicting options: Nano CPUs and CPU Period cannot both be set".to_owned()
    } else if host.nano_cpus > 0 && host.cpu_quota > 0 {
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set".to_owned()
    } else if host.nano_cpus < 0 || host.nano_cpus > cpus.saturating_mul(BILLION) {
        format!("range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    } else if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".to_owned()
    } else if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        "CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned()
    } else if host.cpu_shares < 0 {
        format!("invalid CPU shares ({}): value must be a positive integer", host.cpu_shares)
    } else {
        return Ok(());
    };
    Err(Error::invalid(refusal))
}

fn cpuset(host: &HostConfig) -> Result<(), Error> {
    let fields = [
        ("cpuset cpus", "CPUs", &host.cpuset_cpus, "/sys/devices/system/cpu/online"),
        ("cpuset mems", "memory nodes", &host.cpuset_mems, "/sys/devices/system/node/online"),
    ];
    for (field, what, asked, online) in fields {
        if asked.is_empty() {
            continue;
        }
        let wanted =
            parse_list(asked).ok_or_else(|| Error::invalid(format!("Invalid value {asked} for {field}")))?;
        // A kernel without NUMA lists no nodes: it has the one.
        let available = std::fs::read_to_string(online).unwrap_or_else(|_| "0".to_owned());
        let present = parse_list(available.trim()).unwrap_or_default();
        if !wanted.iter().all(|number| present.contains(number)) {
            return Err(Error::invalid(format!(
                "Requested {what} are not available - requested {asked}, available: {}",
                available.trim()
            )));
        }
    }
    Ok(())
}

/// Reads the kernel's list format, `0-2,4`.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    const MOST: u32 = 8192;
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn block_io(host: &HostConfig) -> Result<(), Error> {
    let devices = host.blkio_weight_device.iter().flatten().map(|device| device.weight);
    for weight in devices.chain([host.blkio_weight]) {
        if weight != 0 && !(10..=1000).contains(&weight) {
            return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
        }
    }
    Ok(())
}

fn ulimits(host: &HostConfig) -> Result<(), Error> {
    for limit in host.ulimits.iter().flatten() {
        let above = limit.hard >= 0 && (limit.soft > limit.hard || limit.soft == -1);
        if above {
            return Err(Error::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HostConfig)) -> String {
        let mut host = HostConfig::default();
        change(&mut host);
        check(&host).unwrap_err().to_string()
    }

    #[test]
    fn memory_limits_are_checked_together() {
        assert_eq!(refused(|host| host.memory = 1024), "Minimum memory limit allowed is 6MB");
        assert!(
            refused(|host| host.memory_swap = 1 << 30).starts_with("You should always set the Memory limit")
        );
        assert!(
            refused(|host| (host.memory, host.memory_swap) = (64 << 20, 32 << 20))
                .starts_with("Minimum memoryswap")
        );
        let unlimited_swap = HostConfig { memory: 64 << 20, memory_swap: -1, ..HostConfig::default() };
        assert!(check(&unlimited_swap).is_ok());
    }

    #[test]
    fn processor_limits_are_checked() {
        assert!(
            refused(|host| host.nano_cpus = 1_000_000 * BILLION).starts_with("range of CPUs is from 0.01 to")
        );
        assert!(
            refused(|host| (host.nano_cpus, host.cpu_quota) = (1, 1000)).starts_with("Conflicting options")
        );
        assert!(refused(|host| host.cpu_quota = 10).starts_with("CPU cfs quota"));
    }

    #[test]
    fn processor_lists_are_read_as_the_kernel_does() {
        assert_eq!(parse_list("0-2,4"), Some(vec![0, 1, 2, 4]));
        for bad in ["", "a", "2-1", "0-99999999", "1,,2"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
        assert_eq!(refused(|host| host.cpuset_cpus = "x".into()), "Invalid value x for cpuset cpus");
        assert!(
            refused(|host| host.cpuset_cpus = "8000".into()).starts_with("Requested CPUs are not available")
        );
    }
}
