//! Containers find each other by name.
//!
//! Questions are asked from inside the containers' network namespaces, byte by byte: what counts is what resolvers see.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use testkit::images::Base;
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::networks::{address, make, sleeper, subnet};
use crate::ports::serve;

with_each_client!(
    names_resolve_on_the_networks_that_a_container_is_in,
    resolvers_of_the_container_find_names,
    python_client_finds_its_server_by_name,
    missing_family_is_an_empty_answer,
    addresses_have_names,
    equal_aliases_take_turns,
    names_resolve_over_connections,
    other_names_are_asked_outside,
    silent_server_is_passed_over,
    name_follows_rename_and_disconnect,
    running_container_gets_names_with_its_first_network,
    container_can_serve_names_itself,
);

pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const AAAA: u16 = 28;
/// What the server outside knows.
pub(crate) const OUTSIDE: &str = "name.outside.example";
const LONG: &str = "long.outside.example";

/// What a name server answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    pub(crate) truncated: bool,
    /// Addresses, and the targets of pointers, as text.
    pub(crate) records: Vec<String>,
    pub(crate) time_to_live: Option<u32>,
}

impl Answer {
    fn records(&self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.records.join(" ")
    }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    packet
}

/// Runs something in a container's network namespace.
pub(crate) fn inside<T: Send>(bed: &Bed, container: &str, work: impl FnOnce() -> T + Send) -> T {
    let pid = bed.field(container, "{{.State.Pid}}");
    let netns = File::open(format!("/proc/{pid}/ns/net")).expect("the container runs");
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::netns::join(netns.as_fd()).expect("enter the namespace");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn server() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 11], 53))
}

/// Asks a container's name server once.
pub(crate) fn ask(bed: &Bed, container: &str, name: &str, kind: u16) -> Answer {
    inside(bed, container, || ask_here(name, kind))
}

pub(crate) fn ask_here(name: &str, kind: u16) -> Answer {
    let answer = ask_within(Duration::from_secs(10), name, kind);
    answer.unwrap_or_else(|| panic!("no answer for {name}"))
}

/// Asks once, and waits for so long.
pub(crate) fn ask_within(limit: Duration, name: &str, kind: u16) -> Option<Answer> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(limit)).expect("a limit");
    socket.connect(server()).expect("the server's address");
    socket.send(&question(name, kind)).expect("send");
    let mut space = [0; 4096];
    let length = socket.recv(&mut space).ok()?;
    Some(read(&space[..length]))
}

fn ask_over_connection(bed: &Bed, container: &str, name: &str) -> Answer {
    inside(bed, container, || {
        let mut connection = TcpStream::connect(server()).expect("connect");
        connection.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        let question = question(name, A);
        // In two pieces, as networks do it.
        connection.write_all(&[0]).expect("send");
        thread::sleep(Duration::from_millis(20));
        connection.write_all(&[&[question.len() as u8], question.as_slice()].concat()).expect("send");
        let mut length = [0; 2];
        connection.read_exact(&mut length).expect("a length");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        connection.read_exact(&mut answer).expect("an answer");
        read(&answer)
    })
}

fn read(packet: &[u8]) -> Answer {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    assert_eq!((number(0), packet[2] & 0x80), (0x1234, 0x80), "{packet:?}");
    let mut answer = Answer { code: packet[3] & 15, truncated: packet[2] & 2 != 0, ..Answer::default() };
    let (_, mut at) = name_at(packet, 12);
    at += 4;
    for _ in 0..number(6) {
        let (_, name_end) = name_at(packet, at);
        answer.time_to_live = Some(u32::from(number(name_end + 4)) << 16 | u32::from(number(name_end + 6)));
        let (data, length) = (name_end + 10, usize::from(number(name_end + 8)));
        answer.records.push(match (number(name_end), length) {
            (A, 4) => IpAddr::from(<[u8; 4]>::try_from(&packet[data..data + 4]).expect("four")).to_string(),
            (AAAA, 16) => {
                IpAddr::from(<[u8; 16]>::try_from(&packet[data..data + 16]).expect("16")).to_string()
            }
            (PTR, _) => name_at(packet, data).0,
            other => panic!("record {other:?}"),
        });
        at = data + length;
    }
    answer
}

