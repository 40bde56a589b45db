//! Links between containers (`--link`).

use std::time::Duration;

use testkit::{Bed, eventually, with_each_client};

use crate::CORTEN;
use crate::names::{A, Outside, ask, member};
use crate::networks::{address, make, subnet};

with_each_client!(
    linked_container_is_in_the_hosts_file_and_reached,
    linked_container_is_in_the_environment,
    hosts_file_follows_the_address_of_a_restarted_container,
    link_that_cannot_be_made_is_refused,
    container_starts_only_with_what_it_is_linked_to,
    link_is_a_name_of_the_container,
    removed_link_leaves_the_containers,
    link_in_a_network_is_a_name_for_one_container,
);

pub(crate) fn sleeper(bed: &Bed, name: &str, options: &[&str]) {
    let head = ["run", "-d", "--name", name].into_iter();
    bed.ok(head.chain(options.iter().copied()).chain(["busybox", "sleep", "600"]));
}

/// The words of the line of a container's hosts file that has this name first.
fn hosts_line(bed: &Bed, container: &str, name: &str) -> Vec<String> {
    let hosts = bed.ok(["exec", container, "cat", "/etc/hosts"]);
    let mut lines = hosts.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines.find(|words| words.get(1).is_some_and(|first| first == name)).unwrap_or_default()
}

fn linked_container_is_in_the_hosts_file_and_reached(bed: &Bed) {
    sleeper(bed, "db", &["--hostname", "store"]);
    sleeper(bed, "web", &["--link", "db:data", "--link", "db"]);
    let db = address(bed, "db", "bridge");
    assert_eq!(hosts_line(bed, "web", "data"), [&db, "data", "store", "db"]);
    assert_eq!(hosts_line(bed, "web", "db"), [&db, "db", "store"]);
    for name in ["data", "store", "db"] {
        bed.ok(["exec", "web", "ping", "-c", "1", "-W", "5", name]);
    }
    let mut shown: Vec<String> =
        bed.field("web", "{{range .HostConfig.Links}}{{.}} {{end}}").split(' ').map(str::to_owned).collect();
    shown.sort();
    assert_eq!(shown, ["/db:/web/data", "/db:/web/db"]);
    assert_eq!(bed.field("db", "{{.HostConfig.Links}}"), "[]");
}

fn linked_container_is_in_the_environment(bed: &Bed) {
    sleeper(bed, "db", &["--expose", "80", "--expose", "53/udp", "-e", "COLOUR=red"]);
    let db = address(bed, "db", "bridge");
    let run = ["run", "--rm", "--name", "web", "--link", "db:my-db", "-e", "MY_DB_PORT_80_TCP_PROTO=mine"];
    let variables = bed.ok(run.into_iter().chain(["busybox", "env"]));
    let lines: Vec<&str> = variables.lines().collect();
    for expected in [
        format!("MY_DB_PORT_80_TCP=tcp://{db}:80"),
        format!("MY_DB_PORT_80_TCP_ADDR={db}"),
        "MY_DB_PORT_80_TCP_PORT=80".to_owned(),
        "MY_DB_PORT_80_TCP_PROTO=mine".to_owned(),
        format!("MY_DB_PORT_53_UDP=udp://{db}:53"),
        "MY_DB_PORT_53_UDP_PROTO=udp".to_owned(),
        "MY_DB_NAME=/web/my-db".to_owned(),
        "MY_DB_ENV_COLOUR=red".to_owned(),
    ] {
        assert!(lines.contains(&expected.as_str()), "{expected} is not in {variables}");
    }
    assert!(!variables.contains("MY_DB_ENV_PATH"), "{variables}");
    sleeper(bed, "box", &["--link", "db"]);
    assert_eq!(
        bed.ok(["exec", "box", "sh", "-c", "echo $DB_NAME $DB_PORT_80_TCP"]),
        format!("/box/db tcp://{db}:80")
    );
}

fn hosts_file_follows_the_address_of_a_restarted_container(bed: &Bed) {
    sleeper(bed, "db", &[]);
    sleeper(bed, "web", &["--link", "db:data"]);
    bed.ok(["exec", "web", "sh", "-c", "echo '# of my own' >> /etc/hosts"]);
    let before = address(bed, "db", "bridge");
    bed.ok(["stop", "-t", "0", "db"]);
    // It takes the address.
    sleeper(bed, "other", &[]);
    bed.ok(["start", "db"]);
    let now = address(bed, "db", "bridge");
    assert_ne!(now, before);
    let line = || hosts_line(bed, "web", "data");
    let follows = eventually(Duration::from_secs(5), || (line().first() == Some(&now)).then_some(()));
    assert!(follows.is_some(), "{now} is not in {:?}", line());
    let hosts = bed.ok(["exec", "web", "cat", "/etc/hosts"]);
    assert!(hosts.contains("# of my own"), "{hosts}");
    assert!(!hosts.contains(&format!("{before}\t")), "{hosts}");
    bed.ok(["restart", "-t", "0", "web"]);
    assert_eq!(line().first(), Some(&now));
}

fn link_that_cannot_be_made_is_refused(bed: &Bed) {
    sleeper(bed, "db", &[]);
    sleeper(bed, "wide", &["--network", "host"]);
    let refused = |options: &[&str], code: i32, message: &str| {
        let head = ["run", "--rm", "--name", "web"].into_iter();
        let run = bed.run(head.chain(options.iter().copied()).chain(["busybox", "true"]));
        run.expect_code(code).expect_stderr(message);
    };
    refused(&["--link", "nobody"], 125, "could not get container for nobody: No such container: nobody");
    refused(&["--link", "web"], 125, "could not get container for web: No such container: web");
    refused(&["--link", "db:a:b"], 125, "bad format for links: db:a:b");
    refused(&["--link", "wide"], 125, "host type networking can't be used with links");
    refused(&["--link", "db", "--network", "container:db"], 125, "can't be used with links");
    assert_eq!(bed.ok(["ps", "-aq", "--filter", "name=web"]), "");
}

