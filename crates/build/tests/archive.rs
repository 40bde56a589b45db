//! Archives of every kind, honest and hostile, into folders.

use std::fs::{self, Metadata};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use build::archive::{self, Options};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An archive, entry by entry, without the checks of the `tar` crate.
#[derive(Clone, Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn raw(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(1).expect("a number");
        header.set_device_minor(3).expect("a number");
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

    /// Records for the next entry, or for all that follow.
    fn records(self, kind: EntryType, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = 3 + key.len() + value.len();
            let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length);
            content.extend_from_slice(format!("{} {key}=", length.expect("some length")).as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.raw(kind, b"pax", b"", 0o644, &content)
    }

    fn build(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A folder to unpack to, beside something that must not change.
struct Place {
    scratch: TempDir,
    canary: String,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a folder");
        fs::create_dir(scratch.path().join("folder")).expect("a folder");
        fs::create_dir(scratch.path().join("outside")).expect("a folder");
        fs::write(scratch.path().join("outside/canary"), "untouched").expect("a file");
        let canary = state_of(scratch.path());
        Self { scratch, canary }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("folder")
    }

    fn outside(&self) -> String {
        self.scratch.path().join("outside").display().to_string()
    }

    fn unpack(&self, archive: &[u8]) -> Result<(), archive::Error> {
        let unpacked = archive::unpack(&mut { archive }, &self.folder());
        assert_eq!(state_of(self.scratch.path()), self.canary, "something outside was touched");
        unpacked
    }

    fn refused(&self, archive: Archive) -> String {
        let error = self.unpack(&archive.build()).expect_err("it is hostile");
        assert!(error.is_bad_content(), "{error}");
        error.to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder().join(name)).unwrap_or_else(|error| panic!("read {name}: {error}"))
    }

    fn meta(&self, name: &str) -> Metadata {
        fs::symlink_metadata(self.folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.folder().join(name)).is_ok()
    }
}

/// What is outside of the folder, and the folder itself: names, contents, and all that is known of them.
fn state_of(scratch: &Path) -> String {
    let mut names: Vec<_> =
        fs::read_dir(scratch).expect("list").map(|it| it.expect("a name").file_name()).collect();
    names.extend(
        fs::read_dir(scratch.join("outside")).expect("list").map(|it| it.expect("a name").file_name()),
    );
    names.sort();
    let of = |path: &str| {
        let meta = fs::symlink_metadata(scratch.join(path)).expect("it is there");
        (meta.ino(), meta.mode(), meta.uid(), meta.gid(), meta.nlink(), meta.ctime(), meta.ctime_nsec())
    };
    let folder = fs::symlink_metadata(scratch.join("folder")).expect("it is there");
    let content = fs::read(scratch.join("outside/canary")).expect("it is there");
    let kept = (folder.mode(), folder.uid(), folder.gid());
    format!("{names:?} {:?} {:?} {content:?} {kept:?}", of("outside"), of("outside/canary"))
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn compressed(program: &str, content: &[u8]) -> Vec<u8> {
    match program {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(content).expect("compress");
            encoder.finish().expect("compress")
        }
        "zstd" => zstd::encode_all(content, 1).expect("compress"),
        "bzip2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(content).expect("compress");
            encoder.finish().expect("compress")
        }
        "xz" => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).expect("a writer");
            writer.write_all(content).expect("compress");
            writer.finish().expect("compress")
        }
        _ => content.to_vec(),
    }
}

const COMPRESSIONS: [&str; 5] = ["none", "gzip", "bzip2", "xz", "zstd"];

