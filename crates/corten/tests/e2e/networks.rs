//! Networks that users make.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use testkit::engine::Builder;
use testkit::{Bed, Client, Kind, eventually, with_each_client};

use crate::CORTEN;

with_each_client!(
    network_is_made_shown_and_removed,
    addresses_of_a_network_are_as_asked,
    containers_of_a_network_reach_each_other,
    network_in_use_stays,
    taken_and_predefined_names_are_refused,
    settings_that_cannot_be_are_refused,
    internal_network_is_shown_as_such,
    prune_removes_what_nobody_uses,
    list_is_filtered,
    container_joins_and_leaves_while_it_runs,
    stopped_container_joins_at_its_next_start,
    refused_connections_change_nothing,
    networks_have_events,
    renamed_container_is_shown_by_its_new_name,
    disconnection_by_force_works_too,
);

/// A quarter of a /24 that no other engine under test has.
pub(crate) fn subnet(bed: &Bed, quarter: u8) -> [String; 3] {
    let [ten, second, third, _] = bed.engine.gateway().octets();
    let address = |host: u8| format!("{ten}.{}.{third}.{}", second + 8, quarter * 64 + host);
    [format!("{}/26", address(0)), address(1), address(9)]
}

pub(crate) fn make(bed: &Bed, name: &str, quarter: u8, options: &[&str]) -> String {
    let [subnet, ..] = subnet(bed, quarter);
    let head = ["network", "create", "--subnet", &subnet].into_iter();
    bed.ok(head.chain(options.iter().copied()).chain([name]))
}

fn network_field(bed: &Bed, network: &str, template: &str) -> String {
    bed.ok(["network", "inspect", "--format", template, network])
}

pub(crate) fn sleeper(bed: &Bed, name: &str, network: &str) {
    bed.ok(["run", "-d", "--name", name, "--network", network, "busybox", "sleep", "600"]);
}

pub(crate) fn address(bed: &Bed, container: &str, network: &str) -> String {
    let template =
        format!("{{{{with index .NetworkSettings.Networks {network:?}}}}}{{{{.IPAddress}}}}{{{{end}}}}");
    bed.field(container, &template)
}

fn network_is_made_shown_and_removed(bed: &Bed) {
    let [range, _, gateway] = subnet(bed, 0);
    let id = make(bed, "lab", 0, &["--gateway", &gateway, "--label", "kind=test", "--attachable"]);
    assert_eq!(id.len(), 64, "{id}");
    let template =
        "{{.Id}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.EnableIPv6}} {{.Labels.kind}}";
    assert_eq!(network_field(bed, "lab", template), format!("{id} bridge local false true false test"));
    let pool = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}} {{.IPAM.Driver}}";
    assert_eq!(network_field(bed, &id[..6], pool), format!("{range} {gateway} default"));
    let listed = bed.ok([
        "network",
        "ls",
        "--filter",
        "name=lab",
        "--format",
        "{{.ID}} {{.Name}} {{.Driver}} {{.Scope}}",
    ]);
    assert_eq!(listed, format!("{} lab bridge local", &id[..12]));
    let table = bed.ok(["network", "ls"]);
    assert!(table.starts_with("NETWORK ID     NAME"), "{table}");
    assert_eq!(bed.ok(["network", "rm", "lab"]), "lab");
    bed.run(["network", "inspect", "lab"]).expect_code(1).expect_stderr("network lab not found");
    bed.run(["network", "rm", "lab"]).expect_code(1).expect_stderr("network lab not found");
    let again = make(bed, "lab", 0, &[]);
    bed.ok(["network", "rm", &again[..12]]);
}