/// A name that may end in a pointer, and where it ends itself.
fn name_at(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    loop {
        match packet[at] {
            0 => return (labels.join("."), at + 1),
            length if length < 64 => {
                let end = at + 1 + usize::from(length);
                labels.push(String::from_utf8_lossy(&packet[at + 1..end]).into_owned());
                at = end;
            }
            high => {
                let target = usize::from(high & 63) << 8 | usize::from(packet[at + 1]);
                labels.push(name_at(packet, target).0);
                return (labels.join("."), at + 2);
            }
        }
    }
}

/// A name server outside: it knows [`OUTSIDE`], and [`LONG`], whose answer does not fit a packet. Every other name does not
/// exist.
pub(crate) struct Outside {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Outside {
    pub(crate) fn start(address: &str) -> Self {
        let address: Ipv4Addr = address.parse().expect("an address");
        let packets = UdpSocket::bind((address, 53)).expect("the name server's port");
        let connections = TcpListener::bind((address, 53)).expect("the name server's port");
        packets.set_read_timeout(Some(Duration::from_millis(20))).expect("a limit");
        connections.set_nonblocking(true).expect("non-blocking");
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let packets = {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || serve_packets(&packets, &stop, &asked))
        };
        let connections = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || serve_connections(&connections, &stop))
        };
        Self { stop, asked, threads: vec![packets, connections] }
    }

    /// How many packets have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn serve_packets(socket: &UdpSocket, stop: &AtomicBool, asked: &AtomicUsize) {
    let mut space = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut space) {
            asked.fetch_add(1, Ordering::Relaxed);
            let _ = socket.send_to(&outside_answer(&space[..length], 20), from);
        }
    }
}

fn serve_connections(listener: &TcpListener, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let Ok((mut connection, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        connection.set_nonblocking(false).expect("blocking");
        let mut length = [0; 2];
        if connection.read_exact(&mut length).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if connection.read_exact(&mut query).is_ok() {
                let answer = outside_answer(&query, 1000);
                let length = (answer.len() as u16).to_be_bytes();
                let _ = connection.write_all(&[&length, answer.as_slice()].concat());
            }
        }
    }
}

fn outside_answer(query: &[u8], limit: usize) -> Vec<u8> {
    let (name, end) = name_at(query, 12);
    let count = match name.as_str() {
        OUTSIDE if query[end + 1] == A as u8 => 1,
        LONG => 100,
        _ => 0,
    };
    let mut answer = query[..end + 4].to_vec();
    let sent = count.min(limit);
    let known = [OUTSIDE, LONG].contains(&name.as_str());
    answer[2] = 0x81 | if sent < count { 2 } else { 0 };
    answer[3] = if known { 0x80 } else { 0x83 };
    answer[4..12].copy_from_slice(&[0, 1, 0, sent as u8, 0, 0, 0, 0]);
    for last in 1..=sent {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, last as u8]);
    }
    answer
}

/// A container on a network, with more options, that sleeps.
pub(crate) fn member(bed: &Bed, name: &str, network: &str, options: &[&str]) {
    let head = ["run", "-d", "--name", name, "--network", network].into_iter();
    bed.ok(head.chain(options.iter().copied()).chain(["busybox", "sleep", "600"]));
}

fn names_resolve_on_the_networks_that_a_container_is_in(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    make(bed, "field", 1, &[]);
    let [_, lab_gateway, _] = subnet(bed, 0);
    let [_, field_gateway, _] = subnet(bed, 1);
    let (_outside, _other) = (Outside::start(&lab_gateway), Outside::start(&field_gateway));
    serve(bed, "one", &["--network", "lab", "--network-alias", "uno", "--dns", &lab_gateway]);
    member(bed, "two", "lab", &["--dns", &lab_gateway]);
    bed.ok(["network", "connect", "--alias", "dos", "field", "two"]);
    member(bed, "three", "field", &["--network-alias", "tres", "--dns", &field_gateway]);
    let one = address(bed, "one", "lab");
    let three = address(bed, "three", "field");
    let id = bed.field("one", "{{.Id}}")[..12].to_owned();
    for name in ["one", "one.lab", "uno", "uno.lab", &id] {
        let answer = ask(bed, "two", name, A);
        assert_eq!((answer.records(), answer.time_to_live), (one.clone(), Some(600)), "{name}");
    }
    for name in ["three", "tres", "three.field"] {
        assert_eq!(ask(bed, "two", name, A).records(), three, "{name}");
    }
    assert_eq!(ask(bed, "three", "dos", A).records(), address(bed, "two", "field"));
    assert_eq!(ask(bed, "one", "two", A).records(), address(bed, "two", "lab"));
    assert_eq!(ask(bed, "one", "one", A).records(), one);
    for (from, name) in
        [("one", "three"), ("one", "dos"), ("three", "one"), ("three", "uno"), ("two", "one.field")]
    {
        assert_eq!(ask(bed, from, name, A).code, 3, "{name} from {from}");
    }
    assert_eq!(bed.ok(["exec", "two", "sh", "-c", "nc -w 3 one 7000 </dev/null"]), "served");
    bed.ok(["rm", "-f", "one", "two", "three"]);
    bed.ok(["network", "rm", "lab", "field"]);
}

