//! What images cost on their way: pulled, pushed, saved, loaded, removed.
//!
//! The image has 200 MB of compressed layers: files of which one half does not compress at all and the other very well.

use std::cell::Cell;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::Command;
use testkit::archive::{Image, Layer};
use testkit::registry::Registry;

use super::figures::{Samples, Table};
use super::podman::Podman;
use super::{Bench, Contender};
use crate::tools::command;

const LAYERS: u64 = 4;
const FILES: u64 = 3200;
const FILE: usize = 32 << 10;
const NAME: &str = "large:1";
/// Transfers take seconds; this many samples of each.
const SAMPLES: usize = 5;
const LIMIT: Duration = Duration::from_secs(300);

const ROWS: [&str; 7] = [
    "pull of 200 MB, 4 layers",
    "pull of what is there",
    "push of it",
    "save of it",
    "load of it",
    "load of what is there",
    "rmi of it",
];
const SKOPEO: &str = "skopeo copy of 200 MB to a folder";
const MEMORY: &str = "memory of the engine at its most in a pull";

/// Adds the lines about images.
pub(super) fn measure(bench: &Bench, table: &mut Table) -> Result<()> {
    let podman = ROWS.map(|row| format!("podman {row}"));
    // What is in the name of a row is in the one of podman's.
    if !podman.iter().map(String::as_str).chain([MEMORY, SKOPEO]).any(|row| bench.wants(row)) {
        return Ok(());
    }
    let scene = Scene::new(bench)?;
    let mut samples: [[Samples; 3]; 7] = Default::default();
    let mut peaks = [0; 3];
    for _ in 0..SAMPLES.min(bench.samples) {
        for contender in Contender::ALL {
            let once = scene.once(contender, &mut peaks[contender as usize])?;
            for (row, took) in samples.iter_mut().zip(once) {
                row[contender as usize].push(took);
            }
        }
    }
    let floors = [Some(scene.floor()?), None, None, None, None, None, None];
    let aims = ["1.3 x the slower of curl and gunzip + untar", "", "", "1 GB/s", "", "50 ms", ""];
    for (((name, aim), samples), floor) in ROWS.into_iter().zip(aims).zip(&samples).zip(floors) {
        let mut row = table.add(name, aim);
        for contender in Contender::ALL {
            row = row.cell(contender, scene.shown(name, contender, &samples[contender as usize]));
        }
        if let Some(floor) = floor {
            row.floor(floor);
        }
    }
    let row = table.add(MEMORY, "60 MB");
    let shown = |peak: u64| format!("{:.0} MB", peak as f64 / 1e6);
    Contender::ALL
        .into_iter()
        .fold(row, |row, contender| row.cell(contender, shown(peaks[contender as usize])));
    for (name, samples) in podman.iter().zip(scene.podman()?) {
        table.add(name, "").floor(samples);
    }
    table.add(SKOPEO, "").floor(scene.skopeo()?);
    Ok(())
}

/// The image, and where it is.
struct Scene<'a> {
    bench: &'a Bench,
    registry: Registry,
    reference: String,
    archive: PathBuf,
    /// Bytes of the archive.
    size: u64,
    /// Bytes of the last one that each saved.
    saved: [Cell<u64>; 3],
}

