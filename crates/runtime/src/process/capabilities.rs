//! The five capability sets of a process.

use oci::runtime::{Capabilities, LinuxCapabilities};
use rustix::thread::{CapabilitySet, CapabilitySets};
use sys::Errno;

use crate::error::{Error, Step};

/// The sets, as bits by capability number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CapabilityPlan {
    pub(crate) bounding: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

impl CapabilityPlan {
    /// What a configuration says; without one there are none.
    pub(crate) fn new(capabilities: Option<&LinuxCapabilities>) -> Self {
        let Some(capabilities) = capabilities else { return Self::default() };
        Self {
            bounding: bits(capabilities.bounding().as_ref()),
            permitted: bits(capabilities.permitted().as_ref()),
            effective: bits(capabilities.effective().as_ref()),
            inheritable: bits(capabilities.inheritable().as_ref()),
            ambient: bits(capabilities.ambient().as_ref()),
        }
    }

    /// All that the kernel knows, in the sets that `--privileged` gives.
    pub(crate) fn all() -> Self {
        Self { bounding: u64::MAX, permitted: u64::MAX, effective: u64::MAX, inheritable: 0, ambient: 0 }
    }
}

fn bits(capabilities: Option<&Capabilities>) -> u64 {
    capabilities
        .into_iter()
        .flatten()
        .fold(0, |bits, capability| bits | 1 << oci::capability::number(*capability))
}

/// Drops everything from the bounding set that is not in `keep`; needs `CAP_SETPCAP`. Returns what the
/// kernel knows and this process has.
///
/// # Errors
/// As `prctl(PR_CAPBSET_DROP)`.
pub(crate) fn drop_bounding(keep: u64) -> Result<u64, Error> {
    let mut known = 0;
    for number in 0..u64::BITS {
        let bit = 1 << number;
        let capability = CapabilitySet::from_bits_retain(bit);
        let result = if keep & bit == 0 {
            rustix::thread::remove_capability_from_bounding_set(capability).map(|()| true)
        } else {
            rustix::thread::capability_is_in_bounding_set(capability)
        };
        match result {
            Ok(true) => known |= bit,
            // This process itself was not given it, so it cannot give it away.
            Ok(false) => {}
            // The number after the last capability of the running kernel.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).step("drop from the capability bounding set"),
        }
    }
    Ok(known)
}

/// Sets the other sets; what the kernel does not know is left out.
///
/// # Errors
/// As `capset(2)` and `prctl(PR_CAP_AMBIENT)`.
pub(crate) fn apply(plan: CapabilityPlan, known: u64) -> Result<(), Error> {
    let set = |bits: u64| CapabilitySet::from_bits_retain(bits & known);
    let sets = CapabilitySets {
        effective: set(plan.effective),
        permitted: set(plan.permitted),
        inheritable: set(plan.inheritable),
    };
    rustix::thread::set_capabilities(None, sets).step("set capabilities")?;
    rustix::thread::clear_ambient_capability_set().step("clear ambient capabilities")?;
    for number in (0..u64::BITS).filter(|number| plan.ambient & known & 1 << number != 0) {
        rustix::thread::configure_capability_in_ambient_set(
            CapabilitySet::from_bits_retain(1 << number),
            true,
        )
        .step("raise an ambient capability")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_default_has_its_known_bits() {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ];
        let names: Vec<String> = names.iter().map(|name| format!("CAP_{name}")).collect();
        let parsed: LinuxCapabilities =
            serde_json::from_value(serde_json::json!({ "bounding": names })).expect("capabilities");
        let plan = CapabilityPlan::new(Some(&parsed));
        assert_eq!((plan.bounding, plan.effective), (0xa804_25fb, 0));
    }
}
