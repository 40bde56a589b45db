//! A disk that is full: of bytes, or of files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use testkit::archive::{Image, Layer};
use testkit::engine::Builder;
use testkit::{Bed, Client, Command, Kind, eventually};

use crate::CORTEN;

/// A file system of 40 MB, unmounted when dropped.
pub(crate) struct Small(pub(crate) PathBuf);

impl Small {
    /// With room for so many files, or any number if it is 0.
    pub(crate) fn mount(files: u32) -> Self {
        let directory = tempfile::TempDir::with_prefix("ct-disk-").expect("create a directory").keep();
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size=40m,nr_inodes={files}"), "small"])
            .arg(&directory)
            .run()
            .expect_ok();
        Self(directory)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let output = Command::new("umount").args(["--recursive", "--lazy"]).arg(&self.0).run();
        if output.status == 0 {
            // What cannot be removed is of no use to anyone.
            let _ = fs::remove_dir(&self.0);
        }
    }
}

fn used(directory: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-k"]).arg(directory).run();
    output.text().split_whitespace().next().and_then(|size| size.parse().ok()).expect("a size")
}

fn engine_survives_a_full_disk(client: Client) {
    let disk = Small::mount(0);
    let bed = on(&disk, client);
    let before = used(&disk.0);
    let content: Vec<u8> =
        (0..60_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let image = Image::new(json!({}), Layer::new().file("big", 0o644, &content));
    let output = bed.cli(["load"]).stdin(image.docker_archive("big:1")).run();
    assert_ne!(output.status, 0);
    assert!(format!("{}{}", output.text(), output.stderr).contains("no space left on device"), "{output:?}");
    bed.run(["inspect", "big:1"]).expect_code(1);
    assert!(used(&disk.0) < before + 2000, "{} KB are left of the image", used(&disk.0) - before);
    let script = "head -c 100000000 /dev/zero > /full; echo $?; rm /full; echo removed";
    assert_eq!(bed.sh(&[], script), "1\nremoved");
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "head -c 100000000 /dev/zero > /full; true"]);
    bed.ok(["rm", "box"]);
    assert_eq!(bed.sh(&[], "echo alive"), "alive");
    let small = Image::new(json!({}), Layer::new().file("small", 0o644, &content[..1_000_000]));
    bed.engine.load_archive(&small.docker_archive("small:1"));
    bed.ok(["run", "--name", "box", "busybox", "sh", "-c", "head -c 100000000 /dev/zero > /full; true"]);
    assert!(bed.ok(["container", "prune", "-f"]).contains("Total reclaimed space"));
    assert!(bed.ok(["image", "prune", "-af"]).contains("small:1"));
    bed.engine.load_archive(&small.docker_archive("small:1"));
}

fn engine_survives_a_disk_without_inodes(client: Client) {
    let disk = Small::mount(1500);
    let bed = on(&disk, client);
    let before = files(&disk.0);
    let layer = (0..1500).fold(Layer::new(), |layer, number| layer.file(&format!("f{number}"), 0o644, b""));
    let many = Image::new(json!({}), layer).docker_archive("many:1");
    let output = bed.cli(["load"]).stdin(many).run();
    assert_ne!(output.status, 0);
    assert!(format!("{}{}", output.text(), output.stderr).contains("no space left on device"), "{output:?}");
    let all_gone = || (files(&disk.0) <= before + 2).then_some(());
    assert!(eventually(Duration::from_secs(10), all_gone).is_some(), "{before} -> {}", files(&disk.0));
    let fill = "n=0; while touch /f$n 2>/dev/null; do n=$((n+1)); done; echo full";
    assert_eq!(bed.ok(["run", "--name", "box", "busybox", "sh", "-c", fill]), "full");
    bed.ok(["rm", "box"]);
    assert_eq!(bed.sh(&[], "touch /new && echo alive"), "alive");
}

/// An engine that keeps everything there.
pub(crate) fn on(disk: &Small, client: Client) -> Bed {
    let builder = Builder::new(Kind::from_environment(), CORTEN.as_ref()).data_root(&disk.0);
    Bed::with(builder, client)
}

/// Files and folders on a file system.
fn files(directory: &Path) -> u64 {
    let found = rustix::fs::statvfs(directory).expect("ask the file system");
    found.f_files - found.f_ffree
}

mod docker {
    #[test]
    fn engine_survives_a_full_disk() {
        super::engine_survives_a_full_disk(testkit::Client::Docker);
    }

    #[test]
    fn engine_survives_a_disk_without_inodes() {
        super::engine_survives_a_disk_without_inodes(testkit::Client::Docker);
    }
}

mod corten {
    #[test]
    fn engine_survives_a_full_disk() {
        super::engine_survives_a_full_disk(testkit::Client::Corten);
    }

    #[test]
    fn engine_survives_a_disk_without_inodes() {
        super::engine_survives_a_disk_without_inodes(testkit::Client::Corten);
    }
}
