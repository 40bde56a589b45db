//! Names, beyond what Docker does or what its old version in the tests does.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use testkit::{Bed, Client, Kind};

use crate::CORTEN;
use crate::names::{A, AAAA, OUTSIDE, Outside, ask, ask_here, ask_within, inside, member};
use crate::networks::{address, make, sleeper, subnet};

fn bed() -> Bed {
    let builder = testkit::engine::Builder::new(Kind::Corten, CORTEN.as_ref());
    Bed::with(builder, Client::Corten)
}

#[test]
fn names_resolve_while_no_engine_runs_and_after_its_restart() {
    let mut bed = bed();
    make(&bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(&bed, 0);
    let _outside = Outside::start(&gateway);
    member(&bed, "one", "lab", &["--dns", &gateway]);
    member(&bed, "two", "lab", &["--network-alias", "dos"]);
    let two = address(&bed, "two", "lab");
    let pid = bed.field("one", "{{.State.Pid}}");
    let netns = std::fs::File::open(format!("/proc/{pid}/ns/net")).expect("the container runs");
    let ask_anyway = |name: &str| {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                sys::netns::join(std::os::fd::AsFd::as_fd(&netns)).expect("enter the namespace");
                ask_here(name, A)
            });
            asked.join().expect("an answer")
        })
    };
    bed.engine.kill();
    assert_eq!(ask_anyway("two").records, std::slice::from_ref(&two));
    assert_eq!(ask_anyway(OUTSIDE).records, ["192.0.2.1"]);
    bed.engine.launch();
    assert_eq!(ask_anyway("dos").records, [two]);
    sleeper(&bed, "three", "lab");
    assert_eq!(ask_anyway("three").records, [address(&bed, "three", "lab")]);
    bed.ok(["rename", "two", "zwei"]);
    assert_eq!(ask_anyway("zwei").records.len(), 1);
    assert_eq!(ask_anyway("two").code, 3);
    bed.ok(["network", "disconnect", "lab", "three"]);
    assert_eq!(ask_anyway("three").code, 3);
    bed.ok(["network", "create", "field"]);
    bed.ok(["network", "connect", "field", "one"]);
    assert_eq!(ask_anyway("one.field").records, [address(&bed, "one", "field")]);
    bed.ok(["rm", "-f", "one", "zwei", "three"]);
    bed.ok(["network", "rm", "lab", "field"]);
}

#[test]
fn internal_network_lets_no_query_out() {
    let bed = bed();
    let [_, gateway, _] = subnet(&bed, 0);
    make(&bed, "lab", 0, &["--internal"]);
    make(&bed, "field", 1, &[]);
    let [_, outer, _] = subnet(&bed, 1);
    let outside = Outside::start(&outer);
    member(&bed, "box", "lab", &["--dns", &outer]);
    assert_eq!(ask(&bed, "box", OUTSIDE, A).code, 2);
    assert_eq!(ask(&bed, "box", "nobody", A).code, 2);
    assert_eq!(outside.asked(), 0);
    assert_eq!(ask(&bed, "box", "box", A).records, [address(&bed, "box", "lab")]);
    // Without servers of its own, it would ask the host's by way of the host.
    member(&bed, "plain", "lab", &[]);
    let started = Instant::now();
    assert_eq!(ask(&bed, "plain", OUTSIDE, A).code, 2);
    assert!(started.elapsed() < Duration::from_secs(1), "it asked somebody: {:?}", started.elapsed());
    bed.ok(["network", "connect", "field", "box"]);
    assert_eq!(ask(&bed, "box", OUTSIDE, A).records, ["192.0.2.1"]);
    bed.ok(["network", "disconnect", "field", "box"]);
    assert_eq!(ask(&bed, "box", OUTSIDE, A).code, 2);
    assert!(!gateway.is_empty());
    bed.ok(["rm", "-f", "box", "plain"]);
    bed.ok(["network", "rm", "lab", "field"]);
}

