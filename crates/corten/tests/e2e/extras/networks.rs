//! Networks, beyond what Docker does or what its old version in the tests does.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::{Bed, Client, Command};

use crate::CORTEN;
use crate::ports::{fetch, free_port, serve};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn address(bed: &Bed, container: &str, network: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
    bed.field(container, &template)
}

fn gateway(bed: &Bed, network: &str) -> String {
    bed.ok(["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network])
}

/// Docker has taken this for each network since API 1.44.
#[test]
fn hardware_address_is_as_asked_for_each_network() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Docker);
    let mac = "02:42:ac:11:00:99";
    bed.ok(["network", "create", "--internal", "lab"]);
    let run =
        ["run", "-d", "--name", "box", "--network", "lab", "--mac-address", mac, "busybox", "sleep", "600"];
    bed.ok(run);
    let inside = bed.ok(["exec", "box", "sh", "-c", "cat /sys/class/net/eth0/address; ip route"]);
    assert!(inside.starts_with(mac), "{inside}");
    assert!(!inside.contains("default"), "an internal network has no way out: {inside}");
    let template = "{{range .Containers}}{{.Name}} {{.MacAddress}}{{end}}";
    assert_eq!(bed.ok(["network", "inspect", "--format", template, "lab"]), format!("box {mac}"));
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn flushed_firewall_is_back_within_five_seconds_and_an_event_tells() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().to_string();
    let port = free_port();
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    let table = format!("corten-{}", bed.engine.bridge());
    Command::new("nft").args(["delete", "table", "inet", &table]).run().expect_ok();
    let removed = Instant::now();
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
    assert!(removed.elapsed() < Duration::from_secs(5), "{:?}", removed.elapsed());
    let events = ["events", "--since", &since, "--until", "0s", "--filter", "type=daemon"];
    let told = bed.ok(events.into_iter().chain(["--format", "{{.Action}} {{.Actor.Attributes.name}}"]));
    assert_eq!(told, format!("rules-restored {table}"));
}

#[test]
fn start_right_after_a_flush_publishes_its_port() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let table = format!("corten-{}", bed.engine.bridge());
    Command::new("nft").args(["delete", "table", "inet", &table]).run().expect_ok();
    let port = free_port();
    serve(&bed, "web", &["-p", &format!("{port}:7000")]);
    assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
}

#[test]
fn networks_do_not_reach_each_other() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Docker);
    bed.ok(["network", "create", "lab"]);
    bed.ok(["network", "create", "field"]);
    serve(&bed, "web", &["--network", "lab"]);
    let own = address(&bed, "web", "lab");
    let ask = format!("nc -w 1 {own} 7000 </dev/null || echo unreachable");
    assert_eq!(bed.sh(&["--network", "field"], &ask), "unreachable");
    assert_eq!(bed.sh(&[], &ask), "unreachable");
    assert_eq!(bed.sh(&["--network", "lab"], &ask), "served");
    bed.ok(["rm", "-f", "web"]);
    bed.ok(["network", "rm", "lab", "field"]);
}

#[test]
fn container_on_several_networks_goes_out_by_the_one_with_the_highest_priority() {
    for client in [Client::Docker, Client::Corten] {
        let bed = Bed::start(CORTEN.as_ref(), client);
        for network in ["lab", "field", "sea"] {
            bed.ok(["network", "create", network]);
        }
        let route = || bed.ok(["exec", "web", "ip", "route", "show", "default"]);
        let via = |network: &str| format!("default via {}", gateway(&bed, network));
        let port = free_port();
        serve(&bed, "web", &["--network", "lab", "--network", "name=field", "-p", &format!("{port}:7000")]);
        assert!(route().starts_with(&via("field")), "{}", route());
        assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
        bed.ok(["network", "connect", "--gw-priority", "1", "sea", "web"]);
        assert!(route().starts_with(&via("sea")), "{}", route());
        assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
        bed.ok(["network", "disconnect", "sea", "web"]);
        assert!(route().starts_with(&via("field")), "{}", route());
        assert_eq!(fetch(LOOPBACK, port).as_deref(), Some("served"));
        bed.ok(["rm", "-f", "web"]);
        bed.ok(["network", "rm", "lab", "field", "sea"]);
    }
}

#[test]
fn what_a_network_cannot_have_is_refused_by_name() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    for (options, named) in [
        (&["-d", "macvlan"][..], "parent"),
        (&["-d", "macvlan", "-o", "parent=no-such0"], "no-such0"),
        (&["-d", "ipvlan"], "ipvlan"),
        (&["-d", "overlay"], "overlay"),
        (&["--scope", "swarm"], "scope"),
        (&["--config-only"], "--config-only"),
        (&["--ingress"], "ingress"),
        (&["--ipam-driver", "dhcp"], "dhcp"),
        (&["-o", "com.docker.network.bridge.colour=red"], "com.docker.network.bridge.colour"),
    ] {
        let words = ["network", "create"].into_iter().chain(options.iter().copied()).chain(["lab"]);
        bed.run(words).expect_code(1).expect_stderr(named);
    }
    bed.ok(["network", "create", "lab"]);
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    for (options, named) in [
        (&["--link-local-ip", "169.254.9.9"][..], "--link-local-ip"),
        (&["--link", "box"], "--link"),
        (&["--driver-opt", "a.b=c"], "a.b=c"),
    ] {
        let words = ["network", "connect"].into_iter().chain(options.iter().copied()).chain(["lab", "box"]);
        bed.run(words).expect_code(1).expect_stderr(named);
    }
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}