#[test]
fn entries_of_every_kind_are_made_as_written() {
    let place = Place::new();
    // A capability set of version 2 with CAP_NET_RAW.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = "d/".repeat(60) + &"n".repeat(255);
    let archive = Archive::default()
        .records(EntryType::XGlobalHeader, &[("comment", b"0123456789012345678901234567890123456789")])
        .folder("./", 0o711)
        .folder("d", 0o2750)
        .records(
            EntryType::XHeader,
            &[
                ("uid", b"70000"),
                ("mtime", b"1234567890.5"),
                ("SCHILY.xattr.security.capability", &capability),
            ],
        )
        .raw(EntryType::Regular, b"d/tool", b"", 0o4711, b"tool")
        .hard_link("d/same", "d/tool")
        .symlink("d/link", "/etc/passwd")
        .raw(EntryType::Char, b"null", b"", 0o666, b"")
        .raw(EntryType::Fifo, b"pipe", b"", 0o620, b"")
        .records(EntryType::XHeader, &[("path", long.as_bytes()), ("SCHILY.xattr.user.note", b"a\0b")])
        .file("short", b"long")
        .raw(EntryType::Regular, b"odd-\xff", b"", 0o600, b"x")
        .file("Dockerfile", b"FROM scratch");
    place.unpack(&archive.build()).expect("it is honest");
    let tool = place.meta("d/tool");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.nlink()), (0o4711, 70_000, 1001, 2));
    assert_eq!(
        (tool.mtime(), tool.mtime_nsec(), tool.ino()),
        (1_234_567_890, 500_000_000, place.meta("d/same").ino())
    );
    assert_eq!(
        attribute(&place.folder().join("d/tool"), "security.capability").as_deref(),
        Some(&capability[..])
    );
    assert_eq!((place.meta("d").mode() & 0o7777, place.meta("d").mtime()), (0o2750, 1_000_000_000));
    assert_eq!(fs::read_link(place.folder().join("d/link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!((place.meta("d/link").uid(), place.meta("d/link").mtime()), (1000, 1_000_000_000));
    assert!(place.meta("null").file_type().is_char_device() && place.meta("null").rdev() == 0x103);
    assert!(place.meta("pipe").file_type().is_fifo() && place.meta("pipe").mode() & 0o7777 == 0o620);
    assert_eq!(place.read(&long), b"long");
    assert_eq!(attribute(&place.folder().join(&long), "user.note").as_deref(), Some(&b"a\0b"[..]));
    let odd = std::ffi::OsString::from_vec(b"odd-\xff".to_vec());
    assert_eq!(fs::read(place.folder().join(odd)).unwrap(), b"x");
    assert!(!place.has("short") && !place.has("pax"));
}

#[test]
fn names_of_whiteouts_are_names_of_files() {
    let place = Place::new();
    fs::write(place.folder().join("kept"), "kept").unwrap();
    let archive =
        Archive::default().file(".wh.kept", b"1").file("d/.wh..wh..opq", b"2").file(".wh..wh.x", b"3");
    place.unpack(&archive.build()).expect("it is honest");
    assert_eq!(place.read("kept"), b"kept");
    assert_eq!((place.read(".wh.kept"), place.read("d/.wh..wh..opq")), (b"1".to_vec(), b"2".to_vec()));
    assert_eq!(place.read(".wh..wh.x"), b"3");
}

#[test]
fn what_is_there_already_is_replaced_and_folders_are_merged() {
    let place = Place::new();
    let folder = place.folder();
    fs::create_dir_all(folder.join("both/old")).unwrap();
    fs::create_dir_all(folder.join("gone/below")).unwrap();
    fs::write(folder.join("file"), "a longer text").unwrap();
    fs::hard_link(folder.join("file"), folder.join("other")).unwrap();
    symlink("both", folder.join("link")).unwrap();
    let archive = Archive::default()
        .folder("both", 0o700)
        .file("both/new", b"new")
        .file("gone", b"a file now")
        .file("file", b"short")
        .folder("link", 0o755)
        .file("link/x", b"x");
    place.unpack(&archive.build()).expect("it is honest");
    assert!(place.has("both/old") && place.has("both/new") && !place.has("both/x"));
    assert_eq!(place.meta("both").mode() & 0o7777, 0o700);
    assert_eq!(place.read("gone"), b"a file now");
    assert_eq!((place.read("file"), place.read("other")), (b"short".to_vec(), b"a longer text".to_vec()));
    assert!(place.meta("link").is_dir());
}

#[test]
fn owner_that_is_wanted_beats_that_of_the_archive() {
    let place = Place::new();
    fs::create_dir(place.folder().join("shared")).unwrap();
    fs::set_permissions(place.folder().join("shared"), fs::Permissions::from_mode(0o2755)).unwrap();
    std::os::unix::fs::chown(place.folder().join("shared"), Some(7), Some(8)).unwrap();
    let archive = Archive::default()
        .folder("d", 0o755)
        .file("d/f", b"")
        .file("shared/f", b"")
        .symlink("l", "f")
        .build();
    let options = Options { owner: Some((0, 0)) };
    archive::unpack_with(&mut &archive[..], &place.folder(), options).expect("it is honest");
    for name in ["d", "d/f", "l", "shared/f"] {
        assert_eq!((place.meta(name).uid(), place.meta(name).gid()), (0, 0), "{name}");
    }
    assert_eq!((place.meta("shared").uid(), place.meta("shared").gid()), (7, 8));
}

#[test]
fn archives_are_told_from_other_files_by_what_is_in_them() {
    let tar = Archive::default().file("a", b"content").build();
    let large = Archive::default().file("a", &vec![7; 2 << 20]).build();
    let v7 = {
        let mut header = Header::new_old();
        header.set_path("old").unwrap();
        header.set_size(0);
        header.set_cksum();
        [header.as_bytes(), &[0; 1024][..]].concat()
    };
    for compression in COMPRESSIONS {
        for honest in [&tar, &large, &v7] {
            let bytes = compressed(compression, honest);
            assert!(archive::is_archive(&bytes), "{compression}");
            assert!(archive::is_archive_file(&mut &bytes[..]), "{compression}");
            let place = Place::new();
            place.unpack(&bytes).unwrap_or_else(|error| panic!("{compression}: {error}"));
        }
        for other in [&b"some text"[..], b"", &[0; 10240], &[b'a'; 4096]] {
            assert!(!archive::is_archive(&compressed(compression, other)), "{compression}: {other:?}");
        }
    }
    for other in [&b"\x1f\x8b\x08"[..], b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", &tar[..511]] {
        assert!(!archive::is_archive(other), "{other:?}");
    }
    let mut damaged = tar.clone();
    damaged[0] ^= 1;
    assert!(!archive::is_archive(&damaged));
}

#[test]
fn archive_that_is_cut_off_is_an_error() {
    let whole = Archive::default().file("a", &vec![1; 3000]).file("b", b"x").build();
    for compression in COMPRESSIONS {
        let bytes = compressed(compression, &whole);
        let cuts: Vec<usize> = match compression {
            // At 4608 only the end would be missing, which some programs do not write.
            "none" => vec![100, 513, 3583, 4000, 4607],
            _ => (12..bytes.len()).step_by(3).collect(),
        };
        for cut in cuts {
            let place = Place::new();
            let error = place.unpack(&bytes[..cut]).expect_err("it is cut off");
            assert!(error.is_bad_content(), "{compression} at {cut}: {error}");
            assert!(!error.to_string().is_empty());
        }
    }
    let place = Place::new();
    let error = place.unpack(&whole[..4000]).unwrap_err().to_string();
    assert_eq!(error, "unexpected end of archive");
    let error = place.unpack(&[b'x'; 1024]).unwrap_err().to_string();
    assert_eq!(error, "invalid tar header at byte 0");
    let missing = archive::unpack(&mut &whole[..], &place.folder().join("none")).unwrap_err();
    assert!(missing.to_string().ends_with("No such file or directory (os error 2)"), "{missing}");
}

#[test]
fn all_of_what_is_sent_is_read() {
    let place = Place::new();
    let mut bytes = Archive::default().file("a", b"x").build();
    bytes.resize(bytes.len() + (1 << 20), 0);
    for compression in ["none", "gzip"] {
        let mut sent = compressed(compression, &bytes);
        sent.extend_from_slice(&[0; 5000]);
        let mut reader = &sent[..];
        archive::unpack(&mut reader, &place.folder()).expect("it is honest");
        assert!(reader.is_empty(), "{compression}: {} bytes are left", reader.len());
    }
}

#[test]
fn sparse_files_stay_sparse() {
    let place = Place::new();
    let source = tempfile::tempdir().unwrap();
    let file = fs::File::create(source.path().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"end", (64 << 20) - 3).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=1.0"],
        &["--format=pax", "--sparse-version=0.1"],
    ] {
        let mut tar = Command::new("tar");
        let tar =
            tar.args(["--create", "--sparse", "--directory"]).arg(source.path()).args(format).arg("sparse");
        let bytes = tar.output().expect("run tar").stdout;
        assert!(bytes.len() < 1 << 20, "{format:?}");
        place.unpack(&bytes).expect("it is honest");
        let meta = place.meta("sparse");
        assert!(meta.len() == 64 << 20 && meta.blocks() < 2048, "{format:?}: {} blocks", meta.blocks());
        assert!(place.read("sparse").ends_with(b"\0end"), "{format:?}");
    }
}

#[test]
fn hostile_names_and_links_stay_inside() {
    let place = Place::new();
    let outside = place.outside();
    assert_eq!(
        place.refused(Archive::default().file("../outside/canary", b"evil")),
        "invalid path \"../outside/canary\" in archive: it leaves the archive's root"
    );
    assert!(
        place
            .refused(Archive::default().file("a/../../outside/x", b""))
            .contains("leaves the archive's root")
    );
    assert!(
        place
            .refused(Archive::default().hard_link("x", "../outside/canary"))
            .contains("leaves the archive's root")
    );
    assert!(
        place
            .refused(Archive::default().hard_link("x", &format!("{outside}/canary")))
            .starts_with("make hard link")
    );
    // An absolute name is one in the folder.
    place.unpack(&Archive::default().file("/abs", b"in").build()).expect("it is contained");
    assert_eq!(place.read("abs"), b"in");
    // So are links that point outside, which end where nothing is.
    let through = |link: &str| Archive::default().symlink("out", link).file("out/x", b"evil").build();
    let _ = place.unpack(&through(&outside));
    let _ = place.unpack(&through("../outside"));
    let _ = place.unpack(&through("/"));
    assert_eq!(place.read("x"), b"evil");
    let replaced =
        Archive::default().symlink("canary", &format!("{outside}/canary")).file("canary", b"evil").build();
    place.unpack(&replaced).expect("the link is replaced");
    assert_eq!(place.read("canary"), b"evil");
    let changed =
        Archive::default().symlink("d", "../outside").folder("d", 0o777).file("d/canary", b"evil").build();
    place.unpack(&changed).expect("the link is replaced");
}

#[test]
fn links_that_were_there_before_lead_nowhere_else() {
    let place = Place::new();
    symlink(place.outside(), place.folder().join("out")).unwrap();
    symlink("../outside", place.folder().join("up")).unwrap();
    for name in ["out/canary", "up/canary", "out/new"] {
        let _ = place.unpack(&Archive::default().file(name, b"evil").build());
        let _ = place.unpack(&Archive::default().hard_link("mine", name).build());
        let _ = place.unpack(&Archive::default().folder(name, 0o777).build());
    }
}

/// Something that can be in an archive.
#[derive(Clone, Debug)]
enum Item {
    File(Vec<u8>, u32),
    Folder(u32),
    Link(String),
}

fn items() -> impl Strategy<Value = Vec<(String, Item)>> {
    let name = "[a-c]{1,2}(/[a-c]{1,2}){0,3}";
    let mode = 0u32..0o10000;
    let item = prop_oneof![
        (proptest::collection::vec(any::<u8>(), 0..2000), mode.clone())
            .prop_map(|(content, mode)| Item::File(content, mode)),
        mode.prop_map(Item::Folder),
        "(\\.\\./){0,4}(/?[a-c/.]{1,8})".prop_map(Item::Link),
    ];
    proptest::collection::vec((name, item), 0..12)
}

fn write(items: &[(String, Item)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (number, (name, item)) in items.iter().enumerate() {
        let mut header = Header::new_gnu();
        header.set_mtime(1_000_000 + number as u64);
        header.set_size(0);
        let written = match item {
            Item::File(content, mode) => {
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, &content[..])
            }
            Item::Folder(mode) => {
                header.set_mode(*mode);
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, name, &[][..])
            }
            Item::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_link_name_literal(target).expect("it is short");
                builder.append_data(&mut header, name, &[][..])
            }
        };
        written.expect("write to memory");
    }
    builder.into_inner().expect("write to memory")
}

