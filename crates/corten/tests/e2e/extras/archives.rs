//! What other tools make of a saved image, and we of theirs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::archive::{Compression, Image, Layer, digest};
use testkit::cli::Command;
use testkit::engine::Builder;
use testkit::images::Base;
use testkit::registry::Registry;
use testkit::{Bed, Client, Kind, with_each_client};

use crate::CORTEN;
use crate::images::on_busybox;

with_each_client!(
    skopeo_reads_both_forms,
    manifest_is_kept_through_archives,
    platform_that_is_not_there_is_named
);

fn sample() -> Image {
    let upper = Layer::new().file("grüße", 0o600, b"text").hard_link("twin", "grüße");
    on_busybox(json!({"Cmd": ["busybox", "cat", "/twin"]}), vec![upper.finish()])
}

fn load_layout(bed: &Bed, compression: Compression) -> String {
    bed.engine.load_archive(&sample().oci_layout("docker.io/library/kept:1", compression));
    "kept:1".to_owned()
}

fn save(bed: &Bed, image: &str) -> PathBuf {
    let file = bed.engine.directory().join("saved.tar");
    bed.cli(["save", "-o"]).arg(&file).arg(image).run().expect_ok();
    file
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let limit = Duration::from_secs(180);
    Command::new("skopeo").arg("--insecure-policy").args(arguments).limit(limit).run().expect_ok().stdout
}

/// The configuration and the diffIDs, as skopeo finds them.
fn inspect(source: &str, file: &Path) -> Value {
    let source = format!("{source}:{}", file.display());
    serde_json::from_slice(&skopeo(&["inspect", "--config", &source])).expect("a configuration")
}

fn skopeo_reads_both_forms(bed: &Bed) {
    for compression in Compression::ALL {
        let file = save(bed, &load_layout(bed, compression));
        let expected: Value = serde_json::from_slice(&sample().configuration()).expect("a configuration");
        assert_eq!(inspect("docker-archive", &file), expected);
        assert_eq!(inspect("oci-archive", &file), expected);
        // Every layer is read and verified on the way back.
        let copy = bed.engine.directory().join(format!("{compression:?}.tar"));
        let [from, to] = [&file, &copy].map(|path| format!("oci-archive:{}", path.display()));
        skopeo(&["copy", "--quiet", &from, &format!("{to}:back:1")]);
        bed.ok(["rmi", "kept:1"]);
        bed.cli(["load", "-i"]).arg(&copy).run().expect_ok();
        assert_eq!(bed.ok(["run", "--rm", &sample().id()]), "text");
        bed.ok(["rmi", &sample().id()]);
        std::fs::remove_file(copy).expect("remove a file");
    }
}

fn manifest_is_kept_through_archives(bed: &Bed) {
    for compression in Compression::ALL {
        let image = load_layout(bed, compression);
        let first = std::fs::read(save(bed, &image)).expect("read the archive");
        assert_eq!(digest(&std::fs::read(save(bed, &image)).expect("read it")), digest(&first));
        bed.ok(["rmi", &image]);
        bed.engine.load_archive(&first);
        assert_eq!(bed.field(&image, "{{.Id}}"), sample().id());
        assert_eq!(digest(&std::fs::read(save(bed, &image)).expect("read it")), digest(&first));
        bed.ok(["rmi", &image]);
    }
}

fn platform_that_is_not_there_is_named(bed: &Bed) {
    for command in [["save", "busybox"], ["history", "busybox"], ["rmi", "busybox"]] {
        let arguments = [command[0], "--platform", "linux/riscv64", command[1]];
        bed.run(arguments).expect_code(1).expect_stderr("platform").expect_stderr("linux/riscv64");
    }
}

/// A pulled image goes on to another registry, where skopeo and dockerd find it.
#[test]
fn image_pushed_on_keeps_its_digest_and_runs_elsewhere() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let other = Bed::with(Builder::new(Kind::Reference, CORTEN.as_ref()), Client::Docker);
    let (first, second) = (Registry::start(), Registry::start());
    for compression in Compression::ALL {
        let name = format!("app:{}", format!("{compression:?}").to_lowercase());
        let source = first.push_archive("oci-archive", &sample().oci_layout("kept:1", compression), &name);
        let pulled = bed.ok(["pull", &source]);
        let digest = pulled.lines().find_map(|line| line.strip_prefix("Digest: ")).expect("a digest");
        let target = second.reference(&name);
        bed.ok(["tag", &source, &target]);
        let pushed = bed.ok(["push", &target]);
        assert!(pushed.contains(&format!(": digest: {digest} size: ")), "{pushed}");
        let inspected = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{target}")]);
        let inspected: Value = serde_json::from_slice(&inspected).expect("JSON");
        assert_eq!(inspected["Digest"], digest);
        // Debian's dockerd is too old for Zstandard.
        if compression != Compression::Zstd {
            assert_eq!(other.ok(["run", "--rm", "--pull", "always", "-q", &target]), "text");
        }
        bed.ok(["rmi", &source, &target]);
    }
}

#[test]
fn dockerd_loads_what_was_saved_and_the_reverse() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let other = Bed::with(Builder::new(Kind::Reference, CORTEN.as_ref()), Client::Docker);
    bed.engine.load(Base::Debian);
    load_layout(&bed, Compression::Gzip);
    let file = bed.engine.directory().join("both.tar");
    let limit = Duration::from_secs(180);
    bed.cli(["save", "-o"]).arg(&file).args(["debian:bookworm", "kept:1"]).limit(limit).run().expect_ok();
    other.cli(["load", "-i"]).arg(&file).limit(limit).run().expect_ok();
    for image in ["debian:bookworm", "kept:1"] {
        assert_eq!(other.field(image, "{{.Id}}"), bed.field(image, "{{.Id}}"));
    }
    assert_eq!(other.ok(["run", "--rm", "kept:1"]), "text");
    let back = other.run(["save", "kept:1"]).expect_ok().stdout;
    bed.ok(["rmi", "kept:1"]);
    bed.engine.load_archive(&back);
    assert_eq!(bed.field("kept:1", "{{.Id}}"), sample().id());
    assert_eq!(bed.ok(["run", "--rm", "kept:1"]), "text");
}
