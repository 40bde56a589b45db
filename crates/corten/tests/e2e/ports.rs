//! Published ports.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use testkit::{Bed, SecondHost, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    published_port_is_reached_from_all_sides,
    published_ports_are_shown,
    port_on_loopback_is_on_loopback_only,
    exposed_ports_are_published_on_request,
    taken_port_is_refused_and_the_container_starts_later,
    port_is_published_on_networks_of_ones_own,
    published_port_is_reached_by_a_second_host,
);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SERVE: &str = "while true; do echo served | nc -l -p 7000; done";

/// A port that was free just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    listener.local_addr().expect("the bound address").port()
}

/// What a server says, if it says something within some seconds.
pub(crate) fn fetch(address: IpAddr, port: u16) -> Option<String> {
    eventually(Duration::from_secs(5), || {
        let address = SocketAddr::new(address, port);
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(1))).expect("a limit of a second");
        let mut text = String::new();
        connection.read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    })
}

pub(crate) fn serve(bed: &Bed, name: &str, options: &[&str]) {
    let head = ["run", "-d", "--name", name].into_iter().chain(options.iter().copied());
    bed.ok(head.chain(["busybox", "sh", "-c", SERVE]));
}

/// The host's port that `port` names for a port of a container.
fn host_port(bed: &Bed, container: &str, port: &str) -> SocketAddr {
    let text = bed.ok(["port", container, port]);
    let first = text.lines().next().expect("a line for each port");
    first.parse().unwrap_or_else(|error| panic!("{first:?}: {error}"))
}

fn published_port_is_reached_from_all_sides(bed: &Bed) {
    let port = free_port();
    serve(bed, "web", &["-p", &format!("{port}:7000")]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    let gateway = bed.engine.gateway();
    assert_eq!(fetch(gateway.into(), port).as_deref(), Some("served"));
    let ask = format!("for i in 1 2 3 4 5; do nc -w 2 {gateway} {port} </dev/null && break; sleep 0.2; done");
    assert_eq!(bed.sh(&[], &ask), "served");
    bed.ok(["rm", "-f", "web"]);
    assert!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok(), "port {port} is not given back");
}

fn published_ports_are_shown(bed: &Bed) {
    let (first, second) = (free_port(), free_port());
    serve(
        bed,
        "web",
        &["-p", &format!("{first}:7000"), "-p", &format!("127.0.0.1:{second}:53/udp"), "--expose", "9000"],
    );
    let shown = bed.ok(["ps", "--format", "{{.Ports}}"]);
    for part in
        [format!("0.0.0.0:{first}->7000/tcp"), format!("127.0.0.1:{second}->53/udp"), "9000/tcp".into()]
    {
        assert!(shown.contains(&part), "{part} in {shown}");
    }
    assert_eq!(host_port(bed, "web", "7000"), SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), first));
    assert_eq!(bed.ok(["port", "web", "53/udp"]), format!("127.0.0.1:{second}"));
    let all = bed.ok(["port", "web"]);
    assert!(all.contains(&format!("7000/tcp -> 0.0.0.0:{first}")), "{all}");
    bed.run(["port", "web", "9000"]).expect_code(1).expect_stderr("No public port '9000' published for web");
    let bound = bed.field("web", "{{(index (index .NetworkSettings.Ports \"53/udp\") 0).HostPort}}");
    assert_eq!(bound, second.to_string());
    let by_port = bed.ok(["ps", "--filter", &format!("publish={first}"), "--format", "{{.Names}}"]);
    assert_eq!(by_port, "web");
    bed.ok(["stop", "-t", "0", "web"]);
    assert_eq!(bed.ok(["ps", "-a", "--format", "{{.Ports}}"]), "");
    bed.ok(["start", "web"]);
    assert_eq!(host_port(bed, "web", "7000").port(), first);
}

fn port_on_loopback_is_on_loopback_only(bed: &Bed) {
    serve(bed, "web", &["-p", "127.0.0.1::7000"]);
    let bound = host_port(bed, "web", "7000");
    assert_eq!(bound.ip(), LOOPBACK);
    assert_eq!(fetch(LOOPBACK, bound.port()).as_deref(), Some("served"));
    assert!(TcpStream::connect((bed.engine.gateway(), bound.port())).is_err());
}

fn exposed_ports_are_published_on_request(bed: &Bed) {
    serve(bed, "web", &["-P", "--expose", "7000"]);
    let bound = host_port(bed, "web", "7000/tcp");
    assert_eq!(fetch(LOOPBACK, bound.port()).as_deref(), Some("served"));
}

fn taken_port_is_refused_and_the_container_starts_later(bed: &Bed) {
    let port = free_port();
    let publish = format!("{port}:7000");
    serve(bed, "first", &["-p", &publish]);
    let refused = bed.run(["run", "-d", "--name", "second", "-p", &publish, "busybox", "sh", "-c", SERVE]);
    let refused = refused
        .expect_code(125)
        .expect_stderr("driver failed programming external connectivity on endpoint second (");
    refused.expect_stderr(&format!("Bind for 0.0.0.0:{port} failed: port is already allocated"));
    assert_eq!(bed.field("second", "{{.State.Status}}"), "created");
    bed.run(["start", "second"]).expect_code(1).expect_stderr("port is already allocated");
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.ok(["rm", "-f", "first"]);
    bed.ok(["start", "second"]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
}

fn port_is_published_on_networks_of_ones_own(bed: &Bed) {
    bed.ok(["network", "create", "lab"]);
    serve(bed, "web", &["--network", "lab", "-p", "7000"]);
    let port = host_port(bed, "web", "7000").port();
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    bed.ok(["rm", "-f", "web"]);
    bed.ok(["network", "rm", "lab"]);
}

fn published_port_is_reached_by_a_second_host(bed: &Bed) {
    let host = SecondHost::new(&bed.engine);
    let port = free_port();
    serve(bed, "web", &["-p", &format!("{port}:7000")]);
    let ask = format!("timeout 5 busybox nc -w 2 {} {port} </dev/null", host.here());
    let answer = eventually(Duration::from_secs(10), || {
        Some(host.sh(&ask).trimmed()).filter(|answer| !answer.is_empty())
    });
    assert_eq!(answer.as_deref(), Some("served"));
}
