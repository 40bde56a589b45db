//! Published ports.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use network::{Error, PortBinding, Protocol, Sandbox};

use crate::support::{
    Engine, HERE, Neighbour, Server, THERE, address, ask, ask_from, inside, on_machine, request, run,
};

fn port(container_port: u16, host_ip: Option<&str>, host_ports: Option<(u16, u16)>) -> PortBinding {
    PortBinding {
        container_port,
        protocol: Protocol::Tcp,
        host_ip: host_ip.map(|address| address.parse().unwrap()),
        host_ports,
    }
}

fn publish(engine: &Engine, name: &str, ports: Vec<PortBinding>) -> Result<Sandbox, Error> {
    let mut request = request(name);
    request.ports = ports;
    engine.networks.connect(request)
}

fn socket(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

#[test]
fn published_port_is_reached_from_everywhere_with_the_true_client_address() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        let client = engine.container("client");
        let _server = Server::in_sandbox(&web, 80);
        let gateway: IpAddr = "172.17.0.1".parse().unwrap();
        // From outside the true address is seen.
        assert_eq!(ask_from(neighbour.netns.as_fd(), socket(HERE, 8080)), Some(THERE));
        // The host itself: by its own address as it is, by 127.0.0.1 as the bridge's address.
        assert_eq!(ask(socket(HERE, 8080)), Some(HERE));
        assert_eq!(ask(socket(Ipv4Addr::LOCALHOST, 8080)), Some(gateway));
        // Another container and the container itself, by the gateway's and the host's outer address. Where bridged packets
        // do not pass the firewall, the gateway stands for the other container too.
        let filtered = std::path::Path::new("/proc/sys/net/bridge").exists();
        let seen = if filtered { address(&client) } else { gateway };
        for target in [gateway, HERE] {
            assert_eq!(ask_from(client.netns.as_fd(), socket(target, 8080)), Some(seen), "{target}");
            assert_eq!(ask_from(web.netns.as_fd(), socket(target, 8080)), Some(gateway), "{target}");
        }
        assert_eq!(ask(socket(HERE, 8081)), None);
    });
}

#[test]
fn published_port_on_loopback_is_refused_from_outside() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let web = publish(&engine, "web", vec![port(80, Some("127.0.0.1"), Some((8080, 8080)))]).unwrap();
        let _server = Server::in_sandbox(&web, 80);
        assert!(ask(socket(Ipv4Addr::LOCALHOST, 8080)).is_some());
        assert_eq!(ask(socket(HERE, 8080)), None);
        assert_eq!(ask_from(neighbour.netns.as_fd(), socket(HERE, 8080)), None);
        inside(neighbour.netns.as_fd(), || {
            // The neighbour puts packets for 127.0.0.1 on the wire.
            run("ip", &["address", "del", "127.0.0.1/8", "dev", "lo"]);
            run("ip", &["route", "flush", "table", "local", "127.0.0.0/8"]);
            run("sysctl", &["-qw", "net.ipv4.conf.all.route_localnet=1"]);
            run(
                "ip",
                &[
                    "route",
                    "add",
                    "127.0.0.0/8",
                    "via",
                    "198.51.100.1",
                    "dev",
                    "wire1",
                    "src",
                    "198.51.100.2",
                ],
            );
        });
        // Even where the host would take them.
        run("sysctl", &["-qw", "net.ipv4.conf.wire0.route_localnet=1"]);
        assert_eq!(ask_from(neighbour.netns.as_fd(), socket(Ipv4Addr::LOCALHOST, 8080)), None);
        run("nft", &["flush", "chain", "inet", "corten", "raw-prerouting"]);
        assert!(ask_from(neighbour.netns.as_fd(), socket(Ipv4Addr::LOCALHOST, 8080)).is_some());
    });
}

#[test]
fn published_port_is_the_only_one_reached_from_another_network() {
    on_machine(|| {
        let engine = Engine::new();
        let lab = engine.networks.create(network::NetworkRequest::new("lab")).unwrap();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        let _servers = (Server::in_sandbox(&web, 80), Server::in_sandbox(&web, 81));
        let mut other = request("other");
        other.network = lab.name;
        let other = engine.networks.connect(other).unwrap();
        assert_eq!(ask_from(other.netns.as_fd(), socket(address(&web), 81)), None);
        assert_eq!(ask_from(other.netns.as_fd(), socket(address(&web), 80)), None);
        let gateway = IpAddr::V4(other.endpoint.gateway.unwrap());
        assert_eq!(ask_from(other.netns.as_fd(), socket(gateway, 8080)), Some(address(&other)));
    });
}

