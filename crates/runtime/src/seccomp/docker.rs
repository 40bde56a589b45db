//! Profiles in Docker's JSON format: the specification's, with entries that depend on capabilities, machine and kernel.

use oci::runtime::{Arch, Capability, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag};
use serde::Deserialize;

use super::arch::Abi;
use super::filter::{Action, Condition, Filter, Rule, rules_for};
use super::{KernelVersion, SeccompError, Target, spec};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<Arch>>,
    arch_map: Option<Vec<ArchMapping>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<String>,
    syscalls: Option<Vec<Entry>>,
}

/// A machine's own interface, and the others that it has.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMapping {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
    includes: Option<Circumstances>,
    excludes: Option<Circumstances>,
}

/// When an entry counts, or does not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Circumstances {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile. `None` where it asks for nothing.
pub(super) fn filter(text: &str, target: &Target) -> Result<Option<Filter>, SeccompError> {
    let profile: Profile = serde_json::from_str(text)?;
    let syscalls = profile.syscalls.as_deref().unwrap_or_default();
    let Some(action) = profile.default_action else {
        return if syscalls.is_empty() {
            Ok(None)
        } else {
            Err(SeccompError::Unsupported("a profile without defaultAction"))
        };
    };
    if profile.listener_path.as_ref().is_some_and(|path| !path.is_empty()) {
        return Err(SeccompError::Unsupported("listenerPath"));
    }
    let mut rules = Vec::new();
    for entry in syscalls {
        if entry.counts(target)? {
            rules.extend(entry.rules()?);
        }
    }
    if action == LinuxSeccompAction::ScmpActAllow && rules.is_empty() {
        return Ok(None);
    }
    Ok(Some(Filter {
        default_action: Action::from_spec(action, profile.default_errno_ret)?,
        abis: target.machine.abis(profile.interfaces(target)?),
        rules,
        flags: spec::flags(profile.flags.as_deref())?,
    }))
}

impl Profile {
    /// The interfaces listed, or those that the map has for the machine.
    fn interfaces(&self, target: &Target) -> Result<Vec<&Arch>, SeccompError> {
        let listed = self.architectures.as_deref().unwrap_or_default();
        let map = self.arch_map.as_deref().unwrap_or_default();
        if !listed.is_empty() && !map.is_empty() {
            return Err(SeccompError::Conflict("architectures", "archMap"));
        }
        let own = target.machine.abi();
        let mapped = map.iter().find(|mapping| Abi::from_spec(&mapping.architecture) == Some(own));
        Ok(match mapped {
            Some(mapping) => mapping.sub_architectures.iter().flatten().collect(),
            None => listed.iter().collect(),
        })
    }
}

impl Entry {
    fn counts(&self, target: &Target) -> Result<bool, SeccompError> {
        if let Some(excludes) = &self.excludes
            && excludes.any(target)?
        {
            return Ok(false);
        }
        self.includes.as_ref().map_or(Ok(true), |includes| includes.all(target))
    }

    fn rules(&self) -> Result<Vec<Rule>, SeccompError> {
        let names = self.names()?;
        let action = Action::from_spec(self.action, self.errno_ret)?;
        let args = self.args.as_deref().unwrap_or_default();
        let conditions: Result<Vec<Condition>, SeccompError> =
            args.iter().map(|arg| spec::condition(&names, arg)).collect();
        Ok(rules_for(&names, action, conditions?))
    }

    fn names(&self) -> Result<Vec<String>, SeccompError> {
        let names = self.names.clone().unwrap_or_default();
        match self.name.as_ref().filter(|name| !name.is_empty()) {
            Some(_) if !names.is_empty() => Err(SeccompError::Conflict("name", "names")),
            Some(name) => Ok(vec![name.clone()]),
            None => Ok(names),
        }
    }
}

impl Circumstances {
    /// For `excludes`: one that holds is enough.
    fn any(&self, target: &Target) -> Result<bool, SeccompError> {
        let here = target.machine.name();
        Ok(self.arches().any(|arch| arch == here)
            || self.caps().any(|name| has(target, name))
            || self.kernel()?.is_some_and(|least| target.kernel >= least))
    }

    /// For `includes`: the machine is one of those listed, every capability is there, the kernel is new enough.
    fn all(&self, target: &Target) -> Result<bool, SeccompError> {
        let here = target.machine.name();
        Ok((self.arches().next().is_none() || self.arches().any(|arch| arch == here))
            && self.caps().all(|name| has(target, name))
            && self.kernel()?.is_none_or(|least| target.kernel >= least))
    }

    fn arches(&self) -> impl Iterator<Item = &str> {
        self.arches.iter().flatten().map(String::as_str)
    }

    fn caps(&self) -> impl Iterator<Item = &str> {
        self.caps.iter().flatten().map(String::as_str)
    }

    fn kernel(&self) -> Result<Option<KernelVersion>, SeccompError> {
        let Some(text) = self.min_kernel.as_ref().filter(|text| !text.is_empty()) else { return Ok(None) };
        match KernelVersion::parse(text) {
            Some(version) => Ok(Some(version)),
            None => Err(SeccompError::KernelVersion(text.clone())),
        }
    }
}

/// Whether the target has the capability of this name; nobody has one whose name is unknown.
fn has(target: &Target, name: &str) -> bool {
    let capability: Option<Capability> = name.strip_prefix("CAP_").and_then(|name| name.parse().ok());
    capability.is_some_and(|capability| target.has(capability))
}