#[test]
fn case_of_names_does_not_matter_and_other_types_stay_inside() {
    let bed = bed();
    make(&bed, "Lab", 0, &[]);
    let [_, gateway, _] = subnet(&bed, 0);
    let outside = Outside::start(&gateway);
    member(&bed, "Web", "Lab", &["--dns", &gateway]);
    for name in ["web", "WEB", "Web.lab", "web.LAB"] {
        assert_eq!(ask(&bed, "Web", name, A).records, [address(&bed, "Web", "Lab")], "{name}");
    }
    for kind in [15, 16, 33, 65] {
        let answer = ask(&bed, "Web", "web", kind);
        assert_eq!((answer.code, answer.records.len()), (0, 0), "{kind}");
    }
    assert_eq!(outside.asked(), 0);
    bed.ok(["rm", "-f", "Web"]);
    bed.ok(["network", "rm", "Lab"]);
}

#[test]
fn host_has_a_name_in_every_container_with_a_way_out() {
    let bed = bed();
    make(&bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(&bed, 0);
    sleeper(&bed, "box", "lab");
    assert_eq!(ask(&bed, "box", "host.docker.internal", A).records, [gateway]);
    assert_eq!(ask(&bed, "box", "host.docker.internal", AAAA).code, 0);
    let hosts = bed.sh(&[], "cat /etc/hosts");
    assert!(hosts.contains(&format!("{}\thost.docker.internal\n", bed.engine.gateway())), "{hosts}");
    let last = hosts.lines().last().unwrap_or_default();
    assert!(!last.contains("docker.internal"), "the last line is the container's own: {hosts}");
    let given = bed.sh(&["--add-host", "host.docker.internal:192.0.2.9"], "cat /etc/hosts");
    assert_eq!(given.matches("host.docker.internal").count(), 1, "{given}");
    let asked = bed.sh(&["--network", "lab", "--add-host", "up:host-gateway"], "cat /etc/hosts");
    assert!(asked.contains("\tup\n") && !asked.contains("docker.internal"), "{asked}");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn hostile_clients_do_not_keep_others_from_their_answers() {
    let bed = bed();
    make(&bed, "lab", 0, &[]);
    let [_, _, nobody] = subnet(&bed, 0);
    member(&bed, "box", "lab", &["--dns", &nobody]);
    let own = address(&bed, "box", "lab");
    inside(&bed, "box", || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect("127.0.0.11:53").expect("the server's address");
        let mut noise: u32 = 7;
        let mut connections = Vec::new();
        for round in 0..2000 {
            let mut packet = [0; 700];
            for byte in &mut packet {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (noise >> 24) as u8;
            }
            if round % 2 == 0 {
                // Nobody answers these.
                packet[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                packet[12..18].copy_from_slice(&[1, b'x', 0, 0, 1, 0]);
            }
            let _ = socket.send(&packet[..round % 700]);
            if round % 10 == 0
                && let Ok(mut connection) = TcpStream::connect("127.0.0.11:53")
            {
                let _ = connection.write_all(&packet);
                connections.push(connection);
            }
        }
        // A packet that finds no room is lost, and resolvers ask again.
        let answer = (0..5).find_map(|_| ask_within(Duration::from_secs(1), "box", A));
        assert_eq!(answer.expect("an answer").records, [own]);
    });
    assert_eq!(bed.field("box", "{{.State.Running}}"), "true");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn fifty_containers_find_each_other() {
    const COUNT: usize = 50;
    let bed = bed();
    make(&bed, "lab", 0, &[]);
    let names: Vec<String> = (0..COUNT).map(|number| format!("box{number}")).collect();
    for name in &names {
        sleeper(&bed, name, "lab");
    }
    let addresses: Vec<String> = names.iter().map(|name| address(&bed, name, "lab")).collect();
    for from in &names {
        let found: Vec<Vec<String>> =
            inside(&bed, from, || names.iter().map(|name| ask_here(name, A).records).collect());
        for (found, expected) in found.iter().zip(&addresses) {
            assert_eq!(found, std::slice::from_ref(expected), "from {from}");
        }
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    bed.ok(["rm", "-f"].into_iter().chain(all));
    bed.ok(["network", "rm", "lab"]);
}
