//! What the kernel itself charges for a container: clone, mounts, pivot, exec, reap, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sys::mount::{Attributes, Change, Context, Depth, Propagation, change_root, pivot_root};
use sys::namespace::Namespaces;
use sys::process::{Ended, SingleThreaded, SpawnOptions, execute, spawn, wait};
use sys::root::Root;
use testkit::images::Base;

use super::figures::Samples;

/// What a process that only measures the floor is told.
#[derive(Args)]
pub(crate) struct FloorOptions {
    /// The lower layer
    root: PathBuf,
    /// How often
    samples: usize,
    /// With a network namespace of its own
    #[arg(long)]
    network: bool,
}

/// Measures in a process of its own, as only one with a single thread can make whole copies of itself.
pub(super) fn measure(samples: usize, network: bool) -> Result<Samples> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let root = directory.path().join("lower");
    extract(&root)?;
    let mut command = std::process::Command::new(std::env::current_exe().context("find this program")?);
    command.arg("floor").arg(&root).arg(samples.to_string()).args(network.then_some("--network"));
    let output = command.stderr(Stdio::inherit()).output().context("measure the floor")?;
    ensure!(output.status.success(), "the floor ended with {}", output.status);
    let mut samples = Samples::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        samples.push(Duration::from_nanos(line.parse().context("read a sample")?));
    }
    Ok(samples)
}

/// Unpacks busybox's layer.
fn extract(root: &Path) -> Result<()> {
    let archive = std::fs::File::open(Base::Busybox.archive()).context("open the base image")?;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().context("read the base image")? {
        let entry = entry.context("read the base image")?;
        if entry
            .path()
            .context("read the base image")?
            .extension()
            .is_some_and(|extension| extension == "tar")
        {
            return tar::Archive::new(entry).unpack(root).context("unpack the layer");
        }
    }
    anyhow::bail!("the base image has no layer")
}

/// The process that measures: prints nanoseconds, one sample a line.
pub(crate) fn run(options: &FloorOptions) -> Result<()> {
    let single = SingleThreaded::check().context("this process has one thread")?;
    let mut namespaces =
        Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC | Namespaces::CGROUP;
    if options.network {
        namespaces |= Namespaces::NETWORK;
    }
    let place = options.root.with_file_name("place");
    let upper = options.root.with_file_name("upper");
    let work = options.root.with_file_name("work");
    for directory in [&place, &upper, &work] {
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    for _ in 0..options.samples {
        let start = Instant::now();
        let child = spawn(single, SpawnOptions { namespaces, cgroup: None }, || {
            match become_container(&options.root, &upper, &work, &place) {
                Ok(never) => match never {},
                Err(error) => {
                    eprintln!("{error:#}");
                    1
                }
            }
        })
        .context("clone")?;
        let ended = wait(&child.pidfd).context("wait")?;
        let took = start.elapsed();
        ensure!(ended == Ended::Exited(0), "the program ended with {ended:?}");
        println!("{}", took.as_nanos());
    }
    Ok(())
}

fn become_container(
    lower: &Path,
    upper: &Path,
    work: &Path,
    place: &Path,
) -> Result<std::convert::Infallible> {
    change_root(Change::propagation(Propagation::Private), Depth::Recursive)
        .context("make mounts private")?;
    let overlay = Context::open("overlay").context("open an overlay")?;
    overlay.set("lowerdir", lower).context("set lowerdir")?;
    overlay.set("upperdir", upper).context("set upperdir")?;
    overlay.set("workdir", work).context("set workdir")?;
    let root = overlay.mount(Attributes::empty()).context("mount the overlay")?;
    root.attach(Root::at(place).context("open the place")?.locate("/").context("open the place")?)
        .context("attach the overlay")?;
    for (file_system, target) in [("proc", "/proc"), ("tmpfs", "/dev"), ("sysfs", "/sys")] {
        let mount = Context::open(file_system).and_then(|context| context.mount(Attributes::empty()));
        let target = Root::at(place).and_then(|root| root.locate(target)).context("find a mount point")?;
        mount.and_then(|mount| mount.attach(target)).with_context(|| format!("mount {file_system}"))?;
    }
    pivot_root(&root).context("pivot")?;
    let error = execute(c"/bin/true", &[c"true".to_owned()], &[]);
    Err(error).context("execute /bin/true")
}
