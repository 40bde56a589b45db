//! Servers that people run: who they say has asked them, and clients that find them by name.

use std::net::IpAddr;
use std::time::Duration;

use testkit::images::Base;
use testkit::{Bed, Command, Kind, SecondHost, eventually, with_each_client};

use crate::CORTEN;
use crate::networks::{address, make};
use crate::ports::free_port;

with_each_client!(published_nginx_logs_its_clients_addresses, python_client_uses_redis_by_name);

const WAIT: Duration = Duration::from_secs(10);

/// Asks for a page that is named after the client, until there is an answer.
fn fetch(client: &str, command: impl Fn(&str) -> Command) {
    let mut last = String::new();
    let answered = eventually(WAIT, || {
        let attempt = command(&format!("/?client={client}")).run();
        last = format!("{} {}", attempt.status, attempt.stderr);
        (attempt.status == 0 && attempt.text().contains("nginx")).then_some(())
    });
    assert!(answered.is_some(), "{client}: {last}");
}

/// The address that a server logged for a client.
fn logged(bed: &Bed, client: &str) -> String {
    let mark = format!("/?client={client} ");
    let line = || {
        let log = bed.ok(["exec", "web", "cat", "/var/log/nginx/access.log"]);
        log.lines().find(|line| line.contains(&mark)).map(str::to_owned)
    };
    let line = eventually(WAIT, line).unwrap_or_else(|| panic!("{client} is not in the log"));
    line.split(' ').next().expect("a line begins with an address").to_owned()
}

fn curl(address: impl Into<IpAddr>, port: u16) -> impl Fn(&str) -> Command {
    let address = std::net::SocketAddr::new(address.into(), port);
    move |path| Command::new("curl").args(["-fsS", "-g", "-m", "5", &format!("http://{address}{path}")])
}

fn published_nginx_logs_its_clients_addresses(bed: &Bed) {
    bed.engine.load(Base::Nginx);
    let host = SecondHost::new(&bed.engine);
    let port = free_port();
    bed.ok(["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
    bed.ok(["run", "-d", "--name", "client", "busybox", "sleep", "600"]);
    let gateway = bed.engine.gateway().to_string();
    let client = address(bed, "client", "bridge");
    let from_client = |address: String| {
        move |path: &str| {
            bed.cli(["exec", "client", "wget", "-q", "-O", "-", &format!("http://{address}{path}")])
        }
    };
    fetch("loopback", curl([127, 0, 0, 1], port));
    fetch("loopback6", curl(std::net::Ipv6Addr::LOCALHOST, port));
    fetch("host", curl(host.here(), port));
    fetch("second-host", |path| {
        host.command(&format!("curl -fsS -m 5 'http://{}:{port}{path}'", host.here()))
    });
    fetch("container", from_client(format!("{gateway}:{port}")));
    fetch("neighbour", from_client(address(bed, "web", "bridge")));
    // What comes by the host's loopback interface gets an address that can be answered.
    assert_eq!(logged(bed, "loopback"), gateway);
    assert_eq!(logged(bed, "loopback6"), gateway);
    assert_eq!(logged(bed, "neighbour"), client);
    // All the rest comes by a proxy where dockerd is run without rules of its own, as in these tests.
    let is_proxied = bed.engine.kind() != Kind::Corten;
    let seen = |own: String| if is_proxied { gateway.clone() } else { own };
    assert_eq!(logged(bed, "host"), seen(host.here().to_string()));
    assert_eq!(logged(bed, "second-host"), seen(host.there().to_string()));
    // Without br_netfilter the bridge's address stands for that of a neighbour.
    let is_filtered = std::path::Path::new("/proc/sys/net/bridge").exists();
    assert_eq!(logged(bed, "container"), if is_filtered { seen(client) } else { gateway.clone() });
}

fn python_client_uses_redis_by_name(bed: &Bed) {
    bed.engine.load(Base::Redis);
    bed.engine.load(Base::Python);
    make(bed, "lab", 0, &[]);
    bed.ok(["run", "-d", "--name", "store", "--network", "lab", "redis"]);
    let ask = |requests: &str, replies: usize| {
        let script = format!(
            "import socket, time\n\
             for attempt in range(100):\n\
             \x20   try: connection = socket.create_connection(('store', 6379), 5)\n\
             \x20   except OSError: time.sleep(0.1)\n\
             \x20   else: break\n\
             lines = connection.makefile('rb')\n\
             connection.sendall(b'{requests}')\n\
             for _ in range({replies}): print(lines.readline().strip().decode())\n"
        );
        bed.ok(["run", "--rm", "--network", "lab", "python:3", "python3", "-c", &script])
    };
    assert_eq!(ask("SET colour red\\r\\nGET colour\\r\\n", 3), "+OK\n$3\nred");
    // Another client finds what the first one left.
    assert_eq!(ask("GET colour\\r\\n", 2), "$3\nred");
    bed.ok(["rm", "-f", "store"]);
    bed.ok(["network", "rm", "lab"]);
}
