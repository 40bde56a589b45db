//! The default bridge, and doing without it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use testkit::{Bed, with_each_client};

use crate::CORTEN;

with_each_client!(
    address_is_from_the_bridge_s_subnet,
    gateway_answers,
    service_on_the_host_is_reached,
    containers_reach_each_other,
    addresses_are_unique_and_given_back,
    name_servers_are_the_host_s,
    hosts_file_has_the_container_s_name,
    none_has_loopback_only,
    host_has_the_host_s_interfaces,
    network_of_another_container_is_shared,
    loopback_is_up,
    network_without_ipv6_gives_no_such_address,
    unknown_network_is_refused,
);

fn address(bed: &Bed, name: &str) -> Ipv4Addr {
    let text = bed.field(name, "{{.NetworkSettings.IPAddress}}");
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn sleeper(bed: &Bed, name: &str) {
    bed.ok(["run", "-d", "--name", name, "busybox", "sleep", "600"]);
}

fn address_is_from_the_bridge_s_subnet(bed: &Bed) {
    sleeper(bed, "box");
    let gateway = bed.engine.gateway();
    let own = address(bed, "box");
    assert_eq!(own.octets()[..3], gateway.octets()[..3]);
    assert_ne!(own, gateway);
    let shown = bed.ok(["exec", "box", "ip", "-4", "-o", "addr", "show", "eth0"]);
    assert!(shown.contains(&format!("inet {own}/24")), "{shown}");
    let route = bed.ok(["exec", "box", "ip", "route"]);
    assert!(route.contains(&format!("default via {gateway} dev eth0")), "{route}");
    let bridge = bed.field(
        "box",
        "{{with index .NetworkSettings.Networks \"bridge\"}}{{.IPAddress}} {{.Gateway}}{{end}}",
    );
    assert_eq!(bridge, format!("{own} {gateway}"));
    let mac = bed.ok(["exec", "box", "cat", "/sys/class/net/eth0/address"]);
    assert_eq!(bed.field("box", "{{.NetworkSettings.MacAddress}}"), mac);
}

fn gateway_answers(bed: &Bed) {
    let gateway = bed.engine.gateway().to_string();
    bed.ok(["run", "--rm", "busybox", "ping", "-c", "1", "-W", "3", &gateway]);
}

fn service_on_the_host_is_reached(bed: &Bed) {
    sleeper(bed, "box");
    let listener = TcpListener::bind((bed.engine.gateway(), 0)).expect("bind on the bridge");
    let port = listener.local_addr().expect("the bound address").port();
    let own = address(bed, "box");
    let server = thread::spawn(move || {
        let (mut connection, peer) = listener.accept().expect("accept");
        let mut request = [0; 4];
        connection.read_exact(&mut request).expect("read the request");
        connection.write_all(b"hello").expect("answer");
        peer.ip()
    });
    let script = format!("echo ping | nc -w 5 {} {port}", bed.engine.gateway());
    assert_eq!(bed.ok(["exec", "box", "sh", "-c", &script]), "hello");
    assert_eq!(server.join().expect("the server ends"), own);
}

fn containers_reach_each_other(bed: &Bed) {
    let script = "echo served | nc -l -p 7000";
    bed.ok(["run", "-d", "--name", "server", "busybox", "sh", "-c", script]);
    let target = address(bed, "server").to_string();
    let script =
        format!("for i in 1 2 3 4 5 6 7 8 9; do nc -w 3 {target} 7000 </dev/null && break; sleep 0.2; done");
    assert_eq!(bed.sh(&[], &script), "served");
}

fn addresses_are_unique_and_given_back(bed: &Bed) {
    let names: Vec<String> = (0..6).map(|number| format!("box{number}")).collect();
    let starting: Vec<_> = names
        .iter()
        .map(|name| bed.cli(["run", "-d", "--name", name, "busybox", "sleep", "600"]).spawn())
        .collect();
    starting.into_iter().for_each(|running| drop(running.finish().expect_ok()));
    let mut addresses: Vec<Ipv4Addr> = names.iter().map(|name| address(bed, name)).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 6);
    bed.ok(["rm", "-f", "box0"]);
    sleeper(bed, "again");
    assert!(address(bed, "again").octets()[3] < 12, "addresses are not given back");
}

fn name_servers_are_the_host_s(bed: &Bed) {
    let host = std::fs::read_to_string("/etc/resolv.conf").expect("read resolv.conf");
    let inside = bed.sh(&[], "cat /etc/resolv.conf");
    let servers = host.lines().filter_map(|line| line.strip_prefix("nameserver "));
    for server in servers.filter(|server| !server.starts_with("127.") && !server.contains(':')) {
        assert!(inside.contains(server), "{server} in {inside}");
    }
    assert!(inside.contains("nameserver "), "{inside}");
    let given = bed.sh(&["--dns", "192.0.2.53", "--dns-search", "example.org"], "cat /etc/resolv.conf");
    assert!(given.contains("nameserver 192.0.2.53") && given.contains("search example.org"), "{given}");
}

fn hosts_file_has_the_container_s_name(bed: &Bed) {
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "--hostname",
        "named",
        "--add-host",
        "extra:192.0.2.9",
        "busybox",
        "sleep",
        "600",
    ]);
    let text = bed.ok(["exec", "box", "cat", "/etc/hosts"]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let own = address(bed, "box").to_string();
    assert!(lines.contains(&vec![own.as_str(), "named"]), "{text}");
    assert!(lines.contains(&vec!["192.0.2.9", "extra"]), "{text}");
    assert!(lines.contains(&vec!["127.0.0.1", "localhost"]), "{text}");
}

fn none_has_loopback_only(bed: &Bed) {
    assert_eq!(bed.sh(&["--network", "none"], "ls /sys/class/net"), "lo");
    bed.ok(["create", "--name", "box", "--network", "none", "busybox"]);
    assert_eq!(bed.field("box", "{{.NetworkSettings.IPAddress}}"), "");
}

fn host_has_the_host_s_interfaces(bed: &Bed) {
    let inside = bed.sh(&["--network", "host"], "ls /sys/class/net; hostname");
    assert!(inside.lines().any(|name| name == bed.engine.bridge()), "{inside}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("read the host name");
    assert!(inside.ends_with(host.trim()), "{inside}");
}

fn network_of_another_container_is_shared(bed: &Bed) {
    sleeper(bed, "box");
    let own = address(bed, "box").to_string();
    let shown = bed.sh(&["--network", "container:box"], "ip -4 -o addr show eth0; hostname; cat /etc/hosts");
    assert!(shown.contains(&own), "{shown}");
    assert!(shown.contains(&bed.ok(["exec", "box", "hostname"])), "{shown}");
}

fn loopback_is_up(bed: &Bed) {
    for network in ["bridge", "none"] {
        bed.ok(["run", "--rm", "--network", network, "busybox", "ping", "-c", "1", "-W", "2", "127.0.0.1"]);
    }
}

fn network_without_ipv6_gives_no_such_address(bed: &Bed) {
    let interfaces = bed.sh(&[], "cat /proc/net/if_inet6");
    assert!(!interfaces.contains("eth0"), "{interfaces}");
}

fn unknown_network_is_refused(bed: &Bed) {
    let output = bed.run(["run", "--rm", "--network", "no-such-net", "busybox", "true"]).expect_code(125);
    output.expect_stderr("network no-such-net not found");
}
