//! What `info` says in each version of the API.

use api::ApiVersion;
use api::system::{Commit, Info};
use serde_json::Value;

/// Takes away what is newer than the version, and adds what only older ones have.
pub(super) fn info(mut info: Info, version: ApiVersion) -> Info {
    if !version.at_least(25) {
        info.security_options.iter_mut().for_each(|option| *option = name_only(option));
    }
    if !version.at_least(39) {
        for name in [&mut info.kernel_version, &mut info.operating_system] {
            if name.is_empty() {
                "<unknown>".clone_into(name);
            }
        }
    }
    if !version.at_least(42) {
        // Limits of kernel memory are refused.
        (info.kernel_memory, info.kernel_memory_tcp) = (Some(false), Some(false));
    }
    if !version.at_least(47)
        && let Some(registries) = &mut info.registry_config
    {
        registries.nondistributable_cidrs = Some(Value::Null);
        registries.nondistributable_hostnames = Some(Value::Null);
    }
    if !version.at_least(49) {
        info.firewall_backend = None;
        for Commit { id, expected } in
            [&mut info.containerd_commit, &mut info.runc_commit, &mut info.init_commit]
        {
            *expected = Some(id.clone());
        }
    }
    if version.at_least(50) {
        (info.bridge_nf_iptables, info.bridge_nf_ip6tables) = (None, None);
    }
    info
}

/// `seccomp` of `name=seccomp,profile=builtin`.
fn name_only(option: &str) -> String {
    let name = option.split(',').find_map(|part| part.strip_prefix("name="));
    name.unwrap_or(option).to_owned()
}

#[cfg(test)]
mod tests {
    use api::system::{FirewallInfo, RegistryConfig};
    use serde_json::json;

    use super::*;

    fn shown(minor: u16) -> Value {
        let everything = Info {
            security_options: vec!["name=seccomp,profile=builtin".to_owned(), "name=cgroupns".to_owned()],
            registry_config: Some(RegistryConfig::default()),
            firewall_backend: Some(FirewallInfo { driver: "nftables".to_owned(), info: None }),
            runc_commit: Commit { id: "1".to_owned(), expected: None },
            bridge_nf_iptables: Some(true),
            bridge_nf_ip6tables: Some(false),
            ..Info::default()
        };
        serde_json::to_value(info(everything, ApiVersion::new(1, minor))).unwrap()
    }

    #[test]
    fn security_options_are_names_in_1_24() {
        assert_eq!(shown(24)["SecurityOptions"], json!(["seccomp", "cgroupns"]));
        assert_eq!(shown(25)["SecurityOptions"], json!(["name=seccomp,profile=builtin", "name=cgroupns"]));
    }

    #[test]
    fn what_is_not_known_is_said_so_up_to_1_38() {
        assert_eq!(shown(38)["KernelVersion"], "<unknown>");
        assert_eq!(shown(38)["OperatingSystem"], "<unknown>");
        assert_eq!(shown(39)["KernelVersion"], "");
    }

    #[test]
    fn kernel_memory_is_told_up_to_1_41() {
        assert_eq!(
            (&shown(41)["KernelMemory"], &shown(41)["KernelMemoryTCP"]),
            (&json!(false), &json!(false))
        );
        assert_eq!((shown(42).get("KernelMemory"), shown(42).get("KernelMemoryTCP")), (None, None));
    }

    #[test]
    fn nondistributable_artifacts_are_null_up_to_1_46() {
        let fields = ["AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames"];
        for field in fields {
            assert_eq!(shown(46)["RegistryConfig"].get(field), Some(&Value::Null));
            assert_eq!(shown(47)["RegistryConfig"].get(field), None);
        }
    }

    #[test]
    fn expected_commits_give_way_to_the_firewall_in_1_49() {
        assert_eq!(shown(48)["RuncCommit"], json!({"ID": "1", "Expected": "1"}));
        assert_eq!(shown(48).get("FirewallBackend"), None);
        assert_eq!(shown(49)["RuncCommit"], json!({"ID": "1"}));
        assert_eq!(shown(49)["FirewallBackend"]["Driver"], "nftables");
    }

    #[test]
    fn firewall_of_bridges_is_told_up_to_1_49() {
        assert_eq!(
            (&shown(49)["BridgeNfIptables"], &shown(49)["BridgeNfIp6tables"]),
            (&json!(true), &json!(false))
        );
        assert_eq!((shown(50).get("BridgeNfIptables"), shown(50).get("BridgeNfIp6tables")), (None, None));
    }
}
