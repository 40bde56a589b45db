//! Layers of every kind, honest and hostile, through the store.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use image::{ImageStore, Loaded};
use oci::Digest;
use proptest::prelude::*;
use support::{Scratch, no_users, pack, save, save_with};
use tar::EntryType;

const CREATED: &str = "2024-01-01T00:00:00Z";

/// A layer, entry by entry, without the checks of the `tar` crate.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn raw(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        for (flag, long) in [(EntryType::GNULongName, name), (EntryType::GNULongLink, link)] {
            if long.len() > 100 {
                self = self.raw(flag, b"././@LongLink", b"", 0, long);
            }
        }
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.as_mut_bytes()[157..157 + link.len().min(100)].copy_from_slice(&link[..link.len().min(100)]);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.raw(EntryType::Regular, name.as_bytes(), b"", 0o644, content)
    }

    fn folder(self, name: &str, mode: u32) -> Self {
        self.raw(EntryType::Directory, name.as_bytes(), b"", mode, b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(EntryType::Symlink, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(EntryType::Link, name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = 3 + key.len() + value.len();
            let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).unwrap();
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.raw(EntryType::XHeader, b"pax", b"", 0o644, &content)
    }

    fn build(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn try_load(store: &ImageStore, layers: &[Vec<u8>]) -> Result<Vec<Loaded>, image::Error> {
    store.load(&save("app:1", CREATED, &BTreeMap::new(), layers)[..], &[])
}

/// The tree of the one layer.
fn tree(store: &ImageStore, layer: Layer) -> PathBuf {
    let loaded = try_load(store, &[layer.build()]).unwrap();
    store.prepare("c", &loaded[0].image).unwrap().lower.remove(0)
}

fn refused(layer: Layer) -> String {
    let scratch = Scratch::new();
    let store = scratch.open();
    let error = try_load(&store, &[layer.build()]).unwrap_err();
    assert_eq!(scratch.files(), Vec::<String>::new());
    error.to_string()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn entries_of_every_kind_are_made_as_written() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let long = "n".repeat(255);
    let layer = Layer::default()
        .folder("./", 0o755)
        .folder("d", 0o2750)
        .pax(&[
            ("uid", b"70000"),
            ("gid", b"12"),
            ("mtime", b"1234567890.5"),
            ("SCHILY.xattr.user.note", b"a\0b"),
        ])
        .raw(EntryType::Regular, b"d/tool", b"", 0o4711, b"tool")
        .hard_link("d/same", "./d/tool")
        .symlink("d/link", "/etc/passwd")
        .raw(EntryType::Char, b"null", b"", 0o666, b"")
        .raw(EntryType::Block, b"block", b"", 0o600, b"")
        .raw(EntryType::Fifo, b"pipe", b"", 0o620, b"")
        .raw(EntryType::Regular, b"odd-\xff\xfe", b"", 0o600, b"x")
        .file(&format!("deep/er/{long}"), b"y");
    let tree = tree(&store, layer);
    let meta = |name: &str| std::fs::symlink_metadata(tree.join(name)).unwrap();
    let tool = meta("d/tool");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.nlink()), (0o4711, 70_000, 12, 2));
    assert_eq!((tool.mtime(), tool.mtime_nsec()), (1_234_567_890, 500_000_000));
    assert_eq!(attribute(&tree.join("d/tool"), "user.note").as_deref(), Some(&b"a\0b"[..]));
    assert_eq!(tool.ino(), meta("d/same").ino());
    assert_eq!((meta("d").mode() & 0o7777, meta("d").mtime()), (0o2750, 1_000_000_000));
    assert_eq!(std::fs::read_link(tree.join("d/link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(meta("d/link").mtime(), 1_000_000_000);
    assert!(meta("null").file_type().is_char_device() && meta("null").rdev() == rustix::fs::makedev(1, 3));
    assert!(meta("block").file_type().is_block_device());
    assert!(meta("pipe").file_type().is_fifo() && meta("pipe").mode() & 0o7777 == 0o620);
    assert!(tree.join(std::ffi::OsStr::from_bytes(b"odd-\xff\xfe")).exists());
    assert_eq!((meta("deep").mode() & 0o7777, meta("deep/er").uid()), (0o755, 0));
    assert_eq!(std::fs::read(tree.join("deep/er").join(long)).unwrap(), b"y");
    let image = store.resolve("app:1").unwrap();
    assert_eq!(image.size, 6);
}

#[test]
fn whiteouts_become_overlayfs_whiteouts() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let layer = Layer::default()
        .folder("d", 0o755)
        .file("d/.wh..wh..opq", b"")
        .file("d/kept", b"1")
        .file("e/.wh.gone", b"")
        .file(".wh.replaced", b"")
        .folder("replaced", 0o755)
        .file(".wh..wh.plnk", b"")
        .file("late/new", b"1")
        .file(".wh.late", b"");
    let tree = tree(&store, layer);
    let opaque = |name: &str| attribute(&tree.join(name), "trusted.overlay.opaque");
    assert_eq!(opaque("d").as_deref(), Some(&b"y"[..]));
    assert!(tree.join("d/kept").exists() && !tree.join("d/.wh..wh..opq").exists());
    let gone = std::fs::symlink_metadata(tree.join("e/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(opaque("replaced").as_deref(), Some(&b"y"[..]));
    assert_eq!(opaque("late").as_deref(), Some(&b"y"[..]));
    assert!(tree.join("late/new").exists());
    assert!(!tree.join(".wh..wh.plnk").exists());
}

#[test]
fn overlay_attributes_of_a_layer_are_not_taken() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let records: [(&str, &[u8]); 2] = [
        ("SCHILY.xattr.trusted.overlay.redirect", b"/secret"),
        ("SCHILY.xattr.security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    let tree = tree(&store, Layer::default().pax(&records).file("f", b""));
    assert_eq!(attribute(&tree.join("f"), "trusted.overlay.redirect"), None);
    assert_eq!(attribute(&tree.join("f"), "security.capability").unwrap().len(), 20);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let layer = Layer::default()
        .file("a", b"1")
        .file("a", b"22")
        .file("d/x", b"1")
        .file("d", b"file now")
        .file("l", b"1")
        .folder("l", 0o700)
        .file("l/in", b"1")
        .folder("l", 0o711)
        .file("self", b"1")
        .hard_link("self", "self");
    let tree = tree(&store, layer);
    assert_eq!(std::fs::read(tree.join("a")).unwrap(), b"22");
    assert_eq!(std::fs::read(tree.join("d")).unwrap(), b"file now");
    assert!(tree.join("l/in").exists());
    assert_eq!(std::fs::metadata(tree.join("l")).unwrap().mode() & 0o777, 0o711);
    assert_eq!(std::fs::read(tree.join("self")).unwrap(), b"1");
}

#[test]
fn names_through_links_stay_inside() {
    let scratch = Scratch::new();
    let store = scratch.open();
    std::fs::write(scratch.path().join("canary"), b"alive").unwrap();
    let outside = scratch.path().to_str().unwrap().to_owned();
    let layer = Layer::default()
        .folder("etc", 0o755)
        .symlink("abs", "/etc")
        .file("abs/one", b"1")
        .symlink("up", "../../../../../../../../etc")
        .file("up/two", b"2")
        .symlink("out", &outside)
        .folder(outside.trim_start_matches('/'), 0o755)
        .file("out/canary", b"dead")
        .file("/absolute", b"3");
    let tree = tree(&store, layer);
    assert_eq!(std::fs::read(tree.join("etc/one")).unwrap(), b"1");
    assert_eq!(std::fs::read(tree.join("etc/two")).unwrap(), b"2");
    assert_eq!(std::fs::read(tree.join("absolute")).unwrap(), b"3");
    assert_eq!(std::fs::read(scratch.path().join("canary")).unwrap(), b"alive");
    assert!(!Path::new("/etc/one").exists() && !Path::new("/absolute").exists());
}

#[test]
fn sparse_files_of_every_form_have_their_holes() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let source = scratch.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let file = std::fs::File::create(source.join("sparse")).unwrap();
    for piece in 0..30u64 {
        rustix::io::pwrite(&file, b"data", piece << 20).unwrap();
    }
    file.set_len(64 << 20).unwrap();
    let expected = Digest::of(&std::fs::read(source.join("sparse")).unwrap());
    let forms: [&[&str]; 4] = [
        &["--format=gnu"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ];
    for (number, form) in forms.iter().enumerate() {
        let mut command = std::process::Command::new("tar");
        command.args(["-S", "-c", "-C"]).arg(&source).args(*form).arg("sparse");
        let layer = command.output().unwrap().stdout;
        assert!(layer.len() < 1 << 20, "{form:?}: tar did not see the holes");
        let loaded = try_load(&store, &[layer]).unwrap();
        let tree = store.prepare(&format!("c{number}"), &loaded[0].image).unwrap().lower.remove(0);
        let content = std::fs::read(tree.join("sparse")).unwrap();
        assert_eq!(Digest::of(&content), expected, "{form:?}");
        assert!(std::fs::metadata(tree.join("sparse")).unwrap().blocks() * 512 < 8 << 20, "{form:?}");
    }
}

#[test]
fn hostile_layers_are_refused_by_name_and_leave_nothing() {
    assert!(
        refused(Layer::default().file("../evil", b""))
            .contains("\"../evil\" in archive: it leaves the archive's root")
    );
    assert!(refused(Layer::default().file("a/../../evil", b"")).contains("leaves the archive's root"));
    assert!(
        refused(Layer::default().hard_link("x", "../../etc/shadow")).contains("leaves the archive's root")
    );
    assert!(refused(Layer::default().hard_link("x", "/etc/shadow")).contains("make hard link \"x\""));
    assert!(refused(Layer::default().file(".wh...", b"")).contains("invalid whiteout"));
    assert!(refused(Layer::default().file("d/.wh..", b"")).contains("invalid whiteout"));
    assert!(refused(Layer::default().file(".wh.", b"")).contains("invalid whiteout"));
    assert!(refused(Layer::default().pax(&[("path", b"a\0b")]).file("x", b"")).contains("invalid path"));
    assert!(refused(Layer::default().symlink("loop", "loop").file("loop/x", b"")).contains("loop/x"));
    assert!(
        refused(Layer::default().raw(EntryType::Symlink, b".", b"x", 0, b"")).contains("invalid path \".\"")
    );
    assert!(
        refused(Layer::default().raw(EntryType::new(b'Z'), b"z", b"", 0, b""))
            .contains("unsupported tar entry")
    );
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let refuse = |archive: &[u8]| {
        let error = store.load(archive, &[]).unwrap_err().to_string();
        assert_eq!(scratch.files(), Vec::<String>::new(), "{error}");
        error
    };
    let layer = Layer::default().file("f", b"x").build();
    let good = save("app:1", CREATED, &BTreeMap::new(), std::slice::from_ref(&layer));
    let lying = save_with(
        "app:1",
        CREATED,
        &BTreeMap::new(),
        std::slice::from_ref(&layer),
        &[Digest::of(b"").to_string()],
    );
    assert!(refuse(&lying).contains("layer verification failed"));
    assert!(refuse(&good[..good.len() / 2]).contains("unexpected end of archive"));
    assert!(refuse(b"").contains("does not contain a manifest.json"));
    assert!(refuse(b"neither tar nor anything else").contains("unexpected end of archive"));
    assert!(refuse(&[7u8; 2048]).contains("invalid tar header"));
    assert!(refuse(&pack(&[("x".into(), b"y")])).contains("does not contain a manifest.json"));
    assert!(refuse(&pack(&[("manifest.json".into(), b"[]")])).contains("lists no image"));
    let missing = br#"[{"Config":"no.json","RepoTags":["a"],"Layers":[]}]"#;
    assert!(refuse(&pack(&[("manifest.json".into(), missing)])).contains("\"no.json\" is not in it"));
    let outside = br#"[{"Config":"../../etc/passwd","RepoTags":["a"],"Layers":[]}]"#;
    assert!(refuse(&pack(&[("manifest.json".into(), outside)])).contains("leaves it"));
    let linked = Layer::default().symlink("manifest.json", "/etc/passwd").build();
    assert!(refuse(&linked).contains("does not contain a manifest.json"));
    let unknown = save("Bad Name", CREATED, &BTreeMap::new(), &[layer]);
    assert!(refuse(&unknown).contains("must be lowercase"));
}

#[test]
fn archive_compressed_either_way_or_cut_off_is_told() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let plain = save("app:1", CREATED, &BTreeMap::new(), &[Layer::default().file("f", b"x").build()]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    let mut ids = Vec::new();
    for archive in [&plain, &gzip, &zstd] {
        let loaded = store.load(&archive[..], &[]).unwrap();
        assert_eq!(loaded[0].reference.as_ref().unwrap().familiar(), "app:1");
        ids.push(loaded[0].image.clone());
        store.remove("app:1", image::Force::No, &no_users).unwrap();
        // Of a plain archive the last bytes are only padding.
        let cut = store.load(&archive[..archive.len() - 30], &[]);
        assert_eq!(cut.is_ok(), archive == &plain);
        if cut.is_ok() {
            store.remove("app:1", image::Force::No, &no_users).unwrap();
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    store.settle().unwrap();
    assert_eq!(scratch.files(), Vec::<String>::new());
}

#[test]
fn oci_layout_is_loaded_by_platform_with_name_and_manifest() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let archive = scratch.path().join("docker.tar");
    std::fs::write(
        &archive,
        save("app:1", CREATED, &BTreeMap::new(), &[Layer::default().file("f", b"x").build()]),
    )
    .unwrap();
    let layout = scratch.path().join("oci.tar");
    let status = std::process::Command::new("skopeo")
        .args(["copy", "--quiet", "--insecure-policy"])
        .arg(format!("docker-archive:{}", archive.display()))
        .arg(format!("oci-archive:{}:example.com/app:2", layout.display()))
        .status()
        .unwrap();
    assert!(status.success());
    let mut content = Vec::new();
    std::fs::File::open(&layout).unwrap().read_to_end(&mut content).unwrap();
    let loaded = store.load(&content[..], &[]).unwrap();
    let image = store.resolve("example.com/app:2").unwrap();
    assert_eq!(image.id, loaded[0].image);
    let manifest = image.manifest.unwrap();
    assert_eq!(Digest::of(&store.blob(&manifest.digest).unwrap()), manifest.digest);
}

#[derive(Clone, Debug)]
enum Item {
    File(String),
    Folder(String),
    Symlink(String, String),
    HardLink(String, String),
}

fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("".to_owned()),
        Just(".wh.a".to_owned()),
        Just(".wh..wh..opq".to_owned()),
        "[abc]",
        "[abc]",
        "[abc]",
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        name(),
        name().prop_map(|name| format!("/{name}")),
        Just("../../../canary".to_owned()),
        Just("../../../../canary".to_owned()),
        Just("../../../../../canary".to_owned())
    ]
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        name().prop_map(Item::File),
        name().prop_map(Item::Folder),
        (name(), target()).prop_map(|(name, target)| Item::Symlink(name, target)),
        (name(), target()).prop_map(|(name, target)| Item::HardLink(name, target)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn layer_of_random_names_never_touches_what_is_outside(items in proptest::collection::vec(item(), 1..16)) {
        let scratch = Scratch::new();
        let store = scratch.open();
        let canary = scratch.path().join("canary");
        std::fs::create_dir(&canary).unwrap();
        std::fs::write(canary.join("a"), b"alive").unwrap();
        let before = std::fs::metadata(canary.join("a")).unwrap();
        let mut layer = Layer::default();
        for item in &items {
            layer = match item {
                Item::File(name) => layer.file(name, b"dead"),
                Item::Folder(name) => layer.folder(name, 0o777),
                Item::Symlink(name, target) => layer.symlink(name, target),
                Item::HardLink(name, target) => layer.hard_link(name, target),
            };
        }
        let _ = try_load(&store, &[layer.build()]);
        let after = std::fs::metadata(canary.join("a")).unwrap();
        prop_assert_eq!(std::fs::read(canary.join("a")).unwrap(), b"alive");
        prop_assert_eq!((before.ino(), before.nlink(), before.mode()), (after.ino(), after.nlink(), after.mode()));
        prop_assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 1);
        let names: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        prop_assert_eq!(names.len(), 2);
    }
}
