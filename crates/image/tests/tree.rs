//! Writable layers compared with their images, and trees as archives. Needs root: overlays are mounted, attached nowhere.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ChangeKind, ImageStore, OverlayParts};
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev};
use support::{Archive, Scratch};
use sys::mount::{Attributes, Context};

/// A container's root file system.
struct Mounted(OwnedFd);

impl Mounted {
    fn writable(parts: &OverlayParts) -> Self {
        let context = Context::open("overlay").unwrap();
        context.set("source", "overlay").unwrap();
        sys::overlay::append(&context, &parts.lower).unwrap();
        context.set("upperdir", &parts.upper).unwrap();
        context.set("workdir", &parts.work).unwrap();
        Self(context.mount(Attributes::empty()).unwrap().into())
    }

    fn at(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{path}", self.0.as_raw_fd()))
    }
}

fn snapshot(scratch: &Scratch, archive: Archive) -> (ImageStore, OverlayParts) {
    let store = scratch.open();
    let image = scratch.load(&store, archive).remove(0).image;
    let parts = store.prepare("box", &image).unwrap();
    (store, parts)
}

fn changes(store: &ImageStore) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    let found = store.changes("box").unwrap();
    found.iter().map(|it| format!("{} {}", letter(it.kind), String::from_utf8_lossy(&it.path))).collect()
}

fn two_layers() -> Archive {
    Archive::new("two:1")
        .file("a/keep", b"1")
        .file("a/change", b"1")
        .file("a/gone", b"1")
        .file("b/inner/deep", b"1")
        .file("kind", b"1")
        .layer()
        .file("a/.wh.gone", b"")
        .file("b/upper", b"2")
        .file("c/file", b"2")
}

#[test]
fn container_that_never_ran_has_no_changes() {
    let scratch = Scratch::new();
    let (store, _) = snapshot(&scratch, two_layers());
    assert_eq!(changes(&store), Vec::<String>::new());
}

#[test]
fn changes_are_told_relative_to_what_the_image_shows() {
    let scratch = Scratch::new();
    let (store, parts) = snapshot(&scratch, two_layers());
    let root = Mounted::writable(&parts);
    fs::write(root.at("a/change"), "2").unwrap();
    fs::write(root.at("a/gone"), "again").unwrap();
    fs::remove_file(root.at("c/file")).unwrap();
    fs::create_dir(root.at("new")).unwrap();
    fs::write(root.at("new/file"), "").unwrap();
    // A file that became a folder.
    fs::remove_file(root.at("kind")).unwrap();
    fs::create_dir(root.at("kind")).unwrap();
    let expected =
        ["C /a", "A /a/gone", "C /a/change", "C /c", "D /c/file", "C /kind", "A /new", "A /new/file"];
    let mut expected = expected.map(str::to_owned);
    expected.sort_by(|a, b| a[2..].cmp(&b[2..]));
    assert_eq!(changes(&store), expected);
}

#[test]
fn folder_that_was_made_again_lacks_what_it_had() {
    let scratch = Scratch::new();
    let (store, parts) = snapshot(&scratch, two_layers());
    let root = Mounted::writable(&parts);
    fs::remove_dir_all(root.at("b")).unwrap();
    fs::create_dir_all(root.at("b/inner")).unwrap();
    fs::write(root.at("b/new"), "").unwrap();
    assert_eq!(
        changes(&store),
        ["C /b", "C /b/inner", "D /b/inner/deep", "A /b/new", "D /b/upper"].map(str::to_owned)
    );
}