#[test]
fn published_udp_port_answers() {
    on_machine(|| {
        let engine = Engine::new();
        let mut binding = port(53, None, Some((5353, 5353)));
        binding.protocol = Protocol::Udp;
        let dns = publish(&engine, "dns", vec![binding]).unwrap();
        let server = inside(dns.netns.as_fd(), || UdpSocket::bind("0.0.0.0:53").unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        client.send_to(b"question", "127.0.0.1:5353").unwrap();
        let mut buffer = [0; 16];
        let (length, peer) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..length], peer.ip().to_string()),
            (b"question".as_slice(), "172.17.0.1".to_owned())
        );
        server.send_to(b"answer", peer).unwrap();
        let (length, peer) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], peer.port()), (b"answer".as_slice(), 5353));
    });
}

#[test]
fn udp_client_that_goes_on_sending_reaches_the_present_container() {
    on_machine(|| {
        let engine = Engine::new();
        let neighbour = Neighbour::new();
        let client = inside(neighbour.netns.as_fd(), || UdpSocket::bind("198.51.100.2:4000").unwrap());
        let send = || client.send_to(b"hello", socket(HERE, 5353)).map(drop);
        let publish_on = |name: &str, address: &str| {
            let mut request = request(name);
            request.ipv4 = Some(address.parse().unwrap());
            request.ports =
                vec![PortBinding { protocol: Protocol::Udp, ..port(53, None, Some((5353, 5353))) }];
            engine.networks.connect(request).unwrap()
        };
        let listen = |sandbox: &Sandbox| {
            let server = inside(sandbox.netns.as_fd(), || UdpSocket::bind("0.0.0.0:53").unwrap());
            server.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            server
        };
        // The kernel remembers a connection to the port before anything is published on it.
        send().unwrap();
        let first = publish_on("first", "172.17.0.20");
        let server = listen(&first);
        let _ = send();
        let _ = send();
        assert!(server.recv(&mut [0; 8]).is_ok(), "the first container");
        engine.networks.release(&first.endpoint);
        let second = publish_on("second", "172.17.0.30");
        let server = listen(&second);
        let _ = send();
        let _ = send();
        assert!(server.recv(&mut [0; 8]).is_ok(), "the second container");
    });
}

#[test]
fn release_takes_the_port_back() {
    on_machine(|| {
        let engine = Engine::new();
        let rules = run("nft", &["list", "ruleset"]);
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        assert!(run("nft", &["list", "ruleset"]).contains("tcp . 8080 : 172.17.0.2 . 80"));
        engine.networks.release(&web.endpoint);
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        publish(&engine, "again", vec![port(80, None, Some((8080, 8080)))]).unwrap();
    });
}

#[test]
fn taken_port_is_refused_in_dockers_words_and_costs_nothing() {
    on_machine(|| {
        let engine = Engine::new();
        let taken = || vec![port(80, None, Some((8080, 8080)))];
        let _web = publish(&engine, "web", taken()).unwrap();
        let refusal = |ports| match publish(&engine, "second", ports).unwrap_err() {
            Error::Publish { container, source, .. } => {
                assert_eq!(container, "second");
                source.to_string()
            }
            other => panic!("{other}"),
        };
        assert_eq!(refusal(taken()), "Bind for 0.0.0.0:8080 failed: port is already allocated");
        let refused = refusal(vec![port(80, Some("127.0.0.1"), Some((8080, 8080)))]);
        assert_eq!(refused, "Bind for 127.0.0.1:8080 failed: port is already allocated");
        let listener = TcpListener::bind("0.0.0.0:9090").unwrap();
        let refused = refusal(vec![port(80, None, Some((9090, 9090)))]);
        assert_eq!(refused, "failed to bind host port 0.0.0.0:9090/tcp: address already in use");
        drop(listener);
        let refused = refusal(vec![port(80, Some("203.0.113.9"), Some((9090, 9090)))]);
        assert_eq!(refused, "failed to bind host port 203.0.113.9:9090/tcp: cannot assign requested address");
        let mut two = vec![port(80, None, Some((7070, 7070)))];
        two.extend(taken());
        publish(&engine, "second", two).unwrap_err();
        // Nothing of the refused requests stays: neither addresses nor ports.
        let second = publish(&engine, "second", vec![port(80, None, Some((7070, 7070)))]).unwrap();
        assert_eq!(second.endpoint.ipv4.unwrap().to_string(), "172.17.0.3");
    });
}

