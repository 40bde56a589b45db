//! `cargo xtask record-conformance`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use testkit::engine::Builder;
use testkit::{Bed, Client, Kind, conformance};

use crate::packages;

/// Where the table is.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/corten/tests/conformance");

/// What to record.
#[derive(Args)]
pub(crate) struct Options {
    /// Only areas whose name contains this
    filter: Option<String>,
}

/// Writes what Debian's dockerd with BuildKit makes of the table into it; or what the engine does that `DOCKER_HOST` names,
/// whose `docker` is to use BuildKit then (`DOCKER_BUILDKIT=1`).
pub(crate) fn record(options: &Options) -> Result<()> {
    packages::install(&[])?;
    let kind = match std::env::var_os("DOCKER_HOST") {
        Some(_) => Kind::External,
        None => Kind::Reference,
    };
    let areas = areas(options.filter.as_deref())?;
    // Its own client is not used.
    let bed = Bed::with(Builder::new(kind, Path::new("corten")), Client::Docker);
    let source = source(&bed)?;
    for area in areas {
        let counts = conformance::record(&bed, &area, &source);
        let name = area.file_stem().unwrap_or_default().display();
        let conformance::Recorded { recorded, written, changed } = counts;
        println!("{name}: {recorded} recorded ({changed} changed), {written} written by hand");
    }
    Ok(())
}

fn areas(filter: Option<&str>) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(TABLE).with_context(|| format!("read {TABLE}"))?;
    let mut areas = Vec::new();
    for entry in list {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if filter.is_none_or(|part| name.contains(part)) {
            areas.push(path);
        }
    }
    ensure!(!areas.is_empty(), "no area has such a name");
    areas.sort();
    Ok(areas)
}

/// `dockerd 20.10`
fn source(bed: &Bed) -> Result<String> {
    let version = bed.engine.http().get("/version").expect(200).json();
    let version = version["Version"].as_str().context("the engine has a version")?.to_owned();
    let short: Vec<&str> = version.splitn(3, '.').take(2).collect();
    Ok(format!("dockerd {}", short.join(".")))
}
