//! Networks that users create.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use network::{EndpointRequest, Error, NetworkRequest, Sandbox, SubnetRequest};

use crate::support::{
    Engine, Neighbour, Server, THERE, address, ask, ask_from, eventually, inside, on_machine, request, run,
    veths,
};

fn on(network: &str, name: &str) -> EndpointRequest {
    EndpointRequest { network: network.to_owned(), ..request(name) }
}

fn container(engine: &Engine, network: &str, name: &str) -> Sandbox {
    engine.networks.connect(on(network, name)).unwrap()
}

fn subnet(text: &str) -> SubnetRequest {
    SubnetRequest { subnet: Some(text.parse().unwrap()), ..SubnetRequest::default() }
}

fn option(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(format!("com.docker.network.{name}"), value.to_owned())])
}

#[test]
fn create_network_gets_the_next_subnet_and_survives_a_restart() {
    on_machine(|| {
        let engine = Engine::new();
        let lab = engine.networks.create(NetworkRequest::new("lab")).unwrap();
        assert_eq!(lab.ipam.config[0].subnet.to_string(), "172.18.0.0/16");
        assert_eq!(lab.bridge.as_deref(), Some(format!("br-{}", &lab.id[..12]).as_str()));
        let sandbox = container(&engine, "lab", "one");
        assert_eq!(address(&sandbox).to_string(), "172.18.0.2");
        let rules = run("nft", &["list", "ruleset"]);
        let (networks, ..) = engine.restart();
        networks.restore(vec![sandbox.endpoint.clone()]).unwrap();
        assert_eq!(networks.inspect("lab").unwrap(), lab);
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        assert_eq!(
            networks.connect(on("lab", "two")).unwrap().endpoint.ipv4.unwrap().to_string(),
            "172.18.0.3"
        );
    });
}

#[test]
fn remove_network_takes_bridge_rules_and_subnet_with_it() {
    on_machine(|| {
        let engine = Engine::new();
        let (links, rules) = (run("ip", &["-o", "link"]).lines().count(), run("nft", &["list", "ruleset"]));
        engine.networks.create(NetworkRequest::new("lab")).unwrap();
        let sandbox = container(&engine, "lab", "one");
        let error = engine.networks.remove("lab").unwrap_err().to_string();
        assert!(
            error.starts_with(
                "error while removing network: network lab has active endpoints (name:\"one\" id:\""
            ),
            "{error}"
        );
        engine.networks.release(&sandbox.endpoint);
        drop(sandbox);
        engine.networks.remove("lab").unwrap();
        assert_eq!(engine.networks.inspect("lab").unwrap_err().to_string(), "network lab not found");
        eventually("all interfaces are gone", || run("ip", &["-o", "link"]).lines().count() == links);
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        let again = engine.networks.create(NetworkRequest::new("lab")).unwrap();
        assert_eq!(again.ipam.config[0].subnet.to_string(), "172.18.0.0/16");
    });
}

#[test]
fn networks_that_come_and_go_are_no_damage_to_the_rules() {
    on_machine(|| {
        let engine = Engine::new();
        for name in ["lab", "other"] {
            engine.networks.create(NetworkRequest::new(name)).unwrap();
            assert_eq!(engine.networks.verify_rules().unwrap(), network::RulesState::Intact, "{name} came");
        }
        for name in ["lab", "other"] {
            engine.networks.remove(name).unwrap();
            assert_eq!(engine.networks.verify_rules().unwrap(), network::RulesState::Intact, "{name} went");
        }
    });
}

#[test]
fn create_or_remove_what_cannot_be_is_refused() {
    on_machine(|| {
        let engine = Engine::new();
        let create = |change: &dyn Fn(&mut NetworkRequest)| {
            let mut request = NetworkRequest::new("other");
            change(&mut request);
            engine.networks.create(request)
        };
        engine.networks.create(NetworkRequest::new("lab")).unwrap();
        assert_eq!(
            create(&|request| request.name = "lab".to_owned()).unwrap_err().to_string(),
            "network with name lab already exists"
        );
        assert_eq!(
            create(&|request| request.ipam_config = vec![subnet("172.18.5.0/24")]).unwrap_err().to_string(),
            "Pool overlaps with other one on this address space: 172.18.5.0/24"
        );
        let taken = create(&|request| request.options = option("bridge.name", "lo"));
        assert!(taken.unwrap_err().to_string().contains("an interface of this name exists"));
        assert_eq!(
            engine.networks.remove("bridge").unwrap_err().to_string(),
            "bridge is a pre-defined network and cannot be removed"
        );
        assert_eq!(engine.networks.list().len(), 4, "nothing of what was refused stays");
        assert!(run("ip", &["link", "show", "lo"]).contains("LOOPBACK"));
    });
}

