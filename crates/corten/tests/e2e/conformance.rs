//! The table of Dockerfiles (`tests/conformance`), built by whatever engine is under test. Its form is in
//! `testkit::conformance`; `cargo xtask record-conformance` records it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use testkit::{Bed, conformance, with_each_client};

use crate::CORTEN;

/// A test for each area of the table, by the name of its file.
macro_rules! areas {
    ($($name:ident = $file:literal),+ $(,)?) => {
        with_each_client!($($name),+);

        $(fn $name(bed: &Bed) {
            conformance::check(bed, &table().join(concat!($file, ".txt")));
        })+

        const AREAS: &[&str] = &[$($file),+];
    };
}

areas!(
    add = "add",
    add_archives = "add-archives",
    args = "args",
    caching = "caching",
    command = "command",
    copy = "copy",
    copy_links = "copy-links",
    copy_ownership = "copy-ownership",
    copy_patterns = "copy-patterns",
    env = "env",
    errors = "errors",
    expansion = "expansion",
    from = "from",
    healthcheck = "healthcheck",
    heredocs = "heredocs",
    ignore = "ignore",
    metadata = "metadata",
    mounts = "mounts",
    onbuild = "onbuild",
    parsing = "parsing",
    run = "run",
    shell = "shell",
    stages = "stages",
    user = "user",
    workdir = "workdir",
);

fn table() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance"))
}

#[test]
fn every_area_has_a_test() {
    let files = fs::read_dir(table()).expect("read the table");
    let stem = |entry: fs::DirEntry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let files: BTreeSet<String> =
        files.filter_map(|entry| stem(entry.expect("a file of the table"))).collect();
    let tested: BTreeSet<String> = AREAS.iter().map(|area| (*area).to_owned()).collect();
    assert_eq!(files, tested);
}
