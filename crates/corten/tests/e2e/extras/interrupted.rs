//! The engine is killed while an image comes in, goes out or goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::archive::{Layer, digest};
use testkit::cli::{Command, Output};
use testkit::registry::Registry;
use testkit::{Bed, Client, eventually};

use super::faults::Random;
use crate::CORTEN;
use crate::images::on_busybox;

const LAYERS: usize = 4;
const NAME: &str = "big:1";

/// How often the engine is killed in each test.
fn rounds() -> usize {
    std::env::var("CORTEN_TEST_KILLS").map_or(10, |text| text.parse().expect("CORTEN_TEST_KILLS is a number"))
}

/// What a layer's one file has: one megabyte that do not compress.
fn content(layer: usize) -> Vec<u8> {
    let mut state = layer as u64 + 1;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    });
    words.take(256 << 10).flat_map(u32::to_le_bytes).collect()
}

fn archive() -> Vec<u8> {
    let layers =
        (0..LAYERS).map(|layer| Layer::new().file(&format!("data{layer}"), 0o644, &content(layer)).finish());
    on_busybox(json!({"Cmd": ["sh"], "Labels": {"passing": "yes"}}), layers.collect()).docker_archive(NAME)
}

/// Runs a container of the image, which finds all of it.
fn expect_whole(bed: &Bed, image: &str) {
    let expected: String = (0..LAYERS)
        .map(|layer| format!("{}  data{layer}\n", digest(&content(layer)).trim_start_matches("sha256:")))
        .collect();
    let script = "for n in 0 1 2 3; do busybox sha256sum data$n; done";
    assert_eq!(bed.run(["run", "--rm", image, "sh", "-c", script]).expect_ok().text(), expected);
}

/// Every file and folder of the store down to single layers and blobs, without what changes with each start.
fn store(bed: &Bed) -> BTreeSet<PathBuf> {
    fn collect(folder: &Path, depth: u32, found: &mut BTreeSet<PathBuf>) {
        for path in fs::read_dir(folder).expect("list the store").flatten().map(|entry| entry.path()) {
            if depth > 0 && path.is_dir() {
                collect(&path, depth - 1, found);
            } else {
                found.insert(path);
            }
        }
    }
    let mut found = BTreeSet::new();
    for folder in ["blobs", "layers", "ingest", "trash", "snapshots"] {
        let depth = if folder == "blobs" { 1 } else { 0 };
        collect(&bed.engine.data_root().join("image").join(folder), depth, &mut found);
    }
    found
}

/// What stays of a store when nothing is on its way in or out.
fn settled(bed: &Bed) -> BTreeSet<PathBuf> {
    let is_passing = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "trash");
    store(bed).into_iter().filter(|path| !is_passing(path)).collect()
}

/// Removal goes on behind the answer.
fn expect_store(bed: &Bed, expected: &BTreeSet<PathBuf>) {
    let is_so = eventually(Duration::from_secs(5), || (store(bed) == *expected).then_some(()));
    if is_so.is_none() {
        let found = store(bed);
        let more: Vec<_> = found.difference(expected).collect();
        let less: Vec<_> = expected.difference(&found).collect();
        panic!("too much in the store: {more:?}; too little: {less:?}");
    }
}

fn image_is_there(bed: &Bed, image: &str) -> bool {
    let output = bed.run(["image", "inspect", image]);
    assert!(output.status == 0 || output.stderr.to_lowercase().contains("no such image"), "{output:?}");
    output.status == 0
}

/// Kills the engine at a random moment of a command that takes `duration`, and starts it again.
fn kill_during(bed: &mut Bed, command: Command, duration: Duration, random: &mut Random) -> Output {
    let running = command.spawn();
    std::thread::sleep(Duration::from_micros(random.below(duration.as_micros() as u64)));
    bed.engine.kill();
    let output = running.finish();
    bed.engine.launch();
    output
}