proptest! {
    #[test]
    fn what_is_written_is_unpacked(items in items(), compression in 0usize..5) {
        // One name each, and none below what is no folder, so that each is there in the end.
        let mut kept: Vec<(String, Item)> = Vec::new();
        for (name, item) in items {
            let is_below = |(other, made): &(String, Item)| {
                let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
                *other == name
                    || below(&name, other) && !matches!(made, Item::Folder(_))
                    || below(other, &name)
            };
            if !kept.iter().any(is_below) {
                kept.push((name, item));
            }
        }
        let place = Place::new();
        let archive = write(&kept);
        place.unpack(&compressed(COMPRESSIONS[compression], &archive)).unwrap();
        for (number, (name, item)) in kept.iter().enumerate() {
            let meta = place.meta(name);
            let mode = meta.mode() & 0o7777;
            prop_assert_eq!(meta.mtime(), 1_000_000 + number as i64, "{}", name);
            match item {
                Item::File(content, wanted) => prop_assert_eq!((&place.read(name), mode), (content, *wanted)),
                Item::Folder(wanted) => prop_assert!(meta.is_dir() && mode == *wanted, "{} {:o}", name, mode),
                Item::Link(target) => {
                    let link = fs::read_link(place.folder().join(name)).unwrap();
                    prop_assert_eq!(link.as_os_str().as_bytes(), target.as_bytes());
                }
            }
        }
    }

    #[test]
    fn no_archive_touches_anything_outside(items in items(), damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4)) {
        let place = Place::new();
        let mut archive = write(&items);
        for (at, byte) in damage {
            let at = at % archive.len().max(1);
            archive[at] = byte;
            // With sums that fit, so that the change is seen by what reads the fields.
            let start = at / 512 * 512;
            let mut header = Header::from_byte_slice(&archive[start..start + 512]).clone();
            if archive[start + 257..start + 262] == *b"ustar" {
                header.set_cksum();
                archive[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        let _ = place.unpack(&archive);
    }
}

#[test]
fn reader_that_fails_is_told_from_an_archive_that_is_bad() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let place = Place::new();
    let bytes = Archive::default().file("a", &[1; 3000]).build();
    let error = archive::unpack(&mut (&bytes[..1000]).chain(Broken), &place.folder()).unwrap_err();
    assert!(!error.is_bad_content() && error.to_string().contains("connection reset"), "{error}");
}
