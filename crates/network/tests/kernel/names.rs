//! What leads to a container's name server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use network::NameSockets;

use crate::support::{Engine, inside, on_machine, run};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(5));

fn server() -> SocketAddr {
    SocketAddr::from((dns::SERVER, 53))
}

/// Answers one packet and one connection with what it got, twice.
fn echo_once(sockets: NameSockets) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let packets = UdpSocket::from(sockets.packets);
        packets.set_read_timeout(PATIENCE).unwrap();
        let mut space = [0; 64];
        let (length, from) = packets.recv_from(&mut space).unwrap();
        packets.send_to(&space[..length].repeat(2), from).unwrap();
        let connections = TcpListener::from(sockets.connections);
        connections.set_nonblocking(false).unwrap();
        let (mut connection, _) = connections.accept().unwrap();
        let length = connection.read(&mut space).unwrap();
        connection.write_all(&space[..length].repeat(2)).unwrap();
    })
}

fn ask_packet() -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(PATIENCE).unwrap();
    // Connected: an answer from another port would not arrive.
    socket.connect(server()).unwrap();
    socket.send(b"packet").unwrap();
    let mut space = [0; 64];
    let length = socket.recv(&mut space).unwrap();
    space[..length].to_vec()
}

fn ask_connection() -> Vec<u8> {
    let mut connection = TcpStream::connect_timeout(&server(), PATIENCE.unwrap()).unwrap();
    connection.set_read_timeout(PATIENCE).unwrap();
    connection.write_all(b"stream").unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn name_server_is_reached_at_its_port_by_packets_and_connections() {
    on_machine(|| {
        let sandbox = Engine::new().container("client");
        let echo = echo_once(NameSockets::open(sandbox.netns.as_fd()).unwrap());
        inside(sandbox.netns.as_fd(), || {
            assert_eq!(ask_packet(), b"packetpacket");
            assert_eq!(ask_connection(), b"streamstream");
        });
        echo.join().unwrap();
    });
}

#[test]
fn container_can_have_a_name_server_of_its_own_on_all_addresses() {
    on_machine(|| {
        let sandbox = Engine::new().container("server");
        let echo = echo_once(NameSockets::open(sandbox.netns.as_fd()).unwrap());
        inside(sandbox.netns.as_fd(), || {
            let own = UdpSocket::bind("0.0.0.0:53").unwrap();
            let _own_connections = TcpListener::bind("0.0.0.0:53").unwrap();
            own.set_read_timeout(PATIENCE).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(b"own", "127.0.0.1:53").unwrap();
            let mut space = [0; 64];
            assert_eq!(own.recv(&mut space).unwrap(), 3);
            assert_eq!(ask_packet(), b"packetpacket");
            assert_eq!(ask_connection(), b"streamstream");
        });
        echo.join().unwrap();
    });
}

#[test]
fn second_server_takes_over_from_the_first() {
    on_machine(|| {
        let sandbox = Engine::new().container("client");
        drop(NameSockets::open(sandbox.netns.as_fd()).unwrap());
        let echo = echo_once(NameSockets::open(sandbox.netns.as_fd()).unwrap());
        inside(sandbox.netns.as_fd(), || {
            assert_eq!(ask_packet(), b"packetpacket");
            assert_eq!(ask_connection(), b"streamstream");
            let rules = run("timeout", &["10", "nft", "list", "ruleset"]);
            assert_eq!(rules.matches("udp dport set").count(), 1, "{rules}");
        });
        echo.join().unwrap();
    });
}