fn resolvers_of_the_container_find_names(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    sleeper(bed, "web", "lab");
    let web = address(bed, "web", "lab");
    let options =
        ["--network", "lab", "--dns", &gateway, "--dns-search", "corp.example", "--dns-option", "timeout:3"];
    let text = bed.sh(&options, "cat /etc/resolv.conf");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"nameserver 127.0.0.11"), "{text}");
    assert!(lines.contains(&"search corp.example"), "{text}");
    assert!(lines.contains(&"options timeout:3 ndots:0"), "{text}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("nameserver")).count(), 1, "{text}");
    let found = bed.sh(&["--network", "lab", "--dns", &gateway], "nslookup web; ping -c 1 -W 3 web");
    assert!(found.contains(&format!("Address: {web}")) || found.contains(&format!(": {web}")), "{found}");
    assert!(found.contains("1 packets received"), "{found}");
    let missing = bed.sh(&["--network", "lab", "--dns", &gateway], "nslookup nobody 2>&1 || echo failed");
    assert!(missing.ends_with("failed"), "{missing}");
    bed.ok(["rm", "-f", "web"]);
    bed.ok(["network", "rm", "lab"]);
}

fn python_client_finds_its_server_by_name(bed: &Bed) {
    bed.engine.load(Base::Python);
    make(bed, "lab", 0, &[]);
    serve(bed, "server", &["--network", "lab", "--network-alias", "store"]);
    let fetch = "import socket\n\
                 for name in ['server', 'store', 'server.lab']:\n\
                 \x20   for attempt in range(20):\n\
                 \x20       try:\n\
                 \x20           print(socket.create_connection((name, 7000), 3).recv(100).decode().strip())\n\
                 \x20           break\n\
                 \x20       except ConnectionError: __import__('time').sleep(0.2)\n";
    let answers = bed.ok(["run", "--rm", "--network", "lab", "python:3", "python3", "-c", fetch]);
    assert_eq!(answers, "served\nserved\nserved");
    bed.ok(["rm", "-f", "server"]);
    bed.ok(["network", "rm", "lab"]);
}

