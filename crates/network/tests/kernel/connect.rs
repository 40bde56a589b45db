//! Containers on the default bridge.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use network::{Cidr, Error, LinkedPort, Protocol};

use crate::support::{
    Engine, Neighbour, Server, THERE, address, ask, ask_from, eventually, inside, on_machine, request, run,
    veths,
};

#[test]
fn connect_default_bridge_gives_address_route_and_parameters() {
    on_machine(|| {
        let engine = Engine::new();
        let sandbox = engine.container("web");
        let endpoint = &sandbox.endpoint;
        assert_eq!(endpoint.ipv4.unwrap().to_string(), "172.17.0.2");
        assert_eq!(endpoint.ipv4_prefix, 16);
        assert_eq!(endpoint.gateway.unwrap().to_string(), "172.17.0.1");
        assert_eq!(endpoint.mac.unwrap().to_string(), "02:42:ac:11:00:02");
        assert_eq!(endpoint.endpoint_id.len(), 64);
        let (links, addresses, routes, ping, port) = inside(sandbox.netns.as_fd(), || {
            (
                run("ip", &["-o", "link"]),
                run("ip", &["-o", "address"]),
                run("ip", &["route"]),
                std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap(),
                std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap(),
            )
        });
        assert!(links.contains("eth0@") && links.contains("02:42:ac:11:00:02"), "{links}");
        assert!(links.contains("lo: <LOOPBACK,UP"), "{links}");
        assert!(addresses.contains("inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0"), "{addresses}");
        assert!(addresses.contains("inet6 ::1/128"), "{addresses}");
        assert!(!addresses.contains("fe80"), "a network without IPv6 has no IPv6 address: {addresses}");
        assert!(routes.contains("default via 172.17.0.1 dev eth0"), "{routes}");
        assert_eq!(ping.split_whitespace().collect::<Vec<_>>(), ["0", "2147483647"]);
        assert_eq!(port.trim(), "0");
        assert_eq!(veths(), [endpoint.host_interface.clone().unwrap()]);
    });
}

#[test]
fn containers_reach_gateway_and_each_other() {
    on_machine(|| {
        let engine = Engine::new();
        let (one, two) = (engine.container("one"), engine.container("two"));
        let host = Server::start(None, "172.17.0.1:7000".parse().unwrap());
        let server = Server::in_sandbox(&two, 80);
        assert_eq!(ask_from(one.netns.as_fd(), host.address), Some(address(&one)));
        let target = SocketAddr::new(address(&two), server.address.port());
        assert_eq!(ask_from(one.netns.as_fd(), target), Some(address(&one)));
        assert_eq!(ask(target).unwrap().to_string(), "172.17.0.1");
    });
}

#[test]
fn container_to_second_host_carries_the_hosts_address() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let sandbox = engine.container("client");
        let server = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(sandbox.netns.as_fd(), server.address).unwrap().to_string(), "198.51.100.1");
    });
}

#[test]
fn container_without_masquerade_carries_its_own_address() {
    on_machine(|| {
        let engine = Engine::with(|config| config.ip_masq = false);
        let neighbour = Neighbour::new();
        neighbour.route_here("172.17.0.0/16");
        let sandbox = engine.container("client");
        let server = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(sandbox.netns.as_fd(), server.address), Some(address(&sandbox)));
        let inner = Server::in_sandbox(&sandbox, 80);
        let target = SocketAddr::new(address(&sandbox), inner.address.port());
        assert_eq!(
            ask_from(neighbour.netns.as_fd(), target),
            None,
            "a new connection from outside came through"
        );
    });
}

#[test]
fn unpublished_port_from_routed_neighbour_is_unreachable() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        neighbour.route_here("172.17.0.0/16");
        let sandbox = engine.container("web");
        let server = Server::in_sandbox(&sandbox, 80);
        let target = SocketAddr::new(address(&sandbox), server.address.port());
        assert!(ask(target).is_some(), "the host itself reaches it");
        assert_eq!(ask_from(neighbour.netns.as_fd(), target), None);
        // Without the rules it would be reachable: the test's wire is not what stops it.
        run("nft", &["delete", "table", "inet", "corten"]);
        assert!(ask_from(neighbour.netns.as_fd(), target).is_some());
    });
}

