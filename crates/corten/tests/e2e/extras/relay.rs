//! Published ports on IPv6 addresses of the host, for containers that have none.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use testkit::{Bed, Client, Command, eventually};

use crate::CORTEN;
use crate::ports::{fetch, free_port, serve};

const LOOPBACK: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(10);

fn echo(bed: &Bed, port: u16) {
    let publish = format!("{port}:7000");
    bed.ok([
        "run", "-d", "--name", "echo", "-p", &publish, "busybox", "nc", "-ll", "-p", "7000", "-e", "cat",
    ]);
}

/// A connection that is answered: the relay takes connections before the container's program listens.
fn connect(port: u16) -> TcpStream {
    let connected = eventually(LIMIT, || {
        let mut stream = TcpStream::connect(SocketAddr::new(LOOPBACK, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        stream.write_all(b"?").ok()?;
        let mut answer = [0];
        stream.read_exact(&mut answer).ok()?;
        (answer == *b"?").then_some(stream)
    });
    connected.expect("the server answers by ::1")
}

#[test]
fn port_is_reached_by_ipv6_loopback_while_the_engine_is_away_too() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Docker);
    let port = free_port();
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    let shown = bed.ok(["port", "web", "7000"]);
    assert!(shown.contains(&format!("[::]:{port}")), "{shown}");
    bed.engine.kill();
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.engine.launch();
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.ok(["restart", "-t", "0", "web"]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.ok(["rm", "-f", "web"]);
    assert!(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok(), "the port is not given back");
}

#[test]
fn end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let port = free_port();
    echo(&bed, port);
    let mut stream = connect(port);
    stream.write_all(b"the rest").expect("send");
    stream.shutdown(Shutdown::Write).expect("end one direction");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer and its end");
    assert_eq!(answer, "the rest");
}

#[test]
fn slow_reader_holds_the_sender_up_and_loses_nothing() {
    const AMOUNT: usize = 64 << 20;
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let port = free_port();
    echo(&bed, port);
    let mut stream = connect(port);
    let mut writer = stream.try_clone().expect("duplicate");
    let sender = thread::spawn(move || {
        let block: Vec<u8> = (0..1 << 20).map(|number: usize| (number % 251) as u8).collect();
        for _ in 0..AMOUNT >> 20 {
            writer.write_all(&block).expect("send");
        }
        writer.shutdown(Shutdown::Write).expect("end");
    });
    thread::sleep(Duration::from_secs(1));
    assert!(!sender.is_finished(), "somebody keeps {AMOUNT} bytes in memory");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("everything comes back");
    sender.join().expect("the sender ends");
    assert_eq!(received.len(), AMOUNT);
    let right = |(number, byte): (usize, &u8)| *byte == (number % (1 << 20) % 251) as u8;
    assert!(received.iter().enumerate().all(right));
}

#[test]
fn ports_follow_a_container_to_another_network() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let port = free_port();
    bed.ok(["network", "create", "lab"]);
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    bed.ok(["network", "connect", "lab", "web"]);
    bed.ok(["network", "disconnect", "bridge", "web"]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.ok(["rm", "-f", "web"]);
    bed.ok(["network", "rm", "lab"]);
}

/// Answers each packet that comes to port 53 of the container with who sent it and what it was, until it hears nothing for
/// some seconds.
fn serve_packets(bed: &Bed, container: &str) -> thread::JoinHandle<()> {
    let pid = bed.field(container, "{{.State.Pid}}");
    let netns = File::open(format!("/proc/{pid}/ns/net")).expect("the container's network namespace");
    let (ready, is_ready) = mpsc::channel();
    let server = thread::spawn(move || {
        sys::netns::join(netns.as_fd()).expect("enter the namespace");
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).expect("listen");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        ready.send(()).expect("the test waits");
        let mut packet = vec![0; 65536];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            let answer = [format!("{client} ").as_bytes(), &packet[..length]].concat();
            socket.send_to(&answer, client).expect("answer");
        }
    });
    is_ready.recv().expect("the server listens");
    server
}

fn packet_client(to: IpAddr, port: u16) -> UdpSocket {
    let own: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let client = UdpSocket::bind((own, 0)).expect("a socket");
    client.connect((to, port)).expect("connect");
    client.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    client
}

/// What the server says of the client, once it answers; packets may be lost.
fn ask_packet(client: &UdpSocket, question: &[u8]) -> String {
    let answer = eventually(LIMIT, || {
        let _ = client.send(question);
        let mut answer = vec![0; 65536];
        let length = client.recv(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let (seen, rest) = text.split_once(' ')?;
        (rest.as_bytes() == question).then(|| seen.to_owned())
    });
    answer.expect("the server answers with what it was asked")
}

#[test]
fn packets_reach_the_container_and_each_client_has_its_own_answers() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let port = free_port();
    let publish = format!("{port}:53/udp");
    bed.ok(["run", "-d", "--name", "dns", "-p", &publish, "busybox", "sleep", "600"]);
    let server = serve_packets(&bed, "dns");
    let four = packet_client(Ipv4Addr::LOCALHOST.into(), port);
    ask_packet(&four, b"by the firewall");
    let (one, two) = (packet_client(LOOPBACK, port), packet_client(LOOPBACK, port));
    let seen = [ask_packet(&one, b"first"), ask_packet(&two, b"second")];
    assert_ne!(seen[0], seen[1], "both clients are one to the server");
    // A client keeps its way, also with a packet of many fragments and while no engine runs.
    bed.engine.kill();
    assert_eq!(ask_packet(&one, &[b'x'; 9000]), seen[0]);
    assert_eq!(ask_packet(&two, b"again"), seen[1]);
    bed.engine.launch();
    assert_eq!(ask_packet(&two, b"once more"), seen[1]);
    server.join().expect("the server ends");
}

/// An address of this machine for as long as this lives.
struct Address(String);

impl Address {
    fn add(address: &str) -> Self {
        let whole = format!("{address}/128");
        Command::new("ip").args(["-6", "address", "add", &whole, "dev", "lo", "nodad"]).run().expect_ok();
        Self(whole)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        Command::new("ip").args(["-6", "address", "del", &self.0, "dev", "lo"]).run();
    }
}

#[test]
fn packets_are_answered_from_the_address_that_was_asked() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let [_, second, third, _] = bed.engine.gateway().octets();
    let second = format!("fd5c:{second:x}:{third:x}::1");
    let _address = Address::add(&second);
    let port = free_port();
    bed.ok(["run", "-d", "--name", "dns", "-p", &format!("{port}:53/udp"), "busybox", "sleep", "600"]);
    let server = serve_packets(&bed, "dns");
    // The kernel by itself would answer from the client's own address, and a connected socket takes no such answer.
    let by_second = packet_client(second.parse().expect("an address"), port);
    let by_loopback = packet_client(LOOPBACK, port);
    assert_ne!(ask_packet(&by_second, b"second"), ask_packet(&by_loopback, b"loopback"));
    bed.ok(["rm", "-f", "dns"]);
    server.join().expect("the server ends");
}