fn addresses_of_a_network_are_as_asked(bed: &Bed) {
    let [_, gateway, wanted] = subnet(bed, 0);
    make(bed, "lab", 0, &[]);
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "lab",
        "--ip",
        &wanted,
        "--network-alias",
        "web",
        "busybox",
        "sleep",
        "600",
    ]);
    assert_eq!(address(bed, "box", "lab"), wanted);
    let inside = bed.ok(["exec", "box", "sh", "-c", "ip -4 -o addr show eth0; ip route"]);
    assert!(inside.contains(&format!("inet {wanted}/26")), "{inside}");
    assert!(inside.contains(&format!("default via {gateway} dev eth0")), "{inside}");
    let members = network_field(bed, "lab", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}");
    assert_eq!(members, format!("box {wanted}/26"));
    let aliases = bed.field("box", "{{range .NetworkSettings.Networks.lab.Aliases}}{{.}} {{end}}");
    assert!(aliases.split_whitespace().any(|alias| alias == "web"), "{aliases}");
    let taken = bed.run(["run", "--rm", "--network", "lab", "--ip", &wanted, "busybox", "true"]);
    taken.expect_code(125).expect_stderr("Address already in use");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn containers_of_a_network_reach_each_other(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    bed.ok([
        "run",
        "-d",
        "--name",
        "server",
        "--network",
        "lab",
        "busybox",
        "sh",
        "-c",
        "echo served | nc -l -p 7000",
    ]);
    let target = address(bed, "server", "lab");
    let script =
        format!("for i in 1 2 3 4 5 6 7 8 9; do nc -w 3 {target} 7000 </dev/null && break; sleep 0.2; done");
    assert_eq!(bed.sh(&["--network", "lab"], &script), "served");
    bed.ok(["rm", "-f", "server"]);
    bed.ok(["network", "rm", "lab"]);
}

fn network_in_use_stays(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "box", "lab");
    bed.run(["network", "rm", "lab"]).expect_code(1).expect_stderr("has active endpoints");
    assert_eq!(bed.engine.http().delete("/networks/lab").status, 403);
    assert_eq!(network_field(bed, "lab", "{{len .Containers}}"), "1");
    bed.ok(["exec", "box", "true"]);
    bed.ok(["rm", "-f", "box"]);
    assert_eq!(bed.ok(["network", "rm", "lab"]), "lab");
}

fn taken_and_predefined_names_are_refused(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    bed.run(["network", "create", "lab"])
        .expect_code(1)
        .expect_stderr("network with name lab already exists");
    for name in ["bridge", "host", "none"] {
        let refused = format!("operation is not permitted on predefined {name} network");
        bed.run(["network", "create", name]).expect_code(1).expect_stderr(&refused);
        let refused = format!("{name} is a pre-defined network and cannot be removed");
        bed.run(["network", "rm", name]).expect_code(1).expect_stderr(&refused);
    }
    bed.ok(["network", "rm", "lab"]);
}

fn settings_that_cannot_be_are_refused(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [range, ..] = subnet(bed, 0);
    let before = bed.ok(["network", "ls", "-q"]);
    let overlaps = "Pool overlaps with other one on this address space";
    bed.run(["network", "create", "--subnet", &range, "other"]).expect_code(1).expect_stderr(overlaps);
    bed.run(["network", "create", "-d", "no-such-driver", "other"])
        .expect_code(1)
        .expect_stderr("no-such-driver");
    let refused = bed.run(["network", "create", "--gateway", "10.0.0.1", "other"]).expect_code(1);
    refused.expect_stderr("every ip-range or gateway must have a corresponding subnet");
    assert_eq!(bed.ok(["network", "ls", "-q"]), before);
    bed.ok(["network", "rm", "lab"]);
}

fn internal_network_is_shown_as_such(bed: &Bed) {
    make(bed, "lab", 0, &["--internal"]);
    assert_eq!(network_field(bed, "lab", "{{.Internal}}"), "true");
    bed.ok(["network", "rm", "lab"]);
}