#[test]
fn published_port_cannot_be_taken_by_another_program() {
    on_machine(|| {
        let engine = Engine::new();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        engine.networks.release(&web.endpoint);
        assert!(TcpListener::bind("0.0.0.0:8080").is_ok());
    });
}

#[test]
fn range_and_random_ports_take_the_next_free_one() {
    on_machine(|| {
        let engine = Engine::new();
        let host_ports = |sandbox: &Sandbox| {
            let four = sandbox.endpoint.ports.iter().filter(|port| port.host_ip.is_ipv4());
            four.map(|port| port.host_port).collect::<Vec<_>>()
        };
        let range = || vec![port(80, None, Some((8000, 8001)))];
        assert_eq!(host_ports(&publish(&engine, "a", range()).unwrap()), [8000]);
        assert_eq!(host_ports(&publish(&engine, "b", range()).unwrap()), [8001]);
        let error = publish(&engine, "c", range()).unwrap_err().to_string();
        assert!(error.ends_with("Bind for 0.0.0.0:8001 failed: port is already allocated"), "{error}");
        let random = || vec![port(80, None, None), port(81, None, None)];
        assert_eq!(host_ports(&publish(&engine, "d", random()).unwrap()), [32768, 32769]);
        assert_eq!(host_ports(&publish(&engine, "e", random()).unwrap()), [32770, 32771]);
    });
}

#[test]
fn restart_keeps_ports_and_rules_identical() {
    on_machine(|| {
        let engine = Engine::new();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        let _server = Server::in_sandbox(&web, 80);
        let rules = run("nft", &["list", "ruleset"]);
        let (networks, ..) = engine.restart();
        assert!(
            ask(socket(Ipv4Addr::LOCALHOST, 8080)).is_some(),
            "the port works while nothing is restored yet"
        );
        networks.restore(vec![web.endpoint.clone()]).unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        assert!(ask(socket(Ipv4Addr::LOCALHOST, 8080)).is_some());
        let mut second = request("second");
        second.ports = vec![port(80, None, Some((8080, 8080)))];
        let Err(Error::Publish { source, .. }) = networks.connect(second) else {
            panic!("the port is taken")
        };
        assert!(matches!(*source, Error::PortAllocated { port: 8080, .. }), "{source}");
    });
}

#[test]
fn flushed_firewall_is_put_back() {
    on_machine(|| {
        let engine = Engine::new();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        let _server = Server::in_sandbox(&web, 80);
        run("nft", &["flush", "ruleset"]);
        assert_eq!(ask(socket(Ipv4Addr::LOCALHOST, 8080)), None);
        engine.networks.replace_rules().unwrap();
        assert!(ask(socket(Ipv4Addr::LOCALHOST, 8080)).is_some());
        engine.networks.release(&web.endpoint);
    });
}

/// Prints what the first and the thousandth port cost; run with `--nocapture` to see it.
#[test]
fn publish_cost_does_not_grow_with_ports() {
    on_machine(|| {
        let engine = Engine::new();
        let thousand =
            (0..1000).map(|number| port(80, None, Some((10_000 + number, 10_000 + number)))).collect();
        let time = |name: &str, host_port: u16| {
            let start = std::time::Instant::now();
            let with = publish(&engine, name, vec![port(80, None, Some((host_port, host_port)))]).unwrap();
            (start.elapsed(), with)
        };
        let few: Vec<_> = (0..20).map(|number| time(&format!("few{number}"), 20_000 + number)).collect();
        let _big = publish(&engine, "big", thousand).unwrap();
        let many: Vec<_> = (0..20).map(|number| time(&format!("many{number}"), 21_000 + number)).collect();
        let median = |mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        let few = median(few.iter().map(|(time, _)| *time).collect());
        let many = median(many.iter().map(|(time, _)| *time).collect());
        println!("connect with one port: {few:?} with few ports published, {many:?} with a thousand");
        assert!(many < few * 3, "{few:?} -> {many:?}");
    });
}

