//! How long a container, and a process in one, takes from the command to its end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::engine::Builder;
use testkit::{Command, Kind};

use super::figures::{Samples, Table};
use super::{Bench, Contender, floor};

const TOTAL: usize = 40;
const AT_ONCE: usize = 8;

/// Adds the lines about starts.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    run(bench, table)?;
    exec(bench, table);
    many(bench, table);
    first(bench, table);
    Ok(())
}

fn run(bench: &Bench, table: &mut Table) -> Result<()> {
    for (name, aim, options, network) in [
        ("run --rm busybox true", "10 ms; docker 30 ms", ["run", "--rm", "--network=bridge"], true),
        ("run --rm --network none busybox true", "7 ms", ["run", "--rm", "--network=none"], false),
    ] {
        if bench.wants(name) {
            let arguments: Vec<&str> = options.into_iter().chain(["busybox", "true"]).collect();
            let samples = alternate(bench, &arguments);
            let floor = floor::measure(bench.samples, network)?;
            add(table, name, aim, &samples).floor(floor);
        }
    }
    Ok(())
}

fn exec(bench: &Bench, table: &mut Table) {
    let name = "exec box true";
    if !bench.wants(name) {
        return;
    }
    for contender in [Contender::Corten, Contender::DockerOnDockerd] {
        bench
            .command(contender, &["run", "-d", "--name", "box", "busybox", "sleep", "6000"])
            .run()
            .expect_ok();
    }
    let samples = alternate(bench, &["exec", "box", "true"]);
    add(table, name, "5 ms", &samples);
    remove_all(bench);
}

/// The same command by every contender, in turn.
pub(super) fn alternate(bench: &Bench, arguments: &[&str]) -> [Samples; 3] {
    let mut samples = <[Samples; 3]>::default();
    for contender in Contender::ALL {
        bench.command(contender, arguments).run().expect_ok();
    }
    for _ in 0..bench.samples {
        for contender in Contender::ALL {
            let command = bench.command(contender, arguments);
            samples[contender as usize].time(|| execute(&command));
        }
    }
    samples
}

/// Runs a command with nothing of its output kept, as the whole of it is measured.
pub(super) fn execute(command: &Command) {
    let status = command
        .prepare()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("run {command}: {error}"));
    assert!(status.success(), "{command} ended with {status}");
}

pub(super) fn add<'a>(
    table: &'a mut Table,
    name: &str,
    aim: &str,
    samples: &[Samples; 3],
) -> super::figures::RowBuilder<'a> {
    let row = table.add(name, aim);
    Contender::ALL.into_iter().fold(row, |row, contender| row.cell(contender, &samples[contender as usize]))
}

fn many(bench: &Bench, table: &mut Table) {
    let name = "40 runs, 8 at a time";
    if !bench.wants(name) {
        return;
    }
    let rates = Contender::ALL.map(|contender| {
        let mut samples = Samples::default();
        (0..5).for_each(|_| samples.push(at_once(bench, contender)));
        format!("{:.0} /s", TOTAL as f64 / samples.quantile(0.5).as_secs_f64())
    });
    let row = table.add(name, "200 /s");
    Contender::ALL.into_iter().zip(rates).fold(row, |row, (contender, rate)| row.cell(contender, rate));
}

fn at_once(bench: &Bench, contender: Contender) -> Duration {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < TOTAL {
                    execute(&bench.command(contender, &["run", "--rm", "busybox", "true"]));
                }
            });
        }
    });
    start.elapsed()
}

/// The very first command of a machine: the engine is started, the image comes from the binary.
fn first(bench: &Bench, table: &mut Table) {
    let name = "first run hello-world, engine start included";
    if !bench.wants(name) {
        return;
    }
    let mut samples = Samples::default();
    for _ in 0..bench.samples.min(20) {
        let engine = Builder::new(Kind::Corten, &bench.binary).unstarted();
        let command = engine.auto(["run", "--rm", "hello-world"]);
        samples.time(|| execute(&command));
    }
    table.add(name, "150 ms").cell(Contender::Corten, samples);
}

/// Removes the containers of both engines.
pub(super) fn remove_all(bench: &Bench) {
    bench.corten.remove_all();
    bench.dockerd.remove_all();
}