fn prune_removes_what_nobody_uses(bed: &Bed) {
    make(bed, "busy", 0, &[]);
    make(bed, "idle", 1, &["--label", "kind=idle"]);
    make(bed, "kept", 2, &["--label", "keep"]);
    sleeper(bed, "box", "busy");
    let answer = bed.ok(["network", "prune", "-f", "--filter", "label!=keep"]);
    assert_eq!(answer, "Deleted Networks:\nidle");
    let left = bed.ok(["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]);
    assert_eq!(left, "busy\nkept");
    bed.ok(["rm", "-f", "box"]);
    assert!(bed.ok(["network", "prune", "-f", "--filter", "until=24h"]).is_empty());
    bed.ok(["network", "prune", "-f"]);
    assert_eq!(bed.ok(["network", "ls", "-q", "--filter", "type=custom"]), "");
}

fn list_is_filtered(bed: &Bed) {
    make(bed, "lab", 0, &["--label", "kind=a"]);
    make(bed, "field", 1, &["--label", "kind=b"]);
    let names = |filter: &str| {
        bed.ok(["network", "ls", "--filter", filter, "--format", "{{.Name}}"]).replace('\n', " ")
    };
    assert_eq!(names("label=kind"), "field lab");
    assert_eq!(names("label=kind=b"), "field");
    assert_eq!(names("driver=host"), "host");
    assert_eq!(names("dangling=true"), "field lab");
    assert_eq!(names("scope=swarm"), "");
    bed.run(["network", "ls", "--filter", "color=red"]).expect_code(1).expect_stderr("color");
    bed.ok(["network", "rm", "lab", "field"]);
}

fn container_joins_and_leaves_while_it_runs(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    make(bed, "field", 1, &[]);
    sleeper(bed, "box", "lab");
    let [_, _, wanted] = subnet(bed, 1);
    bed.ok(["network", "connect", "--ip", &wanted, "--alias", "plough", "field", "box"]);
    assert_eq!(address(bed, "box", "field"), wanted);
    let shown = bed.ok(["exec", "box", "ip", "-4", "-o", "addr", "show", "eth1"]);
    assert!(shown.contains(&format!("inet {wanted}/26")), "{shown}");
    assert!(bed.ok(["exec", "box", "cat", "/etc/hosts"]).contains(&wanted));
    let [_, gateway, _] = subnet(bed, 1);
    bed.ok(["exec", "box", "ping", "-c", "1", "-W", "3", &gateway]);
    bed.ok(["network", "disconnect", "lab", "box"]);
    assert_eq!(bed.field("box", "{{len .NetworkSettings.Networks}}"), "1");
    let left = bed.ok(["exec", "box", "ip", "-4", "-o", "addr"]);
    assert!(left.contains(&wanted) && !left.contains("eth0"), "{left}");
    let routes = bed.ok(["exec", "box", "ip", "route"]);
    assert!(routes.contains(&format!("default via {gateway}")), "{routes}");
    bed.ok(["network", "rm", "lab"]);
    bed.ok(["restart", "-t", "0", "box"]);
    assert_eq!(address(bed, "box", "field"), wanted);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "field"]);
}