#[test]
fn port_on_ipv6_of_a_container_without_it_is_for_the_relay() {
    on_machine(|| {
        let engine = Engine::new();
        let web = publish(&engine, "web", vec![port(80, None, Some((8080, 8080)))]).unwrap();
        let relayed = engine.networks.relayed(&web.endpoint).unwrap();
        let [relayed] = relayed.as_slice() else { panic!("{relayed:?}") };
        assert_eq!(relayed.target, socket(address(&web), 80));
        // Whoever has the socket has the connections.
        let listener = TcpListener::from(relayed.socket.try_clone().unwrap());
        let client = std::net::TcpStream::connect("[::1]:8080").unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        drop((listener, client));
        // A supervisor of an ended container that still holds it does not keep the next one from the port.
        engine.networks.release(&web.endpoint);
        let again = publish(&engine, "again", vec![port(80, Some("::1"), Some((8080, 8080)))]).unwrap();
        assert_eq!(engine.networks.relayed(&again.endpoint).unwrap().len(), 1);
        let taken = publish(&engine, "third", vec![port(80, Some("::1"), Some((8080, 8080)))]).unwrap_err();
        assert!(taken.to_string().contains("port is already allocated"), "{taken}");
    });
}

#[test]
fn port_on_ipv6_that_another_program_has_is_refused() {
    on_machine(|| {
        let engine = Engine::new();
        let _other = TcpListener::bind("[::1]:8080").unwrap();
        let refused = publish(&engine, "web", vec![port(80, Some("::1"), Some((8080, 8080)))]).unwrap_err();
        assert!(refused.to_string().contains("address already in use"), "{refused}");
    });
}

#[test]
fn plan_tells_what_publishing_does_and_does_nothing() {
    on_machine(|| {
        let engine = Engine::new();
        let ports =
            || vec![port(80, None, Some((8080, 8080))), port(81, Some("127.0.0.1"), Some((8081, 8081)))];
        let rules = run("nft", &["list", "ruleset"]);
        let plan = engine.networks.plan("bridge", &ports()).unwrap();
        assert_eq!(
            plan.changes,
            [
                "add element inet corten ports-any4 { tcp . 8080 : 172.17.0.2 . 80 }",
                "add element inet corten ports4 { 127.0.0.1 . tcp . 8081 : 172.17.0.2 . 81 }",
                "add element inet corten self4 { 172.17.0.2 . 172.17.0.2 : jump hairpin }",
            ]
        );
        assert_eq!(plan.relayed, ["[::]:8080/tcp -> 172.17.0.2:80"]);
        assert_eq!(run("nft", &["list", "ruleset"]), rules);
        assert!(TcpListener::bind("0.0.0.0:8080").is_ok(), "the plan took the port");
        // It is the truth: the very commands make the table what the start of the container makes it.
        plan.changes.iter().for_each(|command| drop(run("nft", &[command])));
        let planned = run("nft", &["list", "ruleset"]);
        run("nft", &["flush", "ruleset"]);
        engine.networks.replace_rules().unwrap();
        publish(&engine, "web", ports()).unwrap();
        assert_eq!(run("nft", &["list", "ruleset"]), planned);
        let taken = engine.networks.plan("bridge", &ports()).unwrap_err();
        assert!(taken.to_string().contains("port is already allocated"), "{taken}");
    });
}

#[test]
fn ipv6_port_of_another_engine_is_refused_and_one_s_own_is_not() {
    on_machine(|| {
        let one = Engine::new();
        let other = Engine::with(|config| {
            config.bridge = "other0".to_owned();
            config.table = "other".to_owned();
        });
        let binding = || vec![port(80, Some("::1"), Some((8080, 8080)))];
        let refused = || {
            let error = publish(&other, "web", binding()).expect_err("the port is taken");
            assert!(error.to_string().contains("8080"), "{error}");
        };
        let first = publish(&one, "web", binding()).unwrap();
        refused();
        // What a supervisor holds does not keep its own engine from the port.
        let held = one.networks.relayed(&first.endpoint).unwrap();
        one.networks.release(&first.endpoint);
        refused();
        let again = publish(&one, "next", binding()).unwrap();
        let relayed = one.networks.relayed(&again.endpoint).unwrap();
        drop(held);
        refused();
        drop(relayed);
        one.networks.release(&again.endpoint);
        publish(&other, "web", binding()).unwrap();
    });
}
