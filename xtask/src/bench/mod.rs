//! `cargo xtask bench`: Corten beside Debian's dockerd and the bare kernel, in one run on one machine.
//!
//! These are figures, not tests: nothing fails because it is slow. Samples of the contenders alternate, so that what
//! else the machine does falls on all of them alike.

mod builds;
mod figures;
mod floor;
mod idle;
mod images;
mod names;
mod podman;
mod ports;
mod runs;
mod streams;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::engine::Builder;
use testkit::images::Base;
use testkit::{Client, Command, Engine, Kind};

use crate::packages;
use crate::tools::{cargo, describe};
use figures::Table;

pub(crate) use floor::FloorOptions;
pub(crate) use floor::run as run_floor;
pub(crate) use ports::{ServerOptions, serve};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Samples of each figure
    #[arg(long, default_value_t = 50)]
    samples: usize,
    /// Only rows whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// One way to ask an engine for something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    /// Corten's own command line and engine.
    Corten,
    /// The docker client with Corten's engine.
    DockerOnCorten,
    /// The docker client with Debian's dockerd.
    DockerOnDockerd,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Corten, Self::DockerOnCorten, Self::DockerOnDockerd];
}

/// Both engines, with busybox loaded.
struct Bench {
    corten: Engine,
    dockerd: Engine,
    binary: PathBuf,
    samples: usize,
    only: Option<String>,
}

impl Bench {
    fn engine(&self, contender: Contender) -> &Engine {
        match contender {
            Contender::Corten | Contender::DockerOnCorten => &self.corten,
            Contender::DockerOnDockerd => &self.dockerd,
        }
    }

    fn command(&self, contender: Contender, arguments: &[&str]) -> Command {
        let client = if contender == Contender::Corten { Client::Corten } else { Client::Docker };
        self.engine(contender).cli(client, arguments)
    }

    fn wants(&self, row: &str) -> bool {
        self.only.as_deref().is_none_or(|only| row.contains(only))
    }
}

/// Measures everything and prints the table.
pub(crate) fn run(options: Options) -> Result<()> {
    packages::install(&packages::FOR_BENCH)?;
    let binary = build()?;
    let bench = Bench {
        corten: start(Kind::Corten, &binary),
        dockerd: start(Kind::Reference, &binary),
        binary,
        samples: options.samples,
        only: options.only,
    };
    let mut table = Table::default();
    runs::measure(&bench, &mut table)?;
    streams::measure(&bench, &mut table)?;
    names::measure(&bench, &mut table)?;
    ports::measure(&bench, &mut table)?;
    images::measure(&bench, &mut table)?;
    builds::measure(&bench, &mut table)?;
    idle::measure(&bench, &mut table)?;
    println!("{table}");
    Ok(())
}

fn start(kind: Kind, binary: &std::path::Path) -> Engine {
    let engine = Builder::new(kind, binary).start();
    engine.load(Base::Busybox);
    engine
}

/// Builds the binary with optimisation, and returns its path.
fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--release", "--package", "corten", "--message-format=json-render-diagnostics"]);
    eprintln!("+ {}", describe(&command));
    let output = command.stderr(Stdio::inherit()).output().context("run cargo build")?;
    ensure!(output.status.success(), "cargo build ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "corten")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo names the executable it built")
}
