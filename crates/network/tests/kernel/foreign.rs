//! Rules of other programs.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use network::{PortBinding, Protocol, RulesState};

use crate::support::{Engine, Neighbour, Server, THERE, address, ask, ask_from, on_machine, request, run};

#[test]
fn forward_policy_drop_of_iptables_does_not_cut_containers_off() {
    on_machine(|| {
        run("iptables", &["-P", "FORWARD", "DROP"]);
        run("iptables", &["-A", "FORWARD", "-i", "other0", "-j", "ACCEPT"]);
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let (one, two) = (engine.container("one"), engine.container("two"));
        let outside = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        let inner = Server::in_sandbox(&two, 80);
        assert!(ask_from(one.netns.as_fd(), outside.address).is_some());
        let target = SocketAddr::new(address(&two), inner.address.port());
        assert!(ask_from(one.netns.as_fd(), target).is_some());
        // iptables still reads its table, and what others wrote is there.
        let rules = run("iptables", &["-S", "FORWARD"]);
        assert!(
            rules.contains("-A FORWARD -i corten0") && rules.contains("-A FORWARD -o corten0"),
            "{rules}"
        );
        assert!(rules.contains("-A FORWARD -i other0 -j ACCEPT"), "{rules}");
        engine.networks.replace_rules().unwrap();
        assert_eq!(run("iptables", &["-S", "FORWARD"]), rules, "a second time adds nothing");
        engine.networks.dismantle().unwrap();
        assert_eq!(run("iptables", &["-S", "FORWARD"]), "-P FORWARD DROP\n-A FORWARD -i other0 -j ACCEPT\n");
    });
}

#[test]
fn forward_policy_drop_set_later_is_noticed() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let sandbox = engine.container("one");
        let outside = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        run("iptables", &["-P", "FORWARD", "DROP"]);
        assert_eq!(ask_from(sandbox.netns.as_fd(), outside.address), None);
        assert_eq!(engine.networks.verify_rules().unwrap(), RulesState::Intact);
        assert!(ask_from(sandbox.netns.as_fd(), outside.address).is_some());
        run("iptables", &["-P", "FORWARD", "ACCEPT"]);
        engine.networks.verify_rules().unwrap();
        assert_eq!(run("iptables", &["-S", "FORWARD"]), "-P FORWARD ACCEPT\n");
    });
}

#[test]
fn damaged_rules_are_noticed_and_put_back() {
    on_machine(|| {
        let engine = Engine::new();
        let mut web = request("web");
        web.ports = vec![PortBinding {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: None,
            host_ports: Some((8080, 8080)),
        }];
        let web = engine.networks.connect(web).unwrap();
        let _server = Server::in_sandbox(&web, 80);
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        assert_eq!(engine.networks.verify_rules().unwrap(), RulesState::Intact);
        let rules = run("nft", &["list", "ruleset"]);
        for damage in [
            "flush ruleset",
            "delete table inet corten",
            "flush chain inet corten nat-output",
            "flush map inet corten ports-any4",
        ] {
            run("nft", &[damage]);
            assert_eq!(engine.networks.verify_rules().unwrap(), RulesState::Restored, "{damage}");
            assert_eq!(run("nft", &["list", "ruleset"]), rules, "{damage}");
            assert!(ask(target).is_some(), "{damage}");
            assert_eq!(engine.networks.verify_rules().unwrap(), RulesState::Intact, "{damage}");
        }
        run("nft", &["add table inet other"]);
        assert_eq!(
            engine.networks.verify_rules().unwrap(),
            RulesState::Intact,
            "a change elsewhere is no damage"
        );
        engine.networks.release(&web.endpoint);
        assert_eq!(engine.networks.verify_rules().unwrap(), RulesState::Intact);
    });
}