fn container_starts_only_with_what_it_is_linked_to(bed: &Bed) {
    bed.ok(["create", "--name", "db", "busybox", "sleep", "600"]);
    bed.ok(["create", "--name", "web", "--link", "db:data", "busybox", "sleep", "600"]);
    let message = "Cannot link to a non running container: /db AS /web/data";
    bed.run(["start", "web"]).expect_code(1).expect_stderr(message);
    bed.ok(["start", "db"]);
    bed.ok(["start", "web"]);
    assert_eq!(hosts_line(bed, "web", "data").first(), Some(&address(bed, "db", "bridge")));
    make(bed, "lab", 0, &[]);
    sleeper(bed, "away", &["--network", "lab"]);
    bed.ok(["create", "--name", "far", "--link", "away", "busybox", "sleep", "600"]);
    let message = "Cannot link to /away, as it does not belong to the default network";
    bed.run(["start", "far"]).expect_code(1).expect_stderr(message);
    // What it was linked to is gone.
    bed.ok(["rm", "-f", "db"]);
    bed.run(["restart", "-t", "0", "web"])
        .expect_code(1)
        .expect_stderr("Cannot link to a non running container");
    bed.ok(["rm", "-f", "away", "far", "web"]);
    bed.ok(["network", "rm", "lab"]);
}

fn link_is_a_name_of_the_container(bed: &Bed) {
    sleeper(bed, "db", &[]);
    sleeper(bed, "web", &["--link", "db:data"]);
    let listed = |options: &[&str]| {
        let head = ["ps", "--filter", "name=db", "--format", "{{.Names}}"].into_iter();
        let mut names: Vec<String> =
            bed.ok(head.chain(options.iter().copied())).split(',').map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(listed(&["--no-trunc"]), ["db", "web/data"]);
    assert_eq!(listed(&[]), ["db"]);
    assert_eq!(bed.field("web/data", "{{.Id}}"), bed.field("db", "{{.Id}}"));
    assert_eq!(bed.ok(["exec", "web/data", "hostname"]), bed.field("db", "{{.Config.Hostname}}"));
    bed.ok(["rename", "web", "front"]);
    assert_eq!(listed(&["--no-trunc"]), ["db", "front/data"]);
    assert_eq!(bed.field("front", "{{.HostConfig.Links}}"), "[/db:/front/data]");
    bed.ok(["rm", "-f", "front"]);
    assert_eq!(listed(&["--no-trunc"]), ["db"]);
    bed.run(["inspect", "--type", "container", "front/data"]).expect_code(1);
}

fn removed_link_leaves_the_containers(bed: &Bed) {
    sleeper(bed, "db", &[]);
    sleeper(bed, "web", &["--link", "db:data", "--link", "db:more"]);
    let message = "cannot remove the default link name of the container";
    bed.run(["rm", "--link", "db"]).expect_code(1).expect_stderr(message);
    bed.run(["rm", "--link", "web/nothing"]).expect_code(1).expect_stderr("No such container: web/nothing");
    assert_eq!(bed.ok(["rm", "--link", "web/data"]), "web/data");
    assert_eq!(bed.field("web", "{{.HostConfig.Links}}"), "[/db:/web/more]");
    assert_eq!(bed.field("db", "{{.State.Status}}"), "running");
    bed.run(["inspect", "--type", "container", "web/data"]).expect_code(1);
    assert_eq!(bed.ok(["rm", "--link", "/web/more"]), "/web/more");
    bed.ok(["stop", "-t", "0", "db"]);
    bed.ok(["restart", "-t", "0", "web"]);
    assert!(hosts_line(bed, "web", "more").is_empty());
}

fn link_in_a_network_is_a_name_for_one_container(bed: &Bed) {
    make(bed, "lab", 0, &[]);
    let [_, gateway, _] = subnet(bed, 0);
    let _outside = Outside::start(&gateway);
    let dns = ["--dns", gateway.as_str()];
    member(bed, "web", "lab", &[&dns[..], &["--link", "db:data"]].concat());
    member(bed, "other", "lab", &dns);
    // It need not be there yet.
    assert!(ask(bed, "web", "data", A).records.is_empty());
    member(bed, "db", "lab", &dns);
    let db = address(bed, "db", "lab");
    assert_eq!(ask(bed, "web", "data", A).records, [db.as_str()]);
    assert_eq!(ask(bed, "web", "data.lab", A).records, [db.as_str()]);
    assert!(ask(bed, "other", "data", A).records.is_empty());
    let template = "{{(index .NetworkSettings.Networks \"lab\").Links}}";
    assert_eq!(bed.field("web", template), "[db:data]");
    let [range, ..] = subnet(bed, 1);
    bed.ok(["network", "create", "--subnet", &range, "field"]);
    bed.ok(["network", "connect", "field", "db"]);
    bed.ok(["network", "connect", "--link", "db:there", "field", "other"]);
    assert_eq!(ask(bed, "other", "there", A).records, [address(bed, "db", "field")]);
    assert!(ask(bed, "web", "there", A).records.is_empty());
    assert!(bed.ok(["exec", "web", "env"]).lines().all(|line| !line.starts_with("DATA_")));
    bed.ok(["rm", "-f", "web", "other", "db"]);
    bed.ok(["network", "rm", "lab", "field"]);
}
