//! What published ports cost: a start with one, and requests through one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use testkit::eventually;

use super::figures::{Samples, Table};
use super::runs::{add, alternate, execute, remove_all};
use super::{Bench, Contender};

/// Connections at a time.
const CLIENTS: usize = 8;
/// How long requests are counted.
const PERIOD: Duration = Duration::from_secs(2);
/// How many ports are many.
const MANY: u16 = 1000;
const FIRST_PORT: u16 = 20_000;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved";

/// What a server is told that answers the benchmark's requests.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// The port, on every address
    port: u16,
}

/// Answers requests until it is killed.
pub(crate) fn serve(options: &ServerOptions) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, options.port)).context("listen")?;
    for connection in listener.incoming().flatten() {
        // Whoever goes away in the middle of a request is not answered.
        thread::spawn(move || answer(connection).ok());
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        // An empty line ends a request.
        if line.trim_end().is_empty() {
            connection.write_all(ANSWER)?;
        }
        line.clear();
    }
    Ok(())
}

/// Adds the lines about published ports.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    starts(bench, table);
    requests(bench, table)
}

fn starts(bench: &Bench, table: &mut Table) {
    let arguments = ["run", "--rm", "-p", "7000", "busybox", "true"];
    let name = "run --rm -p 7000 busybox true";
    if bench.wants(name) {
        add(table, name, "1 ms more", &alternate(bench, &arguments));
    }
    let name = "the same, 1,000 ports published";
    if !bench.wants(name) {
        return;
    }
    let range = format!("{FIRST_PORT}-{}", FIRST_PORT + MANY - 1);
    let publish = format!("{range}:{range}");
    let both = [Contender::Corten, Contender::DockerOnDockerd];
    let mut measured = Vec::new();
    for contender in both {
        let many = ["run", "-d", "-p", &publish, "busybox", "sleep", "6000"];
        bench.command(contender, &many).limit(Duration::from_secs(300)).run().expect_ok();
        let command = bench.command(contender, &arguments);
        let mut samples = Samples::default();
        (0..bench.samples).for_each(|_| samples.time(|| execute(&command)));
        // The other engine has the same ports next.
        remove_all(bench);
        measured.push(samples);
    }
    let row = table.add(name, "as with one");
    both.into_iter().zip(measured).fold(row, |row, (contender, samples)| row.cell(contender, samples));
}

/// Where a server is asked.
struct Way {
    name: &'static str,
    aim: &'static str,
    address: fn(&Bench, Contender, u16) -> SocketAddr,
}

const WAYS: [Way; 3] = [
    Way {
        name: "HTTP, published port by 127.0.0.1",
        aim: "95 % of veth",
        address: |_, _, port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
    },
    Way {
        name: "HTTP, published port by the host's address",
        aim: "95 % of veth",
        address: |bench, contender, port| SocketAddr::from((bench.engine(contender).gateway(), port)),
    },
    Way {
        name: "HTTP, the container's address (veth)",
        aim: "",
        address: |bench, contender, _| {
            let format = "{{.NetworkSettings.IPAddress}}";
            let shown = bench.command(contender, &["inspect", "--format", format, "web"]).run().expect_ok();
            SocketAddr::new(shown.trimmed().parse().expect("an address"), 80)
        },
    },
];

fn requests(bench: &Bench, table: &mut Table) -> Result<()> {
    if !WAYS.iter().any(|way| bench.wants(way.name)) {
        return Ok(());
    }
    let program = std::env::current_exe().context("find this program")?;
    let mount = format!("{}:/server:ro", program.display());
    let both = [Contender::Corten, Contender::DockerOnDockerd];
    let ports = [FIRST_PORT, FIRST_PORT + 1];
    for (contender, port) in both.into_iter().zip(ports) {
        let publish = format!("{port}:80");
        let server = [
            "run",
            "-d",
            "--name",
            "web",
            "-v",
            &mount,
            "-p",
            &publish,
            "busybox",
            "/server",
            "http-server",
            "80",
        ];
        bench.command(contender, &server).run().expect_ok();
    }
    let mut host = std::process::Command::new(&program)
        .args(["http-server", &(FIRST_PORT + 2).to_string()])
        .spawn()
        .context("start a server")?;
    let on_host = rate(SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST_PORT + 2)));
    for way in WAYS {
        let mut rates = Vec::new();
        for (contender, port) in both.into_iter().zip(ports) {
            rates.push(rate((way.address)(bench, contender, port)));
        }
        let row = table.add(way.name, way.aim).floor(format!("{on_host:.0} /s"));
        both.into_iter()
            .zip(rates)
            .fold(row, |row, (contender, rate)| row.cell(contender, format!("{rate:.0} /s")));
    }
    host.kill().context("end the server")?;
    host.wait().context("reap the server")?;
    remove_all(bench);
    Ok(())
}

/// Requests per second over connections that stay.
fn rate(server: SocketAddr) -> f64 {
    let is_up = || TcpStream::connect_timeout(&server, Duration::from_secs(1)).ok().map(drop);
    eventually(Duration::from_secs(10), is_up).unwrap_or_else(|| panic!("nobody answers at {server}"));
    let count = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| ask(server, start + PERIOD, &count).expect("the server answers"));
        }
    });
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn ask(server: SocketAddr, until: Instant, count: &AtomicU64) -> std::io::Result<()> {
    let mut connection = TcpStream::connect(server)?;
    connection.set_nodelay(true)?;
    let mut answer = [0; ANSWER.len()];
    while Instant::now() < until {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")?;
        connection.read_exact(&mut answer)?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
