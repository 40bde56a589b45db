//! How packets pass between a network and the outside.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use network::{EndpointRequest, NetworkRecord, NetworkRequest, PortBinding, Protocol, Sandbox};

use crate::support::{
    Engine, HERE, Neighbour, Server, THERE, address, ask, ask_from, inside, on_machine, request, run,
};

fn create(engine: &Engine, name: &str, mode: &str, internal: bool) -> NetworkRecord {
    let mut request = NetworkRequest::new(name);
    request.internal = internal;
    request.options.insert("com.docker.network.bridge.gateway_mode_ipv4".to_owned(), mode.to_owned());
    engine.networks.create(request).expect("create the network")
}

fn container(engine: &Engine, network: &str, name: &str, ports: &[u16]) -> Sandbox {
    let binding = |port: &u16| PortBinding {
        container_port: *port,
        protocol: Protocol::Tcp,
        host_ip: None,
        host_ports: Some((port + 8000, port + 8000)),
    };
    let ports = ports.iter().map(binding).collect();
    let request = EndpointRequest { network: network.to_owned(), ports, ..request(name) };
    engine.networks.connect(request).expect("connect")
}

fn at(sandbox: &Sandbox, port: u16) -> SocketAddr {
    SocketAddr::new(address(sandbox), port)
}

#[test]
fn routed_network_is_reached_at_its_published_ports_only() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let subnet = create(&engine, "lab", "routed", false).ipam.config[0].subnet;
        neighbour.route_here(&subnet.to_string());
        let web = container(&engine, "lab", "web", &[80]);
        assert!(web.endpoint.ports.iter().all(|port| port.is_routed()), "{:?}", web.endpoint.ports);
        let _servers = (Server::in_sandbox(&web, 80), Server::in_sandbox(&web, 81));
        let outside = neighbour.netns.as_fd();
        assert_eq!(ask_from(outside, at(&web, 80)), Some(THERE));
        assert_eq!(ask_from(outside, at(&web, 81)), None);
        assert_eq!(ask_from(outside, SocketAddr::new(HERE, 8080)), None);
        inside(outside, || run("busybox", &["ping", "-c", "1", "-W", "3", &address(&web).to_string()]));
        // What it sends carries its own address.
        let server = Server::start(Some(outside), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(web.netns.as_fd(), server.address), Some(address(&web)));
        // Another network of ours reaches the published port as well, and nothing else.
        let other = engine.container("other");
        assert!(ask_from(other.netns.as_fd(), at(&web, 80)).is_some());
        assert_eq!(ask_from(other.netns.as_fd(), at(&web, 81)), None);
        engine.networks.release(&web.endpoint);
        assert_eq!(ask_from(outside, at(&web, 80)), None);
    });
}

#[test]
fn unprotected_network_is_reached_at_all_ports_from_outside() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let subnet = create(&engine, "lab", "nat-unprotected", false).ipam.config[0].subnet;
        neighbour.route_here(&subnet.to_string());
        let web = container(&engine, "lab", "web", &[80]);
        let _servers = (Server::in_sandbox(&web, 80), Server::in_sandbox(&web, 81));
        let outside = neighbour.netns.as_fd();
        assert_eq!(ask_from(outside, at(&web, 81)), Some(THERE));
        assert_eq!(ask_from(outside, SocketAddr::new(HERE, 8080)), Some(THERE));
        let server = Server::start(Some(outside), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(web.netns.as_fd(), server.address), Some(HERE));
        let other = engine.container("other");
        assert_eq!(ask_from(other.netns.as_fd(), at(&web, 81)), None, "another network comes in");
    });
}

#[test]
fn isolated_network_has_no_host() {
    on_machine(|| {
        let engine = Engine::new();
        let record = create(&engine, "vault", "isolated", true);
        let bridge = record.bridge.expect("a bridge");
        assert_eq!(run("ip", &["-o", "address", "show", "dev", &bridge]), "");
        let (one, two) = (container(&engine, "vault", "one", &[]), container(&engine, "vault", "two", &[]));
        let server = Server::in_sandbox(&two, 80);
        assert_eq!(ask_from(one.netns.as_fd(), at(&two, 80)), Some(address(&one)));
        assert_eq!(ask(SocketAddr::new(address(&two), server.address.port())), None, "the host reaches it");
    });
}

#[test]
fn isolated_mode_of_a_network_with_a_way_out_is_refused() {
    on_machine(|| {
        let engine = Engine::new();
        let mut request = NetworkRequest::new("lab");
        let option = "com.docker.network.bridge.gateway_mode_ipv6";
        request.options.insert(option.to_owned(), "isolated".to_owned());
        let error = engine.networks.create(request).unwrap_err().to_string();
        assert!(error.contains(option) && error.contains("--internal"), "{error}");
    });
}

#[test]
fn network_without_masquerade_shows_its_own_addresses() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let mut request = NetworkRequest::new("lab");
        let option = "com.docker.network.bridge.enable_ip_masquerade";
        request.options.insert(option.to_owned(), "false".to_owned());
        let subnet = engine.networks.create(request).expect("create the network").ipam.config[0].subnet;
        neighbour.route_here(&subnet.to_string());
        let client = container(&engine, "lab", "client", &[]);
        let server = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(client.netns.as_fd(), server.address), Some(address(&client)));
        let _inner = Server::in_sandbox(&client, 80);
        assert_eq!(ask_from(neighbour.netns.as_fd(), at(&client, 80)), None);
    });
}