#[test]
fn networks_are_isolated_from_each_other() {
    on_machine(|| {
        let engine = Engine::new();
        for name in ["red", "blue"] {
            engine.networks.create(NetworkRequest::new(name)).unwrap();
        }
        let (red, red_two, blue) =
            (container(&engine, "red", "a"), container(&engine, "red", "b"), container(&engine, "blue", "c"));
        let server = Server::in_sandbox(&red, 80);
        let target = SocketAddr::new(address(&red), server.address.port());
        assert_eq!(ask_from(red_two.netns.as_fd(), target), Some(address(&red_two)));
        assert_eq!(ask_from(blue.netns.as_fd(), target), None);
        // Joined to both, it reaches both.
        let endpoint = engine.networks.attach(on("red", "c"), blue.netns.as_fd()).unwrap();
        assert_eq!(endpoint.interface.as_deref(), Some("eth1"));
        assert_eq!(ask_from(blue.netns.as_fd(), target), endpoint.ipv4.map(IpAddr::V4));
        engine.networks.detach(&endpoint, blue.netns.as_fd()).unwrap();
        assert_eq!(ask_from(blue.netns.as_fd(), target), None);
    });
}

#[test]
fn internal_network_lets_nothing_in_or_out() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let mut vault = NetworkRequest::new("vault");
        vault.internal = true;
        engine.networks.create(vault).unwrap();
        let (one, two) = (container(&engine, "vault", "one"), container(&engine, "vault", "two"));
        assert_eq!(one.endpoint.gateway, None);
        assert!(!inside(one.netns.as_fd(), || run("ip", &["route"])).contains("default"));
        let server = Server::in_sandbox(&two, 80);
        let target = SocketAddr::new(address(&two), server.address.port());
        assert!(ask_from(one.netns.as_fd(), target).is_some());
        assert!(ask(target).is_some(), "the host reaches it");
        let outside = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        // A route of its own does not help it.
        inside(one.netns.as_fd(), || run("ip", &["route", "add", "default", "via", "172.18.0.1"]));
        assert_eq!(ask_from(one.netns.as_fd(), outside.address), None);
        neighbour.route_here("172.18.0.0/16");
        assert_eq!(ask_from(neighbour.netns.as_fd(), target), None);
    });
}

#[test]
fn network_with_ipv6_has_both_families() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("dual");
        request.enable_ipv6 = Some(true);
        request.ipam_config = vec![subnet("fd00:1::/64")];
        engine.networks.create(request).unwrap();
        let (one, two) = (container(&engine, "dual", "one"), container(&engine, "dual", "two"));
        assert_eq!(one.endpoint.ipv6.unwrap().to_string(), "fd00:1::2");
        assert_eq!(one.endpoint.ipv6_gateway.unwrap().to_string(), "fd00:1::1");
        assert_eq!(address(&one).to_string(), "172.18.0.2");
        let server = Server::start(Some(two.netns.as_fd()), "[::]:80".parse().unwrap());
        let target = SocketAddr::new(IpAddr::V6(two.endpoint.ipv6.unwrap()), server.address.port());
        // A first neighbour solicitation may come before its group is known on the bridge.
        let client = one.endpoint.ipv6.map(IpAddr::V6);
        eventually("one reaches the other", || ask_from(one.netns.as_fd(), target) == client);
        assert_eq!(ask(target).unwrap().to_string(), "fd00:1::1");
    });
}

#[test]
fn network_with_ipv6_only_has_no_ipv4() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("six");
        request.enable_ipv4 = Some(false);
        request.enable_ipv6 = Some(true);
        let record = engine.networks.create(request).unwrap();
        assert_eq!(record.ipam.config.len(), 1);
        let one = container(&engine, "six", "one");
        assert_eq!((one.endpoint.ipv4, one.endpoint.ipv6.is_some()), (None, true));
        let addresses = inside(one.netns.as_fd(), || run("ip", &["-o", "address", "show", "dev", "eth0"]));
        assert!(!addresses.contains("inet "), "{addresses}");
    });
}

#[test]
fn published_port_is_reached_by_both_families() {
    on_machine(|| {
        let engine = Engine::new();
        let mut network = NetworkRequest::new("dual");
        network.enable_ipv6 = Some(true);
        engine.networks.create(network).unwrap();
        let mut request = on("dual", "web");
        request.ports = vec![network::PortBinding {
            container_port: 80,
            protocol: network::Protocol::Tcp,
            host_ip: None,
            host_ports: Some((8080, 8080)),
        }];
        let web = engine.networks.connect(request).unwrap();
        assert_eq!(web.endpoint.ports.len(), 2);
        let _server = Server::start(Some(web.netns.as_fd()), "[::]:80".parse().unwrap());
        assert!(ask("127.0.0.1:8080".parse().unwrap()).is_some());
        let target = SocketAddr::new(web.endpoint.ipv6_gateway.unwrap().into(), 8080);
        // As above, a first neighbour solicitation may come too early.
        eventually("the port is reached by IPv6", || ask(target).is_some());
    });
}

