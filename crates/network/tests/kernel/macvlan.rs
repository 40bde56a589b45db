//! Containers with interfaces of their own on the wire.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use network::{EndpointRequest, Error, NetworkRecord, NetworkRequest, Sandbox, SubnetRequest};

use crate::support::{
    Engine, Neighbour, Server, THERE, address, ask_from, eventually, inside, on_machine, request, run,
};

fn create(engine: &Engine, name: &str, options: &[(&str, &str)]) -> Result<NetworkRecord, Error> {
    let mut request = NetworkRequest::new(name);
    request.driver = "macvlan".to_owned();
    request.options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    request.ipam_config = vec![SubnetRequest {
        subnet: Some("198.51.100.0/24".parse().unwrap()),
        ip_range: Some("198.51.100.64/26".parse().unwrap()),
        gateway: Some(THERE),
        auxiliary_addresses: BTreeMap::new(),
    }];
    engine.networks.create(request)
}

fn container(engine: &Engine, name: &str) -> Sandbox {
    let request = EndpointRequest { network: "wire".to_owned(), ..request(name) };
    engine.networks.connect(request).expect("connect")
}

#[test]
fn container_on_the_wire_is_reached_by_its_own_address() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let record = create(&engine, "wire", &[("parent", "wire0")]).unwrap();
        assert_eq!((record.driver.as_str(), record.bridge), ("macvlan", None));
        let (one, two) = (container(&engine, "one"), container(&engine, "two"));
        assert_eq!(address(&one).to_string(), "198.51.100.64");
        let link = inside(one.netns.as_fd(), || run("ip", &["-d", "link", "show", "eth0"]));
        assert!(link.contains("macvlan mode bridge") && link.contains("02:42:c6:33:64:40"), "{link}");
        let route = inside(one.netns.as_fd(), || run("ip", &["route", "show", "default"]));
        assert!(route.starts_with("default via 198.51.100.2 dev eth0"), "{route}");
        let server = Server::in_sandbox(&one, 80);
        let target = SocketAddr::new(address(&one), server.address.port());
        assert_eq!(ask_from(neighbour.netns.as_fd(), target), Some(THERE));
        assert_eq!(ask_from(two.netns.as_fd(), target), Some(address(&two)));
        let outside = Server::start(Some(neighbour.netns.as_fd()), SocketAddr::new(THERE, 7000));
        assert_eq!(ask_from(two.netns.as_fd(), outside.address), Some(address(&two)));
    });
}

#[test]
fn container_joins_and_leaves_the_wire() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        create(&engine, "wire", &[("parent", "wire0"), ("macvlan_mode", "private")]).unwrap();
        let sandbox = engine.container("box");
        let wire = EndpointRequest { network: "wire".to_owned(), ..request("box") };
        let endpoint = engine.networks.attach(wire, sandbox.netns.as_fd()).unwrap();
        let server = Server::in_sandbox(&sandbox, 80);
        let target = SocketAddr::new(IpAddr::V4(endpoint.ipv4.unwrap()), server.address.port());
        assert_eq!(ask_from(neighbour.netns.as_fd(), target), Some(THERE));
        engine.networks.detach(&endpoint, sandbox.netns.as_fd()).unwrap();
        assert!(!inside(sandbox.netns.as_fd(), || run("ip", &["link"])).contains("eth1"));
        drop(sandbox);
        engine.networks.remove("wire").unwrap();
        eventually("the wire is free", || !run("ip", &["-d", "link"]).contains("macvlan"));
    });
}

#[test]
fn network_that_cannot_be_on_the_wire_is_refused_by_name() {
    on_machine(|| {
        let engine = Engine::new();
        let _neighbour = Neighbour::new();
        let refusal = |options: &[(&str, &str)]| create(&engine, "wire", options).unwrap_err().to_string();
        assert!(refusal(&[]).contains("-o parent="), "{}", refusal(&[]));
        assert!(refusal(&[("parent", "no-such0")]).contains("parent=no-such0"));
        assert!(refusal(&[("parent", "lo")]).contains("lo"));
        assert!(refusal(&[("parent", "wire0"), ("macvlan_mode", "loud")]).contains("macvlan_mode=loud"));
        assert!(refusal(&[("parent", "wire0"), ("ipvlan_mode", "l2")]).contains("ipvlan_mode=l2"));
        create(&engine, "wire", &[("parent", "wire0")]).unwrap();
        let second = create(&engine, "second", &[("parent", "wire0")]).unwrap_err().to_string();
        assert_eq!(second, "network wire is already using parent interface wire0");
    });
}
