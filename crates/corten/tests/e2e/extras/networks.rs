//! Networks, beyond what Docker does or what its old version in the tests does.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::engine::Builder;
use testkit::{Bed, Client, Command, Kind, eventually};

use super::faults::Random;
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
    let format = ["--format", "{{.Action}} {{.Actor.Attributes.name}}"];
    let told = || bed.ok(events.into_iter().chain(format));
    // It is told a moment after it is so.
    let is_told = || (told() == format!("rules-restored {table}")).then_some(());
    assert!(eventually(Duration::from_secs(2), is_told).is_some(), "{}", told());
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
    for (options, named) in
        [(&["--link-local-ip", "169.254.9.9"][..], "--link-local-ip"), (&["--driver-opt", "a.b=c"], "a.b=c")]
    {
        let words = ["network", "connect"].into_iter().chain(options.iter().copied()).chain(["lab", "box"]);
        bed.run(words).expect_code(1).expect_stderr(named);
    }
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn plan_tells_what_publishing_does_to_the_firewall() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let port = free_port();
    let publish = format!("{port}:7000");
    let table = format!("corten-{}", bed.engine.bridge());
    let rules = || Command::new("nft").args(["list", "table", "inet", &table]).run().expect_ok().text();
    let before = rules();
    let plan = bed.ok(["network", "plan", "-p", &publish]);
    assert_eq!(rules(), before);
    serve(&bed, "web", &["-p", &publish]);
    let own = address(&bed, "web", "bridge");
    let element = format!("tcp . {port} : {own} . 7000");
    assert!(plan.contains(&format!("add element inet {table} ports-any4 {{ {element} }}")), "{plan}");
    assert!(plan.contains(&format!("[::]:{port}/tcp -> {own}:7000")), "{plan}");
    let other = free_port();
    let twice = ["network", "plan", "-p", &format!("{other}:80"), "-p", &format!("{other}:81")];
    bed.run(twice).expect_code(1).expect_stderr("port is already allocated");
    assert!(rules().contains(&element));
    bed.run(["network", "plan", "-p", &publish]).expect_code(1).expect_stderr("port is already allocated");
    bed.run(["network", "plan", "no-such-net"]).expect_code(1).expect_stderr("network no-such-net not found");
}

#[test]
fn info_shows_the_firewall_and_the_sandboxes_that_are_ready() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let shown = bed.ok(["info"]);
    assert!(shown.contains("Firewall Backend: nftables") && shown.contains("Sandboxes: "), "{shown}");
    let info = bed.engine.http().get("/info").expect(200).json();
    assert_eq!(info["FirewallBackend"]["Driver"], "nftables");
}

fn survivable(client: Client) -> Bed {
    Bed::with(Builder::new(Kind::from_environment(), CORTEN.as_ref()).survivable(), client)
}

/// Rules in an order of their own: that of a map's elements means nothing.
fn rules(bed: &Bed) -> Vec<String> {
    let table = format!("corten-{}", bed.engine.bridge());
    let text = Command::new("nft").args(["list", "table", "inet", &table]).run().expect_ok().text();
    let part = |part: &str| part.trim().trim_start_matches("elements = { ").trim_end_matches(" }").to_owned();
    let mut parts: Vec<String> = text.split([',', '\n']).map(part).filter(|part| !part.is_empty()).collect();
    parts.sort();
    parts
}

/// What the kernel has of the engine's networks: rules, addresses, routes, and the ports of a network's bridge.
fn kernel_state(bed: &Bed, network: &str) -> Vec<String> {
    let id = bed.ok(["network", "inspect", "--format", "{{.Id}}", network]);
    let bridges = [bed.engine.bridge(), format!("br-{}", &id[..12])];
    let mut state = rules(bed);
    for list in [&["-o", "address"][..], &["route"], &["-6", "route"]] {
        let text = Command::new("ip").args(list).run().expect_ok().text().replace(" linkdown", "");
        let ours = text.lines().filter(|line| bridges.iter().any(|bridge| line.contains(bridge.as_str())));
        state.extend(ours.map(str::to_owned));
    }
    let ports = Command::new("ip").args(["-o", "link", "show", "master", &bridges[1]]).run().expect_ok();
    state.extend(ports.text().lines().map(str::to_owned));
    state
}

#[test]
fn starts_with_ports_under_random_kills_leave_nothing_in_the_kernel() {
    const STARTS: usize = 200;
    let mut bed = survivable(Client::Corten);
    bed.ok(["network", "create", "lab"]);
    let before = kernel_state(&bed, "lab");
    let mut random = Random::new();
    for round in 0..STARTS / 8 {
        let start = |number: usize| {
            let name = format!("box{round}-{number}");
            let network = if number.is_multiple_of(2) { "lab" } else { "bridge" };
            let options = ["run", "-d", "--name", &name, "--network", network, "-p", "7000", "-p", "53/udp"];
            bed.cli(options.into_iter().chain(["busybox", "sleep", "600"])).spawn()
        };
        let batch: Vec<_> = (0..8).map(start).collect();
        std::thread::sleep(Duration::from_millis(random.below(150)));
        bed.engine.kill();
        batch.into_iter().for_each(|running| drop(running.finish()));
        bed.engine.launch();
        let list = bed.ok(["ps", "-aq"]);
        if !list.is_empty() {
            bed.ok(["rm", "-f"].into_iter().chain(list.lines()));
        }
    }
    let left = || Some(kernel_state(&bed, "lab")).filter(|state| *state != before);
    let clean = eventually(Duration::from_secs(10), || left().is_none().then_some(()));
    assert!(clean.is_some(), "before {before:#?}\nafter {:#?}", left());
    bed.ok(["network", "rm", "lab"]);
}

#[test]
fn restart_with_many_ports_is_quick_and_keeps_the_rules() {
    const CONTAINERS: usize = 24;
    let mut bed = survivable(Client::Corten);
    for number in 0..CONTAINERS {
        let name = format!("box{number}");
        bed.ok(["run", "-d", "--name", &name, "-p", "7000", "-p", "53/udp", "busybox", "sleep", "600"]);
    }
    let before = rules(&bed);
    bed.engine.kill();
    assert_eq!(rules(&bed), before);
    let start = Instant::now();
    bed.engine.launch();
    let needed = start.elapsed();
    println!("ready after {needed:?} with {CONTAINERS} containers");
    assert!(needed < Duration::from_secs(3), "{needed:?}");
    assert_eq!(rules(&bed), before);
}
