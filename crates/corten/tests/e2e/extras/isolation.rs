//! Who reaches whom, seen from another machine on the wire.

use std::path::Path;
use std::time::Duration;

use testkit::{Bed, Client, Command, SecondHost, eventually};

use crate::CORTEN;
use crate::links::sleeper;
use crate::ports::free_port;

const LIMIT: Duration = Duration::from_secs(10);

/// Starts a server at port 7000 that logs who asks.
fn serve(bed: &Bed, name: &str, options: &[&str]) {
    let head = ["run", "-d", "--name", name].into_iter().chain(options.iter().copied());
    let script = "echo served >/tmp/index.html; exec httpd -f -v -p 7000 -h /tmp";
    bed.ok(head.chain(["busybox", "sh", "-c", script]));
}

fn address(bed: &Bed, container: &str) -> String {
    bed.field(container, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

fn gateway(bed: &Bed, container: &str) -> String {
    bed.field(container, "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}")
}

fn subnet(bed: &Bed, network: &str) -> String {
    bed.ok(["network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", network])
}

/// A shell script that asks once.
fn question(address: &str, port: u16) -> String {
    let ask = format!("busybox nc -w 1 {address} {port}");
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 4 {ask} | tail -n 1")
}

fn is_served(answer: impl Fn() -> String) -> bool {
    eventually(LIMIT, || (answer().trim() == "served").then_some(())).is_some()
}

fn from_here(address: &str, port: u16) -> String {
    Command::new("sh").args(["-c", &question(address, port)]).run().text()
}

fn from_container(bed: &Bed, container: &str, address: &str, port: u16) -> String {
    bed.run(["exec", container, "sh", "-c", &question(address, port)]).text()
}

fn from_second_host(host: &SecondHost, address: &str, port: u16) -> String {
    host.sh(&question(address, port)).text()
}

/// The client of the last request that was answered, as the server saw it.
fn last_client(bed: &Bed, server: &str) -> String {
    let seen = eventually(LIMIT, || {
        let log = bed.run(["logs", server]).expect_ok().stderr;
        let line = log.lines().rfind(|line| line.ends_with("response:200"))?.to_owned();
        Some(line)
    });
    let line = seen.expect("a request in the server's log");
    let client = line.rsplit_once(": ").map_or("", |(client, _)| client);
    let (address, _port) = client.rsplit_once(':').unwrap_or_default();
    address.trim_matches(['[', ']']).trim_start_matches("::ffff:").to_owned()
}

#[test]
fn published_port_is_reached_from_all_sides_by_true_addresses() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let host = SecondHost::new(&bed.engine);
    let port = free_port();
    bed.ok(["network", "create", "lab"]);
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    sleeper(&bed, "near", &[]);
    sleeper(&bed, "far", &["--network", "lab"]);
    let (here, bridge) = (host.here().to_string(), bed.engine.gateway().to_string());

    assert!(is_served(|| from_second_host(&host, &here, port)));
    assert_eq!(last_client(&bed, "web"), host.there().to_string());
    assert!(is_served(|| from_here(&here, port)));
    assert_eq!(last_client(&bed, "web"), here);
    // 127.0.0.1 means nothing to the container; the bridge stands for it.
    assert!(is_served(|| from_here("127.0.0.1", port)));
    assert_eq!(last_client(&bed, "web"), bridge);
    for (container, target) in
        [("near", bridge.clone()), ("near", here.clone()), ("far", gateway(&bed, "far"))]
    {
        assert!(is_served(|| from_container(&bed, container, &target, port)), "{container} by {target}");
        let filtered = Path::new("/proc/sys/net/bridge").exists() || container == "far";
        let expected = if filtered { address(&bed, container) } else { bridge.clone() };
        assert_eq!(last_client(&bed, "web"), expected, "{container} by {target}");
    }
    assert!(is_served(|| from_container(&bed, "web", &here, port)), "the container reaches itself");
    bed.ok(["rm", "-f", "far"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn routed_neighbour_reaches_published_ports_only() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Docker);
    let host = SecondHost::new(&bed.engine);
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected";
    bed.ok(["network", "create", "-o", mode, "open"]);
    host.route_here(&subnet(&bed, "bridge"));
    host.route_here(&subnet(&bed, "open"));
    let port = free_port();
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    serve(&bed, "other", &["--network", "open"]);
    assert!(is_served(|| from_second_host(&host, &host.here().to_string(), port)));
    // The way is there: a network that is not protected is reached by it.
    assert!(is_served(|| from_second_host(&host, &address(&bed, "other"), 7000)));
    assert!(is_served(|| from_here(&address(&bed, "web"), 7000)));
    assert_eq!(from_second_host(&host, &address(&bed, "web"), 7000), "");
    assert_ne!(host.sh(&format!("busybox ping -c 1 -W 1 {}", address(&bed, "web"))).status, 0);
    bed.ok(["rm", "-f", "other"]);
    bed.ok(["network", "rm", "open"]);
}

#[test]
fn port_on_loopback_is_out_of_reach_of_other_hosts() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let host = SecondHost::new(&bed.engine);
    let port = free_port();
    serve(&bed, "web", &["-p", &format!("127.0.0.1:{port}:7000")]);
    assert!(is_served(|| from_here("127.0.0.1", port)));
    assert_eq!(from_second_host(&host, &host.here().to_string(), port), "");
    assert_eq!(from_second_host(&host, &bed.engine.gateway().to_string(), port), "");
}

/// Whether a packet of a container that makes itself a way out arrives at the second host.
fn a_packet_gets_out(bed: &Bed, host: &SecondHost, network: &str) -> bool {
    let bridge = bed.ok(["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network]);
    let capture = host.command("timeout 10 tcpdump -nn -l -i eth0 -c 1 icmp or udp or tcp").spawn();
    let there = host.there();
    // For some seconds: whoever listens may be slow to begin.
    let script = format!(
        "ip route replace default via {bridge}; end=$(($(date +%s) + 4)); \
         while [ $(date +%s) -lt $end ]; do ping -c 1 -W 1 {there}; nc -w 1 {there} 9 </dev/null; done; true"
    );
    bed.sh(&["--network", network, "--cap-add", "NET_ADMIN"], &script);
    !capture.finish().trimmed().is_empty()
}

#[test]
fn internal_network_lets_no_packet_out() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let host = SecondHost::new(&bed.engine);
    bed.ok(["network", "create", "lab"]);
    bed.ok(["network", "create", "--internal", "vault"]);
    assert!(a_packet_gets_out(&bed, &host, "lab"), "the wire carries nothing");
    assert!(!a_packet_gets_out(&bed, &host, "vault"));
    // Nor does anything come in.
    host.route_here(&subnet(&bed, "vault"));
    serve(&bed, "web", &["--network", "vault"]);
    assert!(is_served(|| from_here(&address(&bed, "web"), 7000)));
    assert_eq!(from_second_host(&host, &address(&bed, "web"), 7000), "");
    bed.ok(["rm", "-f", "web"]);
    bed.ok(["network", "rm", "lab", "vault"]);
}

#[test]
fn networks_with_ipv6_publish_on_it() {
    for (client, options) in
        [(Client::Docker, &["--ipv6"][..]), (Client::Corten, &["--ipv6", "--ipv4=false"])]
    {
        let bed = Bed::start(CORTEN.as_ref(), client);
        bed.ok(["network", "create"].into_iter().chain(options.iter().copied()).chain(["six"]));
        let port = free_port();
        serve(&bed, "web", &["--network", "six", "-p", &format!("{port}:7000")]);
        let field = |name: &str| {
            bed.field("web", &format!("{{{{range .NetworkSettings.Networks}}}}{{{{.{name}}}}}{{{{end}}}}"))
        };
        let has_ipv4 = !options.contains(&"--ipv4=false");
        assert_eq!(field("IPAddress").is_empty(), !has_ipv4);
        assert!(is_served(|| from_here("::1", port)), "by [::1]");
        // The host's own address on the bridge is led there by the firewall, and the server sees who asks.
        assert!(is_served(|| from_here(&field("IPv6Gateway"), port)));
        assert_eq!(last_client(&bed, "web"), field("IPv6Gateway"));
        assert_eq!(from_here("127.0.0.1", port).trim() == "served", has_ipv4);
        bed.ok(["rm", "-f", "web"]);
        bed.ok(["network", "rm", "six"]);
    }
}