#[test]
fn host_loopback_from_container_is_unreachable() {
    on_machine(|| {
        let engine = Engine::new();
        let sandbox = engine.container("nosy");
        let server = Server::start(None, "127.0.0.1:7000".parse().unwrap());
        inside(sandbox.netns.as_fd(), || {
            // The container sends packets for the host's loopback network to its gateway.
            run("ip", &["address", "del", "127.0.0.1/8", "dev", "lo"]);
            run("ip", &["route", "flush", "table", "local", "127.0.0.0/8"]);
            run("sysctl", &["-qw", "net.ipv4.conf.all.route_localnet=1"]);
            run(
                "ip",
                &["route", "add", "127.0.0.0/8", "via", "172.17.0.1", "dev", "eth0", "src", "172.17.0.2"],
            );
        });
        assert_eq!(ask_from(sandbox.netns.as_fd(), server.address), None);
        run("nft", &["delete", "table", "inet", "corten"]);
        assert!(ask_from(sandbox.netns.as_fd(), server.address).is_some(), "the rules are what stops it");
    });
}

#[test]
fn inter_container_communication_switched_off_is_refused() {
    on_machine(|| {
        let engine = Engine::with(|config| config.icc = false);
        let (one, two) = (engine.container("one"), engine.container("two"));
        let server = Server::in_sandbox(&two, 80);
        let target = SocketAddr::new(address(&two), server.address.port());
        assert_eq!(ask_from(one.netns.as_fd(), target), None);
        assert!(ask(target).is_some());
    });
}

#[test]
fn link_opens_one_port_for_one_container_where_communication_is_switched_off() {
    on_machine(|| {
        let engine = Engine::with(|config| config.icc = false);
        let (web, client, other) =
            (engine.container("web"), engine.container("client"), engine.container("other"));
        let _servers = (Server::in_sandbox(&web, 80), Server::in_sandbox(&web, 81));
        let at = |port| SocketAddr::new(address(&web), port);
        let link = LinkedPort { address: address(&web), port: 80, protocol: Protocol::Tcp };
        // Twice, as by two names.
        let linked = engine.networks.link(&client.endpoint, vec![link, link]).unwrap();
        assert_eq!(linked.links, [link]);
        assert!(ask_from(client.netns.as_fd(), at(80)).is_some());
        assert_eq!(ask_from(client.netns.as_fd(), at(81)), None);
        assert_eq!(ask_from(other.netns.as_fd(), at(80)), None);
        assert_eq!(engine.networks.verify_rules().unwrap(), network::RulesState::Intact);
        // It is there again after something has removed the table, and gone when it is taken back.
        run("nft", &["delete", "table", "inet", "corten"]);
        assert_eq!(engine.networks.verify_rules().unwrap(), network::RulesState::Restored);
        assert!(ask_from(client.netns.as_fd(), at(80)).is_some());
        let alone = engine.networks.link(&linked, Vec::new()).unwrap();
        assert_eq!(ask_from(client.netns.as_fd(), at(80)), None);
        let linked = engine.networks.link(&alone, vec![link]).unwrap();
        engine.networks.release(&linked);
        assert!(!run("nft", &["list", "map", "inet", "corten", "links4"]).contains("elements"));
    });
}

#[test]
fn bridge_keeps_its_hardware_address_when_containers_go() {
    on_machine(|| {
        let engine = Engine::new();
        let mac = || {
            let shown = run("ip", &["-o", "link", "show", &engine.config.bridge]);
            let at = shown.find("link/ether ").expect("a hardware address") + "link/ether ".len();
            shown[at..at + 17].to_owned()
        };
        let before = mac();
        assert_eq!(before, "02:42:ac:11:00:01");
        let (one, two) = (engine.container("one"), engine.container("two"));
        assert_eq!(mac(), before);
        engine.networks.detach(&one.endpoint, one.netns.as_fd()).unwrap();
        assert_eq!(mac(), before);
        drop(two);
    });
}

#[test]
fn release_leaves_no_interface_and_frees_the_address() {
    on_machine(|| {
        let engine = Engine::new();
        let sandbox = engine.container("one");
        let endpoint = sandbox.endpoint.clone();
        drop(sandbox);
        engine.networks.release(&endpoint);
        eventually("the veth goes with its namespace", || veths().is_empty());
        assert_eq!(engine.container("two").endpoint.ipv4, endpoint.ipv4);
        engine.networks.release(&endpoint);
        assert_eq!(engine.container("three").endpoint.ipv4.unwrap().to_string(), "172.17.0.3");
    });
}

#[test]
fn two_hundred_connects_and_releases_leak_nothing() {
    on_machine(|| {
        let engine = Engine::new();
        let rules = run("nft", &["list", "ruleset"]);
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        engine.networks.release(&engine.container("first").endpoint);
        let before = descriptors();
        for number in 0..200 {
            let sandbox = engine.container(&number.to_string());
            assert_eq!(sandbox.endpoint.ipv4.unwrap().to_string(), "172.17.0.2");
            engine.networks.release(&sandbox.endpoint);
        }
        assert_eq!(descriptors(), before);
        eventually("all veths go with their namespaces", || veths().is_empty());
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        assert!(engine.networks.endpoints(&engine.networks.inspect("bridge").unwrap().id).is_empty());
    });
}

