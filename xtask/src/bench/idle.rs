//! What a hundred containers that do nothing cost.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use super::figures::{Samples, Table};
use super::runs::{execute, remove_all};
use super::{Bench, Contender};

const CONTAINERS: usize = 100;

/// Adds the lines about idle containers.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    let name = "ps with 100 containers";
    if !bench.wants(name) && !bench.wants("PSS") {
        return Ok(());
    }
    for contender in [Contender::Corten, Contender::DockerOnDockerd] {
        for _ in 0..CONTAINERS {
            bench.command(contender, &["run", "-d", "busybox", "sleep", "6000"]).run().expect_ok();
        }
    }
    let mut samples = <[Samples; 3]>::default();
    for _ in 0..bench.samples {
        for contender in Contender::ALL {
            let command = bench.command(contender, &["ps"]);
            samples[contender as usize].time(|| execute(&command));
        }
    }
    let row = table.add(name, "4 ms");
    Contender::ALL.into_iter().fold(row, |row, contender| row.cell(contender, &samples[contender as usize]));
    memory(bench, table)?;
    remove_all(bench);
    Ok(())
}

fn memory(bench: &Bench, table: &mut Table) -> Result<()> {
    let both = [Contender::Corten, Contender::DockerOnDockerd];
    let mut supervisors = Vec::new();
    let mut engines = Vec::new();
    for contender in both {
        let parents = supervisors_of(bench, contender)?;
        let total: u64 = parents.iter().map(|pid| pss(*pid)).sum::<Result<u64>>()?;
        supervisors.push(format!("{:.2} MB", total as f64 / 1024.0 / CONTAINERS as f64));
        let engine = bench.engine(contender).pid();
        // dockerd's containerd is as much of the engine as dockerd itself.
        let children = children(engine as i32);
        let engine: u64 = std::iter::once(engine as i32).chain(children).map(pss).sum::<Result<u64>>()?;
        engines.push(format!("{:.1} MB", engine as f64 / 1024.0));
    }
    let row = table.add("PSS of a supervisor", "0.5 MB");
    both.into_iter().zip(&supervisors).fold(row, |row, (contender, value)| row.cell(contender, value));
    let row = table.add("PSS of the engine, 100 idle", "15 MB");
    both.into_iter().zip(&engines).fold(row, |row, (contender, value)| row.cell(contender, value));
    Ok(())
}

/// The parents of all containers' first processes.
fn supervisors_of(bench: &Bench, contender: Contender) -> Result<BTreeSet<i32>> {
    let ids = bench.command(contender, &["ps", "-q"]).run().expect_ok().text();
    let arguments: Vec<&str> =
        ["inspect", "--format", "{{.State.Pid}}"].into_iter().chain(ids.lines()).collect();
    let pids = bench.command(contender, &arguments).run().expect_ok().text();
    pids.lines().map(|pid| parent(pid.parse().context("read a process ID")?)).collect()
}

fn parent(pid: i32) -> Result<i32> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("look at process {pid}"))?;
    let rest = stat.rsplit_once(") ").context("read the state of a process")?.1;
    rest.split(' ').nth(1).and_then(|parent| parent.parse().ok()).context("read a parent's process ID")
}

fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    let names = text.split_whitespace().filter_map(|child| child.parse().ok());
    names
        .filter(|child: &i32| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "containerd")
        })
        .collect()
}

/// Proportional set size in KB: pages shared by several processes count in parts.
fn pss(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("find Pss in {path}"))
}