#[test]
fn folder_is_unchanged_where_only_its_files_were_written_to() {
    let scratch = Scratch::new();
    let (store, parts) = snapshot(&scratch, two_layers());
    let root = Mounted::writable(&parts);
    fs::write(root.at("b/inner/deep"), "2").unwrap();
    assert_eq!(changes(&store), ["C /b/inner/deep".to_owned()]);
    fs::set_permissions(root.at("b"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(changes(&store), ["C /b".to_owned(), "C /b/inner/deep".to_owned()]);
}

/// A tree with everything that a file system keeps.
fn make_everything(root: &Path) {
    let at = |path: &str| root.join(path);
    fs::create_dir_all(at("folder/inner")).unwrap();
    fs::set_permissions(at("folder"), fs::Permissions::from_mode(0o1770)).unwrap();
    fs::write(at("folder/file"), vec![7; 5000]).unwrap();
    chown(at("folder/file"), Some(4_000_000_000), Some(70)).unwrap();
    fs::set_permissions(at("folder/file"), fs::Permissions::from_mode(0o6755)).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(at("folder/file"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(at("folder/inner"), "user.note", b"a\nb", XattrFlags::empty()).unwrap();
    fs::hard_link(at("folder/file"), at("second")).unwrap();
    symlink("x".repeat(300), at("link")).unwrap();
    let mode = Mode::from_raw_mode(0o640);
    rustix::fs::mknodat(CWD, at("null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, mode, 0).unwrap();
    fs::write(at(&"ü".repeat(127)), "long").unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(3 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 1 << 30).unwrap();
    let moment = Timespec { tv_sec: -5, tv_nsec: 123_456_789 };
    let times = Timestamps { last_access: moment, last_modification: moment };
    rustix::fs::utimensat(CWD, at("folder/file"), &times, rustix::fs::AtFlags::empty()).unwrap();
}

fn archive_of(root: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    image::write_root(File::open(root).unwrap().into(), &mut archive).unwrap();
    archive
}

#[test]
fn exported_tree_is_the_same_after_gnu_tar() {
    let scratch = Scratch::new();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    make_everything(&from);
    let archive = archive_of(&from);
    assert!(archive.len() < 1 << 20, "holes are written out: {} bytes", archive.len());
    assert_eq!(archive, archive_of(&from));
    let file = scratch.path().join("archive.tar");
    fs::write(&file, &archive).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--xattrs", "--xattrs-include=*", "-xpf"]).arg(&file).arg("-C").arg(&to);
    assert!(tar.status().unwrap().success());
    assert_eq!(archive_of(&to).len(), archive.len());
    let (a, b) = (from.join("folder/file"), to.join("folder/file"));
    let seen = |path: &Path| {
        let it = fs::metadata(path).unwrap();
        (it.mode(), it.uid(), it.gid(), it.len(), it.mtime(), it.mtime_nsec(), it.nlink())
    };
    assert_eq!(seen(&a), seen(&b));
    assert_eq!(seen(&b).4, -5);
    let mut value = [0; 20];
    assert_eq!(rustix::fs::getxattr(&b, "security.capability", &mut value[..]), Ok(20));
    assert_eq!(fs::read_link(to.join("link")).unwrap().as_os_str().len(), 300);
    assert_eq!(fs::metadata(to.join("null")).unwrap().rdev(), makedev(1, 3));
    assert_eq!(fs::metadata(to.join("sparse")).unwrap().len(), 3 << 30);
    let mut middle = [0; 6];
    std::os::unix::fs::FileExt::read_exact_at(&File::open(to.join("sparse")).unwrap(), &mut middle, 1 << 30)
        .unwrap();
    assert_eq!(&middle, b"middle");
    assert_eq!(fs::read(to.join("ü".repeat(127))).unwrap(), b"long");
}

#[test]
fn exported_names_are_sorted_and_links_follow_what_they_lead_to() {
    let scratch = Scratch::new();
    let root = scratch.path().join("tree");
    fs::create_dir_all(root.join("b")).unwrap();
    for name in ["c", "a", "b/z"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::hard_link(root.join("c"), root.join("b/first")).unwrap();
    let archive = archive_of(&root);
    let mut archive = tar::Archive::new(&archive[..]);
    let entries: Vec<(String, bool, String)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            (path, entry.header().entry_type() == tar::EntryType::Link, content)
        })
        .collect();
    let entry = |path: &str, is_link, content: &str| (path.to_owned(), is_link, content.to_owned());
    assert_eq!(
        entries,
        [
            entry("a", false, "a"),
            entry("b/", false, ""),
            entry("b/first", false, "c"),
            entry("b/z", false, "b/z"),
            entry("c", true, "")
        ]
    );
}

#[test]
fn folders_nested_without_end_end_in_an_error() {
    let scratch = Scratch::new();
    let root = scratch.path().join("tree");
    fs::create_dir(&root).unwrap();
    let mut folder: OwnedFd = File::open(&root).unwrap().into();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
        folder = rustix::fs::openat(&folder, "d", flags, Mode::empty()).unwrap();
    }
    let error = image::write_root(File::open(&root).unwrap().into(), &mut std::io::sink()).unwrap_err();
    assert!(error.to_string().contains("File name too long"), "{error}");
    sys::trash::delete(&root).unwrap();
}

fn committed(store: &ImageStore, name: &str) -> image::Image {
    let parent = store.resolve("two:1").unwrap();
    let new = image::NewImage {
        config: oci::ImageConfig::clone(&parent.config),
        parent: Some(parent.id),
        references: vec![oci::Reference::parse(name).unwrap()],
        ..image::NewImage::default()
    };
    store.commit_snapshot("box", new).unwrap()
}

#[test]
fn committed_layer_shows_the_same_over_its_image() {
    let scratch = Scratch::new();
    let (store, parts) = snapshot(&scratch, two_layers());
    let root = Mounted::writable(&parts);
    fs::remove_file(root.at("a/change")).unwrap();
    fs::remove_dir_all(root.at("b")).unwrap();
    fs::create_dir(root.at("b")).unwrap();
    fs::write(root.at("b/new"), "new").unwrap();
    drop(root);
    let image = committed(&store, "made:1");
    assert_eq!(image.layers.len(), 3);
    assert_eq!(image.parent, Some(store.resolve("two:1").unwrap().id));
    let shown = Mounted::writable(&store.prepare("second", &image.id).unwrap());
    let names = |path: &str| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(shown.at(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!((names("a"), names("b")), (vec!["keep".to_owned()], vec!["new".to_owned()]));
    // The same files are the same layer, kept once.
    let again = committed(&store, "made:2");
    assert_eq!(again.layers, image.layers);
    let content = store.content(&image.id).unwrap();
    let top = &content.layers[2];
    assert_eq!(
        (top.blob.digest.clone(), top.blob.media_type.as_str()),
        (top.diff_id.clone(), image::manifest::media::OCI_LAYER)
    );
    assert!(scratch.files().iter().all(|file| !file.starts_with("ingest/")), "{:?}", scratch.files());
}

#[test]
fn container_without_changes_adds_a_step_but_no_layer() {
    let scratch = Scratch::new();
    let (store, _) = snapshot(&scratch, two_layers());
    let image = committed(&store, "same:1");
    assert_eq!(image.layers.len(), 2);
    assert!(image.config.history.last().unwrap().empty_layer);
}

#[test]
fn archive_that_cannot_be_unpacked_leaves_nothing_of_an_import() {
    let scratch = Scratch::new();
    let store = scratch.open();
    let whole = archive_of(scratch.path());
    for bytes in [&b"x".repeat(2048)[..], &whole[..700]] {
        let result = store.import(&mut &bytes[..], image::NewImage::default(), &mut |_| {});
        assert!(matches!(result, Err(image::Error::NewLayer(_))), "{result:?}");
    }
    assert_eq!(scratch.files(), Vec::<String>::new());
    assert!(store.images().unwrap().is_empty());
}
