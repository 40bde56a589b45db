//! What builds cost: steps that are all there, commands that do nothing, many small files, one large one.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::Command;
use testkit::conformance::DEBIAN_CLIENT;

use super::figures::{RowBuilder, Samples, Table};
use super::images::{peak_of, reset_peak, timed};
use super::{Bench, Contender};

const SAMPLES: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);
const COMMANDS: u32 = 10;
const FOLDERS: usize = 500;
const FILES: usize = 100;
const SIZE: usize = 4 << 10;

const ROWS: [(&str, &str); 6] = [
    ("build of 20 steps that are all there", "12 ms"),
    ("build, each RUN true", "12 ms"),
    ("build, COPY of 50,000 x 4 KB", "2.5 s"),
    ("build, COPY of them, one in the middle touched", "1.0 s"),
    ("build, COPY of them, unchanged", "0.25 s"),
    ("build, RUN that writes 1 GB", "5 s"),
];
const MEMORY: &str = "build, memory of the engine at its most";

/// Adds the lines about builds.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    if !ROWS.iter().map(|(row, _)| *row).chain([MEMORY]).any(|row| bench.wants(row)) {
        return Ok(());
    }
    let scene = Scene::new(bench)?;
    let mut samples: [[Samples; BUILDERS.len()]; 6] = Default::default();
    let mut peaks = [0; BUILDERS.len()];
    for round in 0..SAMPLES.min(bench.samples) {
        for (at, builder) in BUILDERS.into_iter().enumerate() {
            let pid = bench.engine(builder.contender).pid();
            reset_peak(pid)?;
            let once = scene.once(builder, round * BUILDERS.len() + at)?;
            peaks[at] = peak_of(pid)?.max(peaks[at]);
            for (row, took) in samples.iter_mut().zip(once) {
                row[at].push(took);
            }
        }
    }
    for ((name, aim), samples) in ROWS.into_iter().zip(&samples) {
        fill(table.add(name, aim), samples);
    }
    let shown = peaks.map(|peak| format!("{:.0} MB", peak as f64 / 1e6));
    fill(table.add(MEMORY, "80 MB"), &shown);
    Ok(())
}

/// Who builds.
#[derive(Clone, Copy)]
struct Builder {
    contender: Contender,
    /// Whether it is BuildKit in the same engine, asked by Debian's client, which knows how without a plugin.
    is_buildkit: bool,
}

const BUILDERS: [Builder; 4] = [
    Builder { contender: Contender::Corten, is_buildkit: false },
    Builder { contender: Contender::DockerOnCorten, is_buildkit: false },
    Builder { contender: Contender::DockerOnDockerd, is_buildkit: false },
    Builder { contender: Contender::DockerOnDockerd, is_buildkit: true },
];

/// A cell for each contender; what BuildKit makes of it stands beside what dockerd's own builder does.
fn fill(row: RowBuilder<'_>, values: &[impl Display; BUILDERS.len()]) {
    let [corten, docker, classic, buildkit] = values;
    row.cell(Contender::Corten, corten)
        .cell(Contender::DockerOnCorten, docker)
        .cell(Contender::DockerOnDockerd, format!("{classic}, BuildKit {buildkit}"));
}

/// The folders that are built.
struct Scene<'a> {
    bench: &'a Bench,
    folder: PathBuf,
}

impl<'a> Scene<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let folder = bench.corten.directory().join("builds");
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(path, text).context("write a file")
        };
        let steps: String = (0..20).map(|number| format!("RUN echo {number}\n")).collect();
        write(&folder.join("steps/Dockerfile"), &format!("FROM busybox\n{steps}"))?;
        let commands: String = (0..COMMANDS).map(|number| format!("RUN : {number}; true\n")).collect();
        write(&folder.join("commands/Dockerfile"), &format!("FROM busybox\n{commands}"))?;
        let large = "FROM busybox\nRUN dd if=/dev/urandom of=/large bs=1M count=1024\n";
        write(&folder.join("large/Dockerfile"), large)?;
        write(&folder.join("many/Dockerfile"), "FROM busybox\nCOPY files /files\n")?;
        for number in 0..FOLDERS {
            let inner = folder.join(format!("many/files/{number}"));
            fs::create_dir_all(&inner)?;
            for file in 0..FILES {
                let text = format!("{number} {file}\n");
                fs::write(inner.join(file.to_string()), text.repeat(SIZE / text.len() + 1).split_at(SIZE).0)?;
            }
        }
        Ok(Self { bench, folder })
    }

    fn build(&self, builder: Builder, name: &str, options: &[&str]) -> Command {
        let path = self.folder.join(name).display().to_string();
        let tag = format!("{name}:1");
        let words =
            ["build", "-q", "-t", &tag].into_iter().chain(options.iter().copied()).chain([path.as_str()]);
        let words: Vec<&str> = words.collect();
        let command = match builder.is_buildkit {
            true => self.bench.engine(builder.contender).command_of(Path::new(DEBIAN_CLIENT), &words),
            false => self.bench.command(builder.contender, &words),
        };
        command.env("DOCKER_BUILDKIT", if builder.is_buildkit { "1" } else { "0" }).limit(LIMIT)
    }

    /// Everything once, in the order of the rows.
    fn once(&self, builder: Builder, number: usize) -> Result<[Duration; 6]> {
        let time = |name: &str, options: &[&str]| timed(&self.build(builder, name, options));
        time("steps", &[]);
        let cached = time("steps", &[]);
        let commands = time("commands", &["--no-cache"]) / COMMANDS;
        // The middle in the order of names: what comes before it counts for who goes on from there.
        let file = self.folder.join("many/files/323/50");
        let touch = |text: String| fs::write(&file, text).context("touch a file");
        touch(format!("{number} before"))?;
        let cold = time("many", &["--no-cache"]);
        touch(format!("{number} after"))?;
        let touched = time("many", &[]);
        let unchanged = time("many", &[]);
        let large = time("large", &["--no-cache"]);
        Ok([cached, commands, cold, touched, unchanged, large])
    }
}
