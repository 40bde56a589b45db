//! Whatever a file can be survives the way through registries and archives, to the byte.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};
use serde_json::json;
use testkit::archive::{Compression, Image, Layer, digest};
use testkit::cli::Command;
use testkit::registry::Registry;
use testkit::{Bed, Client};

use super::check::tree_of_top_layer;
use crate::CORTEN;
use crate::images::on_busybox;

const LIMIT: Duration = Duration::from_secs(180);
const ENTRIES: usize = 100_000;

/// `cap_net_raw+ep`, as the kernel keeps it (version 2, with the effective bit).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Everything that an archive of an image can say of a file.
fn make_tree(root: &Path) -> std::io::Result<()> {
    let path = |name: &str| root.join(name);
    fs::create_dir_all(path("folder/deeper"))?;
    fs::set_permissions(path("folder"), fs::Permissions::from_mode(0o1777))?;
    fs::write(path("folder/program"), vec![7; 100_000])?;
    fs::hard_link(path("folder/program"), path("folder/deeper/twin"))?;
    chown(path("folder/program"), Some(1234), Some(5_000_000))?;
    fs::set_permissions(path("folder/program"), fs::Permissions::from_mode(0o6755))?;
    rustix::fs::setxattr(path("folder/program"), "security.capability", &CAPABILITY, XattrFlags::empty())?;
    rustix::fs::setxattr(path("folder"), "user.note", b"a\0b\n", XattrFlags::empty())?;
    symlink("../../no/such\nplace", path("folder/symlink"))?;
    let sparse = File::create(path("sparse"))?;
    sparse.set_len(50 << 20)?;
    sparse.write_at(b"in the middle", 20 << 20)?;
    fs::write(path(&"n".repeat(255)), "255 bytes")?;
    fs::write(path("grüße-日本語-🦀"), "UTF-8")?;
    fs::write(path(" blank\ttab"), "")?;
    let device = rustix::fs::makedev(1, 3);
    let (folder, mode) = (rustix::fs::CWD, Mode::from_raw_mode(0o640));
    rustix::fs::mknodat(folder, path("null"), FileType::CharacterDevice, mode, device)?;
    rustix::fs::mknodat(folder, path("pipe"), FileType::Fifo, mode, 0)?;
    for name in ["folder/program", "folder/symlink", "sparse", "null"] {
        let moment = Timespec { tv_sec: 1_234_567_890, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: moment, last_modification: moment };
        rustix::fs::utimensat(folder, path(name), &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

fn tar(tree: &Path) -> Vec<u8> {
    let flags = ["--create", "--format=pax", "--xattrs", "--xattrs-include=*", "--sparse", "--numeric-owner"];
    Command::new("tar")
        .args(flags)
        .arg("--directory")
        .arg(tree)
        .arg(".")
        .limit(LIMIT)
        .run()
        .expect_ok()
        .stdout
}

/// What each name in a tree is, in all that is to survive.
fn describe(tree: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).expect("list a folder").map(|entry| entry.expect("an entry").path())
        {
            if path.symlink_metadata().expect("look at an entry").is_dir() {
                folders.push(path.clone());
            }
            found.insert(
                path.strip_prefix(tree).expect("it is in the tree").to_owned(),
                describe_entry(&path),
            );
        }
    }
    found
}

fn describe_entry(path: &Path) -> String {
    let metadata = path.symlink_metadata().expect("look at an entry");
    let content = match FileType::from_raw_mode(metadata.mode()) {
        FileType::RegularFile => digest(&fs::read(path).expect("read a file")),
        FileType::Symlink => format!("{:?}", fs::read_link(path).expect("read a link")),
        _ => String::new(),
    };
    // A folder's links are its folders, and its length is the file system's matter.
    let (links, size) = if metadata.is_dir() { (0, 0) } else { (metadata.nlink(), metadata.len()) };
    let time = (metadata.mtime(), metadata.mtime_nsec());
    format!(
        "{:o} {}:{} {links} {size} {:x} {time:?} {:?} {content}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev(),
        attributes(path)
    )
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut list[..]).expect("list attributes");
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("read an attribute");
        value.truncate(length);
        value
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(name))).collect()
}

fn assert_same(found: &BTreeMap<PathBuf, String>, expected: &BTreeMap<PathBuf, String>) {
    for (path, expected) in expected {
        assert_eq!(found.get(path), Some(expected), "{}", path.display());
    }
    assert_eq!(found.len(), expected.len(), "{:?}", found.keys());
}