fn missing_family_is_an_empty_answer(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let outside = Outside::start(&gateway);
    member(bed, "box", "lab", &["--dns", &gateway]);
    for name in ["box", "box.lab"] {
        assert_eq!(ask(bed, "box", name, AAAA), Answer::default());
    }
    assert_eq!(outside.asked(), 0);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn addresses_have_names(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    member(bed, "box", "lab", &["--network-alias", "other", "--dns", &gateway]);
    let reverse = |address: &str| {
        let digits: Vec<&str> = address.split('.').rev().collect();
        format!("{}.in-addr.arpa", digits.join("."))
    };
    let own = address(bed, "box", "lab");
    assert_eq!(ask(bed, "box", &reverse(&own), PTR).records(), "box.lab");
    assert_eq!(ask(bed, "box", &reverse("192.0.2.77"), PTR).code, 3);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn equal_aliases_take_turns(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    for name in ["one", "two", "three"] {
        member(bed, name, "lab", &["--network-alias", "all"]);
    }
    let expected: BTreeSet<String> =
        ["one", "two", "three"].iter().map(|name| address(bed, name, "lab")).collect();
    let mut first = BTreeSet::new();
    for _ in 0..60 {
        let answer = ask(bed, "one", "all", A);
        assert_eq!(answer.records.iter().cloned().collect::<BTreeSet<_>>(), expected);
        first.insert(answer.records[0].clone());
    }
    assert_eq!(first, expected);
    bed.ok(["rm", "-f", "one", "two", "three"]);
    bed.ok(["network", "rm", "lab"]);
}

fn names_resolve_over_connections(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    member(bed, "box", "lab", &["--dns", &gateway]);
    assert_eq!(ask_over_connection(bed, "box", "box").records(), address(bed, "box", "lab"));
    assert_eq!(ask_over_connection(bed, "box", OUTSIDE).records(), "192.0.2.1");
    assert_eq!(ask_over_connection(bed, "box", "nobody.example").code, 3);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn other_names_are_asked_outside(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let outside = Outside::start(&gateway);
    member(bed, "box", "lab", &["--dns", &gateway]);
    let answer = ask(bed, "box", OUTSIDE, A);
    assert_eq!((answer.records(), answer.time_to_live), ("192.0.2.1".to_owned(), Some(30)));
    assert_eq!(ask(bed, "box", OUTSIDE, AAAA), Answer::default());
    assert_eq!(ask(bed, "box", "nobody.example", A).code, 3);
    assert_eq!(ask(bed, "box", "nobody", A).code, 3);
    assert_eq!(outside.asked(), 4);
    // What does not fit a packet is asked again over a connection.
    assert!(ask(bed, "box", LONG, A).truncated);
    assert_eq!(ask_over_connection(bed, "box", LONG).records.len(), 100);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn silent_server_is_passed_over(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, nobody] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    member(bed, "box", "lab", &["--dns", &nobody, "--dns", &gateway]);
    assert_eq!(ask(bed, "box", OUTSIDE, A).records(), "192.0.2.1");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn name_follows_rename_and_disconnect(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    member(bed, "client", "lab", &["--dns", &gateway]);
    sleeper(bed, "old", "lab");
    let own = address(bed, "old", "lab");
    assert_eq!(ask(bed, "client", "old", A).records(), own);
    bed.ok(["rename", "old", "new"]);
    assert_eq!(ask(bed, "client", "new", A).records(), own);
    assert_eq!(ask(bed, "client", "old", A).code, 3);
    bed.ok(["network", "disconnect", "lab", "new"]);
    assert_eq!(ask(bed, "client", "new", A).code, 3);
    bed.ok(["network", "connect", "--alias", "again", "lab", "new"]);
    assert_eq!(ask(bed, "client", "again", A).records(), address(bed, "new", "lab"));
    bed.ok(["stop", "-t", "0", "new"]);
    assert_eq!(ask(bed, "client", "again", A).code, 3);
    bed.ok(["start", "new"]);
    assert_eq!(ask(bed, "client", "again", A).records(), address(bed, "new", "lab"));
    bed.ok(["rm", "-f", "client", "new"]);
    bed.ok(["network", "rm", "lab"]);
}

fn running_container_gets_names_with_its_first_network(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "web", "lab");
    bed.ok(["run", "-d", "--name", "late", "busybox", "sleep", "600"]);
    assert!(!bed.ok(["exec", "late", "cat", "/etc/resolv.conf"]).contains("127.0.0.11"));
    bed.ok(["network", "connect", "lab", "late"]);
    assert!(bed.ok(["exec", "late", "cat", "/etc/resolv.conf"]).contains("nameserver 127.0.0.11\n"));
    assert_eq!(ask(bed, "late", "web", A).records(), address(bed, "web", "lab"));
    assert_eq!(ask(bed, "web", "late", A).records(), address(bed, "late", "lab"));
    bed.ok(["rm", "-f", "web", "late"]);
    bed.ok(["network", "rm", "lab"]);
}

fn container_can_serve_names_itself(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "server", "lab");
    let own = address(bed, "server", "lab");
    inside(bed, "server", || {
        let packets = UdpSocket::bind("0.0.0.0:53").expect("the port is free for packets");
        let _connections = TcpListener::bind("0.0.0.0:53").expect("the port is free for connections");
        packets.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.send_to(b"for the container", (own.as_str(), 53)).expect("send");
        let mut space = [0; 64];
        assert_eq!(packets.recv(&mut space).expect("a packet"), 17);
        assert_eq!(ask_here("server", A).records(), own);
    });
    bed.ok(["rm", "-f", "server"]);
    bed.ok(["network", "rm", "lab"]);
}
