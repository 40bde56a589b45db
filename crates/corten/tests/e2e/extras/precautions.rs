//! What the engine does for its own safety and that of the machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use testkit::archive::{Compression, Image, Layer};
use testkit::cli::Command;
use testkit::engine::Builder;
use testkit::images::Base;
use testkit::registry::Registry;
use testkit::{Bed, Client, Kind};

use crate::CORTEN;

fn builder() -> Builder {
    Builder::new(Kind::from_environment(), CORTEN.as_ref())
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    found.permissions().mode() & 0o7777
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("list a folder").path()).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

/// Fails unless the mode is the expected one; all that are wrong are told at once.
fn expect_modes(found: &[(PathBuf, u32)]) {
    let wrong: Vec<String> = found
        .iter()
        .filter(|(path, expected)| mode(path) != *expected)
        .map(|(path, expected)| format!("{}: {:o}, not {expected:o}", path.display(), mode(path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_of_the_engine_are_closed_to_others() {
    let bed = Bed::with(builder(), Client::Corten);
    bed.ok([
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "data:/data",
        "busybox",
        "sh",
        "-c",
        "echo line; exec sleep 600",
    ]);
    bed.ok(["run", "--name", "ended", "busybox", "echo", "line"]);
    let (lib, run) = (bed.engine.data_root(), bed.engine.exec_root());
    let mut expected =
        vec![(lib.to_owned(), 0o710), (run.clone(), 0o710), (bed.engine.socket().to_owned(), 0o660)];
    for folder in entries(lib).iter().chain(&entries(&run)).filter(|path| path.is_dir()) {
        assert_eq!(mode(folder) & !0o710, 0, "{}: {:o}", folder.display(), mode(folder));
    }
    let mut is_seen = [false; 3];
    for path in entries(&lib.join("containers")) {
        if path.is_dir() {
            expected.push((path.clone(), 0o710));
            for file in entries(&path).into_iter().filter(|file| file.is_file()) {
                let (kind, mode) = match name(&file) {
                    "hostname" | "hosts" | "resolv.conf" => (0, 0o644),
                    name if name.ends_with(".log") => (1, 0o640),
                    _ => (2, 0o600),
                };
                is_seen[kind] = true;
                expected.push((file, mode));
            }
        } else {
            expected.push((path, 0o600));
        }
    }
    assert_eq!(is_seen, [true; 3], "each kind of file: {expected:?}");
    expect_modes(&expected);
    assert_eq!(fs::metadata(bed.engine.socket()).expect("the socket").uid(), 0);
}

#[test]
fn engine_and_supervisors_outlive_ordinary_processes() {
    let bed = Bed::with(builder(), Client::Corten);
    bed.ok(["run", "-d", "--name", "box", "busybox", "sleep", "600"]);
    let adjust = |pid: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).expect("read a process's score");
        text.trim().to_owned()
    };
    let init = bed.field("box", "{{.State.Pid}}");
    let stat = fs::read_to_string(format!("/proc/{init}/stat")).expect("the container's process");
    let supervisor = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).expect("a parent");
    let found = [adjust(&bed.engine.pid().to_string()), adjust(supervisor), adjust(&init)];
    // A process without CAP_SYS_RESOURCE, such as one in a sandbox, is not allowed to lower its score.
    let attempt = "echo -999 > /proc/self/oom_score_adj && cat /proc/self/oom_score_adj";
    let is_allowed = Command::new("sh").args(["-c", attempt]).run().status == 0;
    assert_eq!(found, if is_allowed { ["-500", "-999", "0"] } else { ["0", "0", "0"] });
    assert_eq!(bed.ok(["exec", "box", "cat", "/proc/self/oom_score_adj"]), "0");
}

#[test]
fn images_are_unpacked_and_containers_run_without_any_helper() {
    let traps = tempfile::tempdir().expect("create a directory");
    let mark = traps.path().join("was-run");
    for helper in
        ["unpigz", "gzip", "gunzip", "zstd", "xz", "tar", "sh", "nft", "iptables", "ip", "mount", "runc"]
    {
        let path = traps.path().join(helper);
        fs::write(&path, format!("#!/bin/sh\necho {helper} >> {}\n", mark.display())).expect("write a trap");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make a trap executable");
    }
    let path = traps.path().to_str().expect("a path");
    let bed = Bed::with(builder().env("PATH", path), Client::Corten);
    let image = Image::new(json!({}), Layer::new().file("bin/gzip", 0o755, b"#!/bin/sh\n"));
    bed.engine.load_archive(&image.oci_layout("gzip:1", Compression::Gzip));
    bed.engine.load_archive(&image.oci_layout("zstd:1", Compression::Zstd));
    let registry = Registry::start();
    let reference =
        registry.push(&format!("docker-archive:{}", Base::Busybox.archive().display()), "busybox:1");
    bed.ok(["pull", &reference]);
    let port = format!("127.0.0.1:{}:80", testkit::registry::free_port());
    assert_eq!(bed.sh(&["-p", &port, "-u", "tester", "-v", "data:/data"], "id -un"), "tester");
    let helpers = fs::read_to_string(&mark).unwrap_or_default();
    assert_eq!(helpers, "", "helpers that were run");
}
