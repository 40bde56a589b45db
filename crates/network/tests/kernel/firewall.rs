//! The table in the kernel.

use crate::support::{Engine, on_machine, run};

#[test]
fn table_in_the_kernel_is_what_was_meant() {
    on_machine(|| {
        let _engine = Engine::new();
        let table = run("nft", &["list", "table", "inet", "corten"]);
        for line in [
            "elements = { 172.17.0.0/16 : jump guard-corten0 }",
            "elements = { \"corten0\" : jump to-corten0 }",
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
            "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
            "type filter hook prerouting priority raw; policy accept;",
            "iifname != \"lo\" ip daddr 127.0.0.0/8 drop",
            "ip daddr vmap @guard4",
            "ct state established,related accept",
            "oifname vmap @to",
            "ct status dnat accept",
            "fib daddr type local jump publish",
            "meta l4proto . th dport map @ports-any4",
            "oifname != \"corten0\" masquerade",
            "ip saddr 127.0.0.0/8 ct status dnat masquerade",
        ] {
            assert!(table.contains(line), "{line}\nis not in\n{table}");
        }
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim(), "1");
    });
}

#[test]
fn table_of_an_earlier_life_is_replaced() {
    on_machine(|| {
        run("nft", &["add table inet corten; add chain inet corten leftover"]);
        run("nft", &["add table inet other; add chain inet other precious"]);
        let engine = Engine::new();
        let all = run("nft", &["list", "ruleset"]);
        assert!(!all.contains("leftover") && all.contains("precious"), "{all}");
        let before = run("nft", &["list", "table", "inet", "corten"]);
        let (networks, _config, _folder) = engine.restart();
        networks.restore(Vec::new()).unwrap();
        assert_eq!(run("nft", &["list", "table", "inet", "corten"]), before);
    });
}

#[test]
fn dismantle_leaves_nothing() {
    on_machine(|| {
        let engine = Engine::new();
        engine.networks.dismantle().unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(run("ip", &["-o", "link"]).lines().count(), 1);
    });
}

#[test]
fn firewall_switched_off_installs_nothing() {
    on_machine(|| {
        let engine = Engine::with(|config| config.firewall = false);
        let _sandbox = engine.container("one");
        assert_eq!(run("nft", &["list", "ruleset"]), "");
    });
}
