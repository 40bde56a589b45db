//! Published ports on IPv6 addresses of the host, for containers that have none.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testkit::{Bed, Client, eventually};

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