/// Space that a file takes on the disk.
fn occupied(path: &Path) -> u64 {
    fs::metadata(path).expect("look at a file").blocks() * 512
}

#[test]
fn every_kind_of_file_survives_registries_archives_and_export() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let tree = bed.engine.directory().join("tree");
    make_tree(&tree).expect("make a tree");
    let expected = describe(&tree);
    let image = on_busybox(json!({"Cmd": ["sh"]}), vec![tar(&tree)]);
    let registry = Registry::start();
    for compression in Compression::ALL {
        let tag = format!("all:{}", format!("{compression:?}").to_lowercase());
        let reference = registry.push_archive("oci-archive", &image.oci_layout("all:1", compression), &tag);
        bed.cli(["pull", "-q", &reference]).limit(LIMIT).run().expect_ok();
        let pulled = tree_of_top_layer(&bed, &reference);
        assert_same(&describe(&pulled), &expected);
        assert!(occupied(&pulled.join("sparse")) < 1 << 20, "holes are holes");

        let target = registry.reference(&format!("on:{}", format!("{compression:?}").to_lowercase()));
        bed.ok(["tag", &reference, &target]);
        bed.cli(["push", "-q", &target]).limit(LIMIT).run().expect_ok();
        bed.ok(["rmi", &reference, &target]);
        bed.cli(["pull", "-q", &target]).limit(LIMIT).run().expect_ok();
        assert_same(&describe(&tree_of_top_layer(&bed, &target)), &expected);
        assert_same(&exported(&bed, &target, &expected), &expected);
        bed.ok(["rmi", &target]);
    }
}

/// What of `wanted` a container's `export` has.
fn exported(bed: &Bed, image: &str, wanted: &BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    let (archive, tree) =
        (bed.engine.directory().join("export.tar"), bed.engine.directory().join("exported"));
    bed.ok(["create", "--name", "box", image]);
    bed.cli(["export", "-o"]).arg(&archive).arg("box").limit(LIMIT).run().expect_ok();
    bed.ok(["rm", "box"]);
    fs::create_dir(&tree).expect("make a folder");
    let flags = ["--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-permissions"];
    let extract = Command::new("tar").args(flags).arg("--file").arg(&archive).arg("--directory").arg(&tree);
    extract.limit(LIMIT).run().expect_ok();
    let found = describe(&tree);
    fs::remove_dir_all(&tree).expect("remove a tree");
    found.into_iter().filter(|(path, _)| wanted.contains_key(path)).collect()
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_is_below_and_nothing_else() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let below = Layer::new()
        .directory("a/", 0o755)
        .file("a/gone", 0o644, b"1")
        .file("a/stays", 0o644, b"2")
        .directory("b/", 0o755)
        .file("b/hidden", 0o644, b"3")
        .directory("b/folder/", 0o755)
        .file("b/folder/hidden", 0o644, b"4");
    let above = Layer::new()
        .file("a/.wh.gone", 0o644, b"")
        .directory("b/", 0o755)
        .file("b/.wh..wh..opq", 0o644, b"")
        .file("b/new", 0o644, b"5");
    let script = "cd /; busybox find a b | busybox sort | busybox xargs";
    let image: Image =
        on_busybox(json!({"Cmd": ["busybox", "sh", "-c", script]}), vec![below.finish(), above.finish()]);
    let registry = Registry::start();
    let reference = registry.push_archive("docker-archive", &image.docker_archive("wh:1"), "wh:1");
    bed.ok(["pull", "-q", &reference]);
    assert_eq!(bed.ok(["run", "--rm", &reference]), "a a/stays b b/new");
}

#[test]
fn layer_of_many_entries_is_unpacked_whole() {
    let bed = Bed::start(CORTEN.as_ref(), Client::Corten);
    let mut layer = Layer::new();
    for number in 0..ENTRIES {
        layer = layer.file(&format!("many/{}/{number}", number % 100), 0o644, b"");
    }
    let script = "busybox find /many -type f | busybox wc -l";
    let image = on_busybox(json!({"Cmd": ["busybox", "sh", "-c", script]}), vec![layer.finish()]);
    let archive = bed.engine.directory().join("many.tar");
    fs::write(&archive, image.oci_layout("docker.io/library/many:1", Compression::Zstd))
        .expect("write an archive");
    bed.cli(["load", "-q", "-i"]).arg(&archive).limit(LIMIT).run().expect_ok();
    assert_eq!(bed.ok(["run", "--rm", "many:1"]), ENTRIES.to_string());
    bed.ok(["rmi", "many:1"]);
}