/// Kills the engine at random moments of what `command` does; each time the image is there as a whole, or nothing of it.
fn interrupt(bed: &mut Bed, image: &str, command: impl Fn(&Bed) -> Command) {
    let mut random = Random::new();
    let empty = settled(bed);
    let begin = Instant::now();
    command(bed).run().expect_ok();
    let duration = begin.elapsed();
    let full = settled(bed);
    bed.ok(["rmi", image]);
    expect_store(bed, &empty);
    let mut whole = 0;
    for _ in 0..rounds() {
        let next = command(bed);
        let output = kill_during(bed, next, duration, &mut random);
        if image_is_there(bed, image) {
            whole += 1;
            expect_store(bed, &full);
            expect_whole(bed, image);
            bed.ok(["rmi", image]);
        } else {
            assert_ne!(output.status, 0, "the client was told of success: {output:?}");
        }
        expect_store(bed, &empty);
    }
    println!("{} kills within {duration:?}: {whole} times the image was whole", rounds());
    command(bed).run().expect_ok();
    expect_store(bed, &full);
    expect_whole(bed, image);
    expect_sound(bed);
}

fn expect_sound(bed: &Bed) {
    bed.engine.cli(Client::Corten, ["system", "check"]).run().expect_ok();
}

/// Kills the engine at random moments of a removal; each time the image is there as a whole and can be removed, or nothing
/// of it is there.
fn interrupt_removal(command: &[&str]) {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let mut random = Random::new();
    let big = archive();
    let empty = settled(&bed);
    bed.engine.load_archive(&big);
    let begin = Instant::now();
    bed.ok(command);
    let duration = begin.elapsed();
    expect_store(&bed, &empty);
    let mut whole = 0;
    for _ in 0..rounds() {
        bed.engine.load_archive(&big);
        let next = bed.cli(command);
        kill_during(&mut bed, next, duration, &mut random);
        if image_is_there(&bed, NAME) {
            whole += 1;
            expect_whole(&bed, NAME);
        }
        expect_sound(&bed);
        bed.run(command);
        expect_store(&bed, &empty);
    }
    println!("{} kills within {duration:?}: {whole} times the image was whole", rounds());
}

#[test]
fn killed_load_leaves_the_whole_image_or_nothing() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Docker);
    let path = bed.engine.directory().join("big.tar");
    fs::write(&path, archive()).expect("write an archive");
    interrupt(&mut bed, NAME, |bed| bed.cli(["load", "-q", "-i"]).arg(&path));
}

#[test]
fn killed_push_succeeds_when_it_is_repeated() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let mut random = Random::new();
    bed.engine.load_archive(&archive());
    let trial = Registry::start();
    let name = trial.reference("big:1");
    bed.ok(["tag", NAME, &name]);
    let begin = Instant::now();
    bed.ok(["push", &name]);
    let duration = begin.elapsed();
    bed.ok(["rmi", &name]);
    drop(trial);
    for _ in 0..rounds() {
        let registry = Registry::start();
        let name = registry.reference("big:1");
        bed.ok(["tag", NAME, &name]);
        let next = bed.cli(["push", &name]);
        kill_during(&mut bed, next, duration, &mut random);
        bed.ok(["push", &name]);
        let before = settled(&bed);
        bed.ok(["rmi", &name]);
        bed.ok(["pull", &name]);
        expect_whole(&bed, &name);
        assert_eq!(settled(&bed), before);
        bed.ok(["rmi", &name]);
    }
    expect_sound(&bed);
}

#[test]
fn killed_removal_leaves_the_whole_image_or_nothing() {
    interrupt_removal(&["rmi", NAME]);
}

#[test]
fn killed_prune_leaves_the_whole_image_or_nothing() {
    interrupt_removal(&["image", "prune", "-af", "--filter", "label=passing"]);
}

#[test]
fn killed_pull_leaves_the_whole_image_or_nothing() {
    let mut bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let registry = Registry::start();
    let reference = registry.push_archive("docker-archive", &archive(), NAME);
    interrupt(&mut bed, &reference, |bed| bed.cli(["pull", "-q", &reference]));
}