#[test]
fn parallel_connects_have_distinct_addresses() {
    on_machine(|| {
        let engine = Engine::new();
        let sandboxes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|number| {
                    let engine = &engine;
                    scope.spawn(move || engine.container(&number.to_string()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut addresses: Vec<_> = sandboxes.iter().map(|sandbox| sandbox.endpoint.ipv4.unwrap()).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 16);
        assert_eq!(addresses[15].to_string(), "172.17.0.17");
    });
}

#[test]
fn connect_none_has_loopback_only() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = request("lonely");
        request.network = "none".to_owned();
        let sandbox = engine.networks.connect(request).unwrap();
        assert_eq!((sandbox.endpoint.ipv4, sandbox.endpoint.interface.clone()), (None, None));
        let links = inside(sandbox.netns.as_fd(), || run("ip", &["-o", "link", "show", "up"]));
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(veths().is_empty());
    });
}

#[test]
fn connect_host_or_unknown_network_or_twice_is_refused() {
    on_machine(|| {
        let engine = Engine::new();
        let _first = engine.container("one");
        let again = engine.networks.connect(request("one")).unwrap_err();
        assert_eq!(again.to_string(), "endpoint with name one already exists in network bridge");
        for (network, message) in [
            ("host", "a network namespace of its own is not supported by network host"),
            ("nowhere", "network nowhere not found"),
        ] {
            let mut request = request("two");
            request.network = network.to_owned();
            assert_eq!(engine.networks.connect(request).unwrap_err().to_string(), message);
        }
    });
}

#[test]
fn connect_failing_on_the_way_gives_the_address_back() {
    on_machine(|| {
        let engine = Engine::new();
        run("ip", &["link", "delete", "corten0"]);
        assert!(matches!(engine.networks.connect(request("one")), Err(Error::Link { .. })));
        let id = engine.networks.inspect("bridge").unwrap().id;
        assert!(engine.networks.endpoints(&id).is_empty());
    });
}

#[test]
fn open_with_default_subnet_in_use_takes_the_next() {
    on_machine(|| {
        run("ip", &["link", "add", "other", "type", "bridge"]);
        run("ip", &["address", "add", "172.17.5.1/24", "dev", "other"]);
        run("ip", &["link", "set", "other", "up"]);
        let engine = Engine::new();
        assert_eq!(engine.container("one").endpoint.ipv4.unwrap().to_string(), "172.18.0.2");
        let wanted: Cidr = "172.17.0.1/16".parse().unwrap();
        let mut config = engine.config.clone();
        config.state_dir = engine.folder.path().join("second");
        config.bip = Some(wanted);
        let error = network::Networks::open(config).unwrap_err();
        assert_eq!(error.to_string(), "Pool overlaps with other one on this address space: 172.17.0.0/16");
    });
}

#[test]
fn attach_and_detach_running_sandbox() {
    on_machine(|| {
        let engine = Engine::new();
        let mut lonely = request("one");
        lonely.network = "none".to_owned();
        let sandbox = engine.networks.connect(lonely).unwrap();
        let endpoint = engine.networks.attach(request("one"), sandbox.netns.as_fd()).unwrap();
        assert_eq!(endpoint.interface.as_deref(), Some("eth0"));
        let host = Server::start(None, "172.17.0.1:7000".parse().unwrap());
        assert!(ask_from(sandbox.netns.as_fd(), host.address).is_some());
        engine.networks.detach(&endpoint, sandbox.netns.as_fd()).unwrap();
        assert!(veths().is_empty());
        assert_eq!(ask_from(sandbox.netns.as_fd(), host.address), None);
        assert_eq!(engine.container("two").endpoint.ipv4, endpoint.ipv4);
    });
}

/// Prints what a connection costs; run with `--nocapture` to see it.
#[test]
fn connect_cost_is_measured() {
    on_machine(|| {
        let engine = Engine::new();
        let mut times: Vec<_> = (0..200)
            .map(|number| {
                let start = std::time::Instant::now();
                let sandbox = engine.container(&number.to_string());
                let time = start.elapsed();
                engine.networks.release(&sandbox.endpoint);
                time
            })
            .collect();
        times.sort();
        println!("connect: median {:?}, 95 % {:?}, maximum {:?}", times[100], times[190], times[199]);
        assert!(times[100].as_millis() < 50, "median {:?}", times[100]);
    });
}
