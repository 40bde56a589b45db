//! An engine's next life, and several engines on one machine.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use crate::support::{
    Engine, Server, address, ask_from, eventually, identity, on_machine, request, run, veths,
};

#[test]
fn restart_keeps_identities_and_addresses_in_use() {
    on_machine(|| {
        let engine = Engine::new();
        let ids: Vec<_> =
            engine.networks.list().into_iter().map(|network| (network.name, network.id)).collect();
        assert_eq!(ids.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["bridge", "host", "none"]);
        let (one, two) = (engine.container("one"), engine.container("two"));
        engine.networks.release(&one.endpoint);
        let (networks, ..) = engine.restart();
        networks.restore(vec![two.endpoint.clone()]).unwrap();
        let again: Vec<_> = networks.list().into_iter().map(|network| (network.name, network.id)).collect();
        assert_eq!(again, ids);
        let bridge = networks.inspect("bridge").unwrap();
        assert_eq!(networks.inspect(&bridge.id[..12]).unwrap(), bridge);
        assert_eq!(networks.endpoints(&bridge.id), std::slice::from_ref(&two.endpoint));
        assert_eq!(networks.connect(request("three")).unwrap().endpoint.ipv4, one.endpoint.ipv4);
        assert_eq!(
            networks.connect(request("four")).unwrap().endpoint.ipv4.unwrap().to_string(),
            "172.17.0.4"
        );
    });
}

#[test]
fn restart_removes_interfaces_of_nobody_and_keeps_the_others() {
    on_machine(|| {
        let engine = Engine::new();
        let (kept, lost) = (engine.container("kept"), engine.container("lost"));
        run("ip", &["link", "add", "veth0000000", "type", "veth", "peer", "name", "mine"]);
        let (networks, ..) = engine.restart();
        networks.restore(vec![kept.endpoint.clone()]).unwrap();
        let mut left =
            vec![kept.endpoint.host_interface.clone().unwrap(), "mine".into(), "veth0000000".into()];
        left.sort();
        let mut present = veths();
        present.sort();
        assert_eq!(present, left, "a veth that is no port of our bridge is none of our business");
        assert_ne!(identity(kept.netns.as_fd()), identity(lost.netns.as_fd()));
        let server = Server::in_sandbox(&kept, 80);
        let other = networks.connect(request("other")).unwrap();
        let target = SocketAddr::new(address(&kept), server.address.port());
        assert!(ask_from(other.netns.as_fd(), target).is_some());
    });
}

#[test]
fn two_engines_side_by_side_do_not_meet() {
    on_machine(|| {
        let first = Engine::new();
        let second = Engine::with(|config| {
            config.bridge = "corten1".to_owned();
            config.table = "corten-second".to_owned();
        });
        let (one, two) = (first.container("one"), second.container("two"));
        assert_eq!(address(&one).to_string(), "172.17.0.2");
        assert_eq!(address(&two).to_string(), "172.18.0.2");
        let server = Server::in_sandbox(&two, 80);
        let target = SocketAddr::new(address(&two), server.address.port());
        assert_eq!(ask_from(one.netns.as_fd(), target), None);
        second.networks.release(&two.endpoint);
        drop((server, two));
        eventually("only the first engine's veth is left", || veths().len() == 1);
        second.networks.dismantle().unwrap();
        assert!(run("nft", &["list", "tables"]).contains("inet corten\n"));
    });
}

#[test]
fn restore_endpoint_of_another_subnet_is_left_out() {
    on_machine(|| {
        let engine = Engine::new();
        let one = engine.container("one");
        let mut config = engine.config.clone();
        config.bip = Some("10.88.0.1/24".parse().unwrap());
        drop(engine.networks);
        let networks = network::Networks::open(config).unwrap();
        networks.restore(vec![one.endpoint.clone()]).unwrap();
        let sandbox = networks.connect(request("two")).unwrap();
        assert_eq!(sandbox.endpoint.ipv4.unwrap().to_string(), "10.88.0.2");
        let addresses = run("ip", &["-o", "-4", "address", "show", "dev", "corten0"]);
        assert!(addresses.contains("10.88.0.1/24") && !addresses.contains("172.17"), "{addresses}");
    });
}