#[test]
fn wanted_addresses_are_given_or_refused() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("lab");
        request.ipam_config = vec![SubnetRequest {
            ip_range: Some("10.5.0.128/25".parse().unwrap()),
            gateway: Some("10.5.0.254".parse().unwrap()),
            ..subnet("10.5.0.0/24")
        }];
        engine.networks.create(request).unwrap();
        assert_eq!(address(&container(&engine, "lab", "one")).to_string(), "10.5.0.128");
        let wanted = |name: &str, address: &str| {
            let mut request = on("lab", name);
            request.ipv4 = Some(address.parse().unwrap());
            request.mac = Some("02:00:00:00:00:77".parse().unwrap());
            engine.networks.connect(request)
        };
        let two = wanted("two", "10.5.0.7").unwrap();
        assert_eq!(
            (address(&two).to_string(), two.endpoint.gateway.unwrap().to_string()),
            ("10.5.0.7".into(), "10.5.0.254".into())
        );
        let link = inside(two.netns.as_fd(), || run("ip", &["link", "show", "eth0"]));
        assert!(link.contains("02:00:00:00:00:77"), "{link}");
        assert!(matches!(wanted("three", "10.5.0.7"), Err(Error::AddressInUse(_))));
        assert!(matches!(wanted("three", "10.6.0.7"), Err(Error::AddressOutOfRange(_))));
    });
}

#[test]
fn driver_options_take_effect() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("lab");
        request.options = option("bridge.name", "br-lab");
        request.options.extend(option("driver.mtu", "1400"));
        request.options.extend(option("bridge.enable_icc", "false"));
        request.options.extend(option("bridge.host_binding_ipv4", "127.0.0.1"));
        engine.networks.create(request).unwrap();
        let (one, two) = (container(&engine, "lab", "one"), container(&engine, "lab", "two"));
        assert!(run("ip", &["link", "show", "br-lab"]).contains("mtu 1400"));
        assert!(inside(one.netns.as_fd(), || run("ip", &["link", "show", "eth0"])).contains("mtu 1400"));
        let server = Server::in_sandbox(&two, 80);
        assert_eq!(ask_from(one.netns.as_fd(), SocketAddr::new(address(&two), server.address.port())), None);
        let mut with_port = on("lab", "three");
        with_port.ports = vec![network::PortBinding {
            container_port: 80,
            protocol: network::Protocol::Tcp,
            host_ip: None,
            host_ports: Some((8080, 8080)),
        }];
        let three = engine.networks.connect(with_port).unwrap();
        assert_eq!(three.endpoint.ports[0].host_ip.to_string(), "127.0.0.1");
    });
}

#[test]
fn prune_removes_idle_networks_that_are_selected() {
    on_machine(|| {
        let engine = Engine::new();
        for name in ["busy", "idle", "kept"] {
            engine.networks.create(NetworkRequest::new(name)).unwrap();
        }
        let _sandbox = container(&engine, "busy", "one");
        let pruned = engine.networks.prune(|record| record.name != "kept");
        assert_eq!(pruned.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["idle"]);
        let names: Vec<_> = engine.networks.list().into_iter().map(|record| record.name).collect();
        assert_eq!(names, ["bridge", "busy", "host", "kept", "none"]);
    });
}

#[test]
fn two_hundred_networks_have_subnets_of_their_own() {
    on_machine(|| {
        let engine = Engine::new();
        run("ip", &["link", "add", "wire0", "type", "veth", "peer", "name", "wire1"]);
        run("ip", &["link", "set", "wire0", "up"]);
        run("ip", &["address", "add", "172.19.5.1/24", "dev", "wire0"]);
        let start = std::time::Instant::now();
        let mut subnets: Vec<network::Cidr> = (0..200)
            .map(|number| engine.networks.create(NetworkRequest::new(format!("lab{number}"))).unwrap())
            .map(|record| record.ipam.config[0].subnet)
            .collect();
        println!("200 networks: {:?}", start.elapsed());
        let host: network::Cidr = "172.19.5.0/24".parse().unwrap();
        subnets.push("172.17.0.0/16".parse().unwrap());
        for (number, subnet) in subnets.iter().enumerate() {
            assert!(!subnet.overlaps(&host), "{subnet}");
            assert!(!subnets[..number].iter().any(|other| other.overlaps(subnet)), "{subnet}");
        }
        let (one, other) = (container(&engine, "lab0", "one"), container(&engine, "lab199", "other"));
        let server = Server::in_sandbox(&other, 80);
        let target = SocketAddr::new(address(&other), server.address.port());
        assert_eq!(ask_from(one.netns.as_fd(), target), None);
        assert!(ask(target).is_some());
    });
}

#[test]
fn packet_size_is_that_of_the_uplink() {
    on_machine(|| {
        let _neighbour = Neighbour::new();
        run("ip", &["link", "set", "wire0", "mtu", "1412"]);
        run("ip", &["route", "add", "default", "via", "198.51.100.2"]);
        let engine = Engine::new();
        engine.networks.create(NetworkRequest::new("lab")).unwrap();
        for network in ["bridge", "lab"] {
            let sandbox = container(&engine, network, "box");
            let link = inside(sandbox.netns.as_fd(), || run("ip", &["link", "show", "eth0"]));
            assert!(link.contains("mtu 1412"), "{link}");
        }
        // Also once no container is there any more.
        eventually("the containers are gone", || veths() == ["wire0"]);
        assert!(run("ip", &["link", "show", "corten0"]).contains("mtu 1412"));
    });
}