fn stopped_container_joins_at_its_next_start(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    bed.ok(["create", "--name", "box", "busybox", "sleep", "600"]);
    bed.ok(["network", "connect", "lab", "box"]);
    bed.ok(["network", "disconnect", "bridge", "box"]);
    assert_eq!(bed.field("box", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"), "lab");
    bed.ok(["start", "box"]);
    let own = address(bed, "box", "lab");
    let inside = bed.ok(["exec", "box", "ip", "-4", "-o", "addr", "show", "eth0"]);
    assert!(inside.contains(&own), "{inside}");
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn refused_connections_change_nothing(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "box", "lab");
    let twice = bed.run(["network", "connect", "lab", "box"]).expect_code(1);
    twice.expect_stderr("endpoint with name box already exists in network lab");
    bed.run(["network", "disconnect", "bridge", "box"]).expect_code(1).expect_stderr("is not connected to");
    bed.run(["network", "connect", "no-such-net", "box"])
        .expect_code(1)
        .expect_stderr("network no-such-net not found");
    bed.run(["network", "connect", "lab", "no-such-box"])
        .expect_code(1)
        .expect_stderr("No such container: no-such-box");
    bed.ok(["run", "-d", "--name", "guest", "--network", "container:box", "busybox", "sleep", "600"]);
    let shared = bed.run(["network", "connect", "lab", "guest"]).expect_code(1);
    shared.expect_stderr("cannot be connected to any other network");
    assert_eq!(bed.field("box", "{{len .NetworkSettings.Networks}}"), "1");
    bed.ok(["rm", "-f", "guest", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

fn networks_have_events(bed: &Bed) {
    let since = now();
    make(bed, "lab", 0, &[]);
    bed.ok(["run", "--rm", "--network", "lab", "busybox", "true"]);
    let told = || {
        let until = now();
        let template = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
        let options = ["--filter", "type=network", "--format", template];
        bed.ok(["events", "--since", &since, "--until", &until].into_iter().chain(options))
    };
    let expected = "create lab bridge\nconnect lab bridge\ndisconnect lab bridge";
    assert!(
        eventually(Duration::from_secs(5), || (told() == expected).then_some(())).is_some(),
        "{}",
        told()
    );
    bed.ok(["network", "rm", "lab"]);
    assert_eq!(told(), format!("{expected}\ndestroy lab bridge"));
}

fn renamed_container_is_shown_by_its_new_name(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "box", "lab");
    bed.ok(["rename", "box", "crate"]);
    assert_eq!(network_field(bed, "lab", "{{range .Containers}}{{.Name}}{{end}}"), "crate");
    bed.ok(["network", "disconnect", "lab", "crate"]);
    bed.ok(["network", "connect", "lab", "crate"]);
    assert_eq!(network_field(bed, "lab", "{{range .Containers}}{{.Name}}{{end}}"), "crate");
    bed.ok(["rm", "-f", "crate"]);
    bed.ok(["network", "rm", "lab"]);
}

fn disconnection_by_force_works_too(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    sleeper(bed, "box", "lab");
    bed.ok(["network", "disconnect", "-f", "lab", "box"]);
    assert_eq!(bed.field("box", "{{len .NetworkSettings.Networks}}"), "0");
    bed.run(["network", "disconnect", "-f", "lab", "no-such-box"]).expect_code(1);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab"]);
}

fn network_outlives_the_engine(client: Client) {
    let builder = Builder::new(Kind::from_environment(), CORTEN.as_ref()).survivable();
    let mut bed = Bed::with(builder, client);
    let id = make(&bed, "lab", 0, &["--label", "kind=test"]);
    make(&bed, "field", 1, &[]);
    sleeper(&bed, "box", "lab");
    bed.ok(["network", "connect", "field", "box"]);
    let own = address(&bed, "box", "lab");
    bed.engine.kill();
    bed.engine.launch();
    assert_eq!(network_field(&bed, "lab", "{{.Id}} {{.Labels.kind}}"), format!("{id} test"));
    assert_eq!(
        (address(&bed, "box", "lab"), network_field(&bed, "lab", "{{len .Containers}}")),
        (own, "1".into())
    );
    bed.run(["network", "rm", "lab"]).expect_code(1).expect_stderr("has active endpoints");
    bed.ok(["network", "disconnect", "lab", "box"]);
    bed.ok(["exec", "box", "ping", "-c", "1", "-W", "3", &subnet(&bed, 1)[1]]);
    bed.ok(["rm", "-f", "box"]);
    bed.ok(["network", "rm", "lab", "field"]);
}

#[test]
fn network_outlives_the_engine_docker() {
    network_outlives_the_engine(Client::Docker);
}

#[test]
fn network_outlives_the_engine_corten() {
    network_outlives_the_engine(Client::Corten);
}
