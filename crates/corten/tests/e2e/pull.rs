//! Pulling from a real registry.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use testkit::images::Base;
use testkit::registry::Registry;
use testkit::{Bed, with_each_client};

use crate::CORTEN;
use crate::run::wait_for_log;

with_each_client!(
    pulled_image_runs_and_has_its_digest,
    run_pulls_what_is_missing,
    second_pull_is_up_to_date,
    pull_by_digest_verifies_it,
    unknown_tag_and_repository_are_errors,
    quiet_pull_prints_the_reference,
    damaged_blob_is_refused,
    unreachable_registry_is_an_error,
    registry_that_hangs_stops_nobody_else,
    debian_is_interactive,
    python_runs_detached,
);

fn pushed(registry: &Registry, base: Base, name: &str) -> String {
    registry.push(&format!("docker-archive:{}", base.archive().display()), name)
}

fn pulled_image_runs_and_has_its_digest(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "team/busybox:1");
    let text = bed.ok(["pull", &reference]);
    let digest = text.lines().find_map(|line| line.strip_prefix("Digest: ")).expect("a digest");
    assert!(text.contains(&format!("Status: Downloaded newer image for {reference}")), "{text}");
    assert_eq!(bed.ok(["run", "--rm", &reference, "echo", "pulled"]), "pulled");
    let repository = reference.strip_suffix(":1").expect("a tag");
    assert_eq!(bed.field(&reference, "{{json .RepoDigests}}"), format!("[\"{repository}@{digest}\"]"));
    assert_eq!(bed.field(&reference, "{{.Id}}"), bed.field("busybox", "{{.Id}}"));
}

fn run_pulls_what_is_missing(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "busybox:auto");
    let output = bed.run(["run", "--rm", &reference, "echo", "ran"]).expect_ok();
    assert_eq!(output.trimmed(), "ran");
    output.expect_stderr("Unable to find image");
    bed.run(["run", "--rm", "--pull", "always", &reference, "true"]).expect_ok();
    drop(registry);
    bed.ok(["run", "--rm", &reference, "true"]);
    assert_ne!(bed.run(["run", "--rm", "--pull", "always", &reference, "true"]).status, 0);
}

fn second_pull_is_up_to_date(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "busybox:twice");
    bed.ok(["pull", &reference]);
    let text = bed.ok(["pull", &reference]);
    assert!(text.contains(&format!("Status: Image is up to date for {reference}")), "{text}");
}

fn pull_by_digest_verifies_it(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "busybox:d");
    let text = bed.ok(["pull", &reference]);
    let digest = text.lines().find_map(|line| line.strip_prefix("Digest: ")).expect("a digest");
    let by_digest = format!("{}@{digest}", registry.reference("busybox"));
    bed.ok(["pull", &by_digest]);
    assert_eq!(bed.ok(["run", "--rm", &by_digest, "echo", "ok"]), "ok");
    let wrong = format!("{}@sha256:{}", registry.reference("busybox"), "0".repeat(64));
    assert_ne!(bed.run(["pull", &wrong]).status, 0);
}

fn unknown_tag_and_repository_are_errors(bed: &Bed) {
    let registry = Registry::start();
    pushed(&registry, Base::Busybox, "busybox:known");
    for name in ["busybox:unknown", "no/such/repository:1"] {
        let reference = registry.reference(name);
        let output = bed.run(["pull", &reference]).expect_code(1);
        assert!(output.stderr.contains("not found") || output.stderr.contains("unknown"), "{output:?}");
        bed.run(["run", "--rm", &reference, "true"]).expect_code(125);
    }
    bed.run(["pull", "Bad//Name"]).expect_code(1).expect_stderr("invalid reference format");
}

fn quiet_pull_prints_the_reference(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "busybox:q");
    assert_eq!(bed.ok(["pull", "-q", &reference]), reference);
}

/// The largest blob of a registry.
fn largest_blob(directory: &Path) -> PathBuf {
    fn collect(directory: &Path, found: &mut Vec<(u64, PathBuf)>) {
        for entry in fs::read_dir(directory).expect("list the storage") {
            let path = entry.expect("list the storage").path();
            if path.is_dir() {
                collect(&path, found);
            } else {
                found.push((fs::metadata(&path).expect("look at a blob").len(), path));
            }
        }
    }
    let mut found = Vec::new();
    collect(directory, &mut found);
    found.into_iter().max().expect("the registry has blobs").1
}

fn damaged_blob_is_refused(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Busybox, "busybox:damaged");
    bed.ok(["rmi", "busybox"]);
    let blob = largest_blob(&registry.storage());
    let mut bytes = fs::read(&blob).expect("read the layer");
    // Still a valid gzip stream: only a byte of the header that says nothing about the content.
    bytes[9] ^= 0x55;
    fs::write(&blob, bytes).expect("damage the layer");
    bed.run(["pull", &reference]).expect_code(1);
    bed.run(["inspect", &reference]).expect_code(1);
    assert_eq!(bed.ok(["images", "-aq"]), "");
}

fn unreachable_registry_is_an_error(bed: &Bed) {
    let reference = format!("127.0.0.1:{}/busybox:1", testkit::registry::free_port());
    bed.run(["pull", &reference]).expect_code(1).expect_stderr("connection refused");
}

fn registry_that_hangs_stops_nobody_else(bed: &Bed) {
    // Connections are accepted by the kernel and never answered.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("bind a port");
    let port = silent.local_addr().expect("the bound address").port();
    let pulling = bed.cli(["pull", &format!("127.0.0.1:{port}/busybox:1")]).spawn();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
    bed.ok(["images"]);
    pulling.signal(Signal::INT);
    assert_ne!(pulling.finish().status, 0);
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
}

fn debian_is_interactive(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Debian, "debian:bookworm");
    bed.cli(["pull", &reference]).limit(Duration::from_secs(180)).run().expect_ok();
    let mut session = bed.cli(["run", "-it", "--rm", "--hostname", "deb", &reference]).pty();
    session.expect("root@deb:/# ");
    session.send_line("cat /etc/debian_version; dpkg --version | head -1; id");
    session.expect("12.");
    session.expect("package management program");
    session.expect("uid=0(root)");
    session.send_line("exit 12");
    assert_eq!(session.finish().0, 12);
}

fn python_runs_detached(bed: &Bed) {
    let registry = Registry::start();
    let reference = pushed(&registry, Base::Python, "python:3");
    bed.cli(["pull", &reference]).limit(Duration::from_secs(180)).run().expect_ok();
    let program = "import sys, time\nprint('up', flush=True)\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\n";
    bed.ok(["run", "-d", "-i", "--name", "py", &reference, "python3", "-c", program]);
    wait_for_log(bed, "py", "up");
    assert_eq!(bed.ok(["exec", "py", "python3", "-c", "print(6*7)"]), "42");
    let mut session = bed.cli(["exec", "-it", "py", "python3", "-q"]).pty();
    session.expect(">>> ");
    session.send_line("sum(range(10))");
    session.expect("45");
    // Before its prompt readline has not taken the terminal over, and would not see the end of input.
    session.expect(">>> ");
    session.send([4]);
    assert_eq!(session.finish().0, 0);
    let mut session = bed.cli(["attach", "py"]).pty();
    session.send_line("text");
    session.expect("TEXT");
    drop(session);
    bed.ok(["stop", "-t", "1", "py"]);
    assert_eq!(bed.ok(["logs", "py"]), "up\nTEXT");
}
