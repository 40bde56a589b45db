//! A disk that is full.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::archive::{Image, Layer};
use testkit::engine::Builder;
use testkit::{Bed, Client, Command, Kind};

use crate::CORTEN;

/// A file system of 40 MB, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount() -> Self {
        let directory = tempfile::TempDir::with_prefix("ct-disk-").expect("create a directory").keep();
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=40m", "small"])
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
    let disk = Small::mount();
    let builder = Builder::new(Kind::from_environment(), CORTEN.as_ref()).data_root(&disk.0);
    let bed = Bed::with(builder, client);
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
}

mod docker {
    #[test]
    fn engine_survives_a_full_disk() {
        super::engine_survives_a_full_disk(testkit::Client::Docker);
    }
}

mod corten {
    #[test]
    fn engine_survives_a_full_disk() {
        super::engine_survives_a_full_disk(testkit::Client::Corten);
    }
}