impl<'a> Scene<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let archive = bench.corten.directory().join("large.tar");
        let layers = (0..LAYERS).map(layer).collect();
        let image = Image { layers, ..Image::new(json!({"Cmd": ["true"]}), Layer::new()) };
        fs::write(&archive, image.docker_archive(NAME)).context("write the image")?;
        let registry = Registry::start();
        let reference = registry.push(&format!("docker-archive:{}", archive.display()), NAME);
        let size = fs::metadata(&archive).context("look at the image")?.len();
        Ok(Self { bench, registry, reference, archive, size, saved: Default::default() })
    }

    fn command(&self, contender: Contender, arguments: &[&str]) -> Command {
        self.bench.command(contender, arguments).limit(LIMIT)
    }

    /// Everything once, in the order of the rows.
    fn once(&self, contender: Contender, peak: &mut u64) -> Result<[Duration; 7]> {
        let archive = self.archive.display().to_string();
        let time = |arguments: &[&str]| timed(&self.command(contender, arguments));
        let other = Registry::start();
        let target = other.reference(NAME);
        let pid = self.bench.engine(contender).pid();
        reset_peak(pid)?;
        let pull = time(&["pull", "-q", &self.reference]);
        *peak = peak_of(pid)?.max(*peak);
        let again = time(&["pull", "-q", &self.reference]);
        self.command(contender, &["tag", &self.reference, &target]).run().expect_ok();
        let push = time(&["push", "-q", &target]);
        let save = self.save(contender)?;
        self.command(contender, &["rmi", &target]).run().expect_ok();
        let remove = time(&["rmi", &self.reference]);
        let load = time(&["load", "-q", "-i", &archive]);
        let load_again = time(&["load", "-q", "-i", &archive]);
        self.command(contender, &["rmi", NAME]).run().expect_ok();
        Ok([pull, again, push, save, load, load_again, remove])
    }

    /// Into a pipe that is read at once.
    fn save(&self, contender: Contender) -> Result<Duration> {
        let start = Instant::now();
        let mut child = self
            .command(contender, &["save", &self.reference])
            .prepare()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run save")?;
        let mut pipe = child.stdout.take().context("standard output is a pipe")?;
        let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
        loop {
            match pipe.read(&mut buffer).context("read the archive")? {
                0 => break,
                count => total += count as u64,
            }
        }
        let took = start.elapsed();
        ensure!(
            child.wait().context("wait for save")?.success() && total > self.size / 4,
            "{total} bytes saved"
        );
        self.saved[contender as usize].set(total);
        Ok(took)
    }

    fn shown(&self, row: &str, contender: Contender, samples: &Samples) -> String {
        if row != ROWS[3] {
            return samples.to_string();
        }
        format!("{samples}, {:.0} MB", self.saved[contender as usize].get() as f64 / 1e6)
    }

    /// Nobody can be faster than the download of the layers, and than one processor that decompresses and unpacks them.
    fn floor(&self) -> Result<String> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let blobs = self.layer_blobs()?;
        let start = Instant::now();
        for (number, digest) in blobs.iter().enumerate() {
            let (host, name) = self.reference.split_once('/').context("a host and a name")?;
            let url = format!("http://{host}/v2/{}/blobs/{digest}", name.trim_end_matches(":1"));
            let path = folder.path().join(format!("{number}.gz"));
            run(command("curl").args(["--silent", "--fail", "--output"]).arg(&path).arg(url))?;
        }
        let curl = start.elapsed();
        let start = Instant::now();
        for number in 0..blobs.len() {
            let tree = folder.path().join(format!("tree{number}"));
            fs::create_dir(&tree).context("make a folder")?;
            let path = folder.path().join(format!("{number}.gz"));
            run(command("tar")
                .args(["--extract", "--gzip", "--file"])
                .arg(&path)
                .arg("--directory")
                .arg(&tree))?;
        }
        let unpack = start.elapsed();
        Ok(format!("curl {:.0}, gunzip + untar {:.0} ms", millis(curl), millis(unpack)))
    }

    fn layer_blobs(&self) -> Result<Vec<String>> {
        let mut inspect = command("skopeo");
        inspect.args(["inspect", "--tls-verify=false", "--raw"]).arg(format!("docker://{}", self.reference));
        let output = inspect.output().context("run skopeo")?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("read a manifest")?;
        let layers = manifest["layers"].as_array().context("a manifest has layers")?;
        Ok(layers.iter().filter_map(|layer| layer["digest"].as_str().map(str::to_owned)).collect())
    }

    fn podman(&self) -> Result<[Samples; 7]> {
        let podman = Podman::new()?;
        let mut samples: [Samples; 7] = Default::default();
        for _ in 0..SAMPLES.min(self.bench.samples) {
            let other = Registry::start();
            let once = podman.once(&self.reference, &other.reference(NAME), NAME, &self.archive)?;
            samples.iter_mut().zip(once).for_each(|(samples, took)| samples.push(took));
        }
        Ok(samples)
    }

    fn skopeo(&self) -> Result<Samples> {
        let mut samples = Samples::default();
        for _ in 0..SAMPLES.min(self.bench.samples) {
            let folder = tempfile::tempdir().context("make a folder")?;
            let target = format!("dir:{}", folder.path().display());
            let source = format!("docker://{}", self.registry.reference(NAME));
            let mut copy = command("skopeo");
            copy.args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &source, &target]);
            samples.time(|| run(&mut copy))?;
        }
        Ok(samples)
    }
}

fn layer(number: u64) -> Vec<u8> {
    let mut state = number + 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    let mut layer = Layer::new();
    let mut content = vec![0; FILE];
    for file in 0..FILES {
        for piece in content[..FILE / 2].chunks_exact_mut(4) {
            piece.copy_from_slice(&word().to_le_bytes());
        }
        layer = layer.file(&format!("layer{number}/{}/{file}", file % 50), 0o644, &content);
    }
    layer.finish()
}

pub(super) fn timed(command: &Command) -> Duration {
    let start = Instant::now();
    super::runs::execute(command);
    start.elapsed()
}

pub(super) fn run(command: &mut std::process::Command) -> Result<()> {
    let status = command.stdout(Stdio::null()).status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// From now on the kernel counts the peak of a process's memory anew.
pub(super) fn reset_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset a peak")
}

pub(super) fn peak_of(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().context("a number")?;
    Ok(kilobytes * 1024)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
