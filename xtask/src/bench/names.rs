//! Questions to the name server of a container.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::figures::{Samples, Table};
use super::runs::remove_all;
use super::{Bench, Contender};

/// Containers in the network.
const MEMBERS: usize = 10;
const QUESTIONS: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Adds the lines about names: one client in a container asks for another one, question after question.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    let [rate, slowest] = ["DNS queries, one client", "DNS query, 99th percentile"];
    if !bench.wants(rate) && !bench.wants(slowest) {
        return Ok(());
    }
    let both = [Contender::Corten, Contender::DockerOnDockerd];
    let mut samples = Vec::new();
    for contender in both {
        samples.push(ask_all(bench, contender)?);
        bench.command(contender, &["network", "rm", "names"]).run();
    }
    let rates = samples.iter().map(|(_, took)| format!("{:.0} /s", QUESTIONS as f64 / took.as_secs_f64()));
    let row = table.add(rate, "more than docker");
    both.into_iter().zip(rates).fold(row, |row, (contender, rate)| row.cell(contender, rate));
    let row = table.add(slowest, "less than docker");
    both.into_iter().zip(&samples).fold(row, |row, (contender, (samples, _))| {
        row.cell(contender, format!("{:.0} us", samples.quantile(0.99).as_secs_f64() * 1e6))
    });
    Ok(())
}

fn ask_all(bench: &Bench, contender: Contender) -> Result<(Samples, Duration)> {
    let run = |arguments: &[&str]| bench.command(contender, arguments).run().expect_ok().trimmed();
    run(&["network", "create", "names"]);
    for number in 0..MEMBERS {
        let name = format!("box{number}");
        run(&["run", "-d", "--name", &name, "--network", "names", "busybox", "sleep", "6000"]);
    }
    let pid = run(&["inspect", "--format", "{{.State.Pid}}", "box0"]);
    let asked = ask_from(&pid, &format!("box{}", MEMBERS - 1));
    remove_all(bench);
    asked
}

/// Asks from inside a container's network namespace.
fn ask_from(pid: &str, name: &str) -> Result<(Samples, Duration)> {
    let netns = File::open(format!("/proc/{pid}/ns/net")).context("open the network namespace")?;
    thread::scope(|scope| {
        let asker = scope.spawn(|| {
            sys::netns::join(netns.as_fd()).context("enter the network namespace")?;
            ask(name)
        });
        asker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn ask(name: &str) -> Result<(Samples, Duration)> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("open a socket")?;
    socket.set_read_timeout(Some(PATIENCE)).context("limit the wait")?;
    socket.connect("127.0.0.11:53").context("connect to the name server")?;
    let mut samples = Samples::default();
    let mut answer = [0; 512];
    let start = Instant::now();
    for number in 0..QUESTIONS {
        let question = question(number as u16, name);
        let asked = Instant::now();
        socket.send(&question).context("ask")?;
        let length = socket.recv(&mut answer).context("wait for the answer")?;
        samples.push(asked.elapsed());
        let is_right = length > question.len() && answer[..2] == question[..2] && answer[7] == 1;
        ensure!(is_right, "the answer for {name} is {:?}", &answer[..length]);
    }
    Ok((samples, start.elapsed()))
}

/// A question for the IPv4 address of a name without dots.
fn question(number: u16, name: &str) -> Vec<u8> {
    let mut packet = number.to_be_bytes().to_vec();
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8]);
    packet.extend(name.bytes());
    packet.extend([0, 0, 1, 0, 1]);
    packet
}
