use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use dockerfile::ignore::Matcher;
use dockerfile::plan::{Copy, CopySource, MakeFolder, Mode, Selection};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, XattrFlags};
use sys::root::Root;

use super::*;

/// A context, what is below a layer, the layer, and a place that nothing may touch.
struct Bed {
    folder: tempfile::TempDir,
    ignore: Option<Matcher>,
    origin: Origin,
    latest: Option<i64>,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["context", "below", "upper", "outside"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        fs::write(folder.path().join("outside/canary"), "alive").expect("a file");
        Self { folder, ignore: None, origin: Origin::Context, latest: None }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    fn dir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.path(path)).expect("folders");
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        symlink(target, path).expect("a link");
        self
    }

    fn chmod(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).expect("a mode");
        self
    }

    fn chown(&self, path: &str, uid: u32, gid: u32) -> &Self {
        std::os::unix::fs::lchown(self.path(path), Some(uid), Some(gid)).expect("an owner");
        self
    }

    fn age(&self, path: &str, seconds: u64) -> &Self {
        let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 5);
        fs::File::open(self.path(path)).expect("it opens").set_modified(time).expect("a time");
        self
    }

    fn look(&self, copy: &Copy, memory: &Memory) -> Result<Selected, Error> {
        let root = Root::at(&self.path("context")).expect("a root");
        let tree = Tree { root: &root, ignore: self.ignore.as_ref(), origin: self.origin };
        Selected::look(
            &Request { copy, sources: &vec![Some(tree); copy.sources.len()], latest: self.latest },
            memory,
        )
    }

    fn digest(&self, copy: &Copy) -> String {
        self.look(copy, &Memory::default()).expect("looked").digest().to_string()
    }

    fn copy_with(&self, copy: &Copy, upper: &str, previous: Option<&Previous<'_>>) -> Result<Record, Error> {
        let root = Root::at(&self.path("context")).expect("a root");
        let below = Root::at(&self.path("below")).expect("a root");
        let tree = Tree { root: &root, ignore: self.ignore.as_ref(), origin: self.origin };
        let request = Request { copy, sources: &vec![Some(tree); copy.sources.len()], latest: self.latest };
        let selected = Selected::look(&request, &Memory::default())?;
        selected.copy(&request, Some(&below), &self.path(upper), previous)
    }

    fn copy(&self, copy: &Copy) -> Result<Record, Error> {
        self.copy_with(copy, "upper", None)
    }

    fn told(&self, copy: &Copy) -> String {
        self.copy(copy).expect_err("refused").to_string()
    }

    /// Paths in the layer with what they are.
    fn upper(&self) -> BTreeMap<String, String> {
        listing(&self.path("upper"))
    }

    /// What a container sees.
    fn merged(&self) -> BTreeMap<String, String> {
        let view = sys::overlay::read(&[self.path("upper"), self.path("below")]).expect("an overlay");
        let fd = rustix::fd::AsRawFd::as_raw_fd(&rustix::fd::AsFd::as_fd(&view));
        listing(Path::new(&format!("/proc/self/fd/{fd}/")))
    }

    fn stat(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(path)).expect("it is there")
    }

    fn mode(&self, path: &str) -> u32 {
        self.stat(path).mode() & 0o7777
    }

    fn check_canary(&self) {
        let names: Vec<_> = fs::read_dir(self.path("outside")).expect("a folder").collect();
        assert_eq!(names.len(), 1);
        assert_eq!(fs::read_to_string(self.path("outside/canary")).expect("read"), "alive");
    }
}

/// Folders end with a slash, links tell where to, files what is in them.
fn listing(root: &Path) -> BTreeMap<String, String> {
    fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{name}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                walk(&entry.path(), &format!("{path}/"), found);
                found.insert(format!("{path}/"), String::new());
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).expect("a link");
                found.insert(path, format!("-> {}", target.display()));
            } else if kind.is_file() {
                found.insert(path, fs::read_to_string(entry.path()).expect("a text"));
            } else {
                found.insert(path, "special".to_owned());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, "", &mut found);
    found
}

fn entries(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn copy(sources: &[&str], destination: &str) -> Copy {
    let source =
        |path: &&str| CopySource { selection: Selection::Pattern(format!("/{path}")), unpacks: false };
    Copy {
        sources: sources.iter().map(source).collect(),
        destination: destination.to_owned(),
        owner: None,
        mode: None,
        exclude: Vec::new(),
        is_link: false,
    }
}

fn parents(root: &str, pattern: &str, destination: &str) -> Copy {
    let selection = Selection::Parents { root: root.to_owned(), pattern: pattern.to_owned() };
    Copy { sources: vec![CopySource { selection, unpacks: false }], ..copy(&[], destination) }
}

#[test]
fn folder_copies_what_is_in_it() {
    let bed = Bed::new();
    bed.file("context/src/a", "1").file("context/src/in/b", "2").link("context/src/l", "/etc/passwd");
    bed.copy(&copy(&["src"], "/app")).expect("copied");
    let expected =
        [("app/", ""), ("app/a", "1"), ("app/in/", ""), ("app/in/b", "2"), ("app/l", "-> /etc/passwd")];
    assert_eq!(bed.upper(), entries(&expected));
}

#[test]
fn file_goes_into_a_folder_or_gets_the_name_of_the_destination() {
    for (destination, expected) in [
        ("/b", vec![("b", "1")]),
        ("/b/", vec![("b/", ""), ("b/a", "1")]),
        ("/x/y/b", vec![("x/", ""), ("x/y/", ""), ("x/y/b", "1")]),
        ("/", vec![("a", "1")]),
        ("/there", vec![("there/", ""), ("there/a", "1")]),
    ] {
        let bed = Bed::new();
        bed.file("context/a", "1").file("below/there/old", "0");
        bed.copy(&copy(&["a"], destination)).expect(destination);
        assert_eq!(bed.upper(), entries(&expected), "{destination}");
    }
}

#[test]
fn folders_that_are_below_come_as_they_are() {
    let bed = Bed::new();
    bed.file("context/a", "1").file("below/etc/conf/old", "0");
    bed.chmod("below/etc", 0o2750).chown("below/etc", 5, 6).chmod("below/etc", 0o2750);
    bed.age("below/etc/conf", 1000).age("below/etc", 2000);
    let name = CString::new("user.mark").expect("a name");
    rustix::fs::setxattr(bed.path("below/etc"), &*name, b"x", XattrFlags::empty()).expect("an attribute");
    bed.copy(&copy(&["a"], "/etc/conf/")).expect("copied");
    let etc = bed.stat("upper/etc");
    assert_eq!((etc.mode() & 0o7777, etc.uid(), etc.gid(), etc.mtime()), (0o2750, 5, 6, 2000));
    assert_eq!(bed.stat("upper/etc/conf").mtime(), 1000);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(bed.path("upper/etc"), &*name, &mut value[..]), Ok(1));
    let expected = [("etc/", ""), ("etc/conf/", ""), ("etc/conf/a", "1"), ("etc/conf/old", "0")];
    assert_eq!(bed.merged(), entries(&expected));
}

#[test]
fn new_files_in_a_folder_that_gives_its_group_belong_to_the_superuser() {
    let bed = Bed::new();
    bed.file("context/a", "1").link("context/in/l", "x").file("context/in/f", "").dir("below/staff");
    bed.chown("below/staff", 0, 50).chmod("below/staff", 0o2775);
    bed.copy(&copy(&["a", "in"], "/staff/")).expect("copied");
    for path in ["upper/staff/a", "upper/staff/l", "upper/staff/f"] {
        assert_eq!(bed.stat(path).gid(), 0, "{path}");
    }
    bed.copy_with(&copy(&["in"], "/staff/"), "outside", None).expect("copied");
}

#[test]
fn modes_times_and_attributes_are_kept_and_owners_are_the_superusers() {
    let bed = Bed::new();
    bed.file("context/d/tool", "1").file("context/d/secret/key", "2").chmod("context/d/secret", 0o700);
    bed.chown("context/d/tool", 1000, 1000).chmod("context/d/tool", 0o4751).age("context/d/tool", 12345);
    let capability = CString::new("user.cap").expect("a name");
    rustix::fs::setxattr(bed.path("context/d/tool"), &*capability, b"v", XattrFlags::empty())
        .expect("an attribute");
    bed.age("context/d/secret", 777).age("context/d", 555);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    let tool = bed.stat("upper/x/tool");
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4751, 0, 0, 12345));
    assert_eq!(tool.mtime_nsec(), 5);
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(bed.path("upper/x/tool"), &*capability, &mut value[..]), Ok(1));
    assert_eq!((bed.mode("upper/x/secret"), bed.stat("upper/x/secret").mtime()), (0o700, 777));
    // The folder that is named gives its time only.
    assert_eq!((bed.mode("upper/x"), bed.stat("upper/x").mtime()), (0o755, 555));
}

#[test]
fn files_of_layers_keep_their_owners() {
    let bed = Bed { origin: Origin::Layers, ..Bed::new() };
    bed.file("context/d/a", "1").link("context/d/l", "a").dir("context/d/e");
    for path in ["context/d/a", "context/d/l", "context/d/e"] {
        bed.chown(path, 7, 8);
    }
    bed.chmod("context/d/a", 0o6755);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    for path in ["upper/x/a", "upper/x/l", "upper/x/e"] {
        assert_eq!((bed.stat(path).uid(), bed.stat(path).gid()), (7, 8), "{path}");
    }
    assert_eq!(bed.mode("upper/x/a"), 0o6755);
}

#[test]
fn owner_and_mode_that_are_asked_for_are_for_all_that_is_made() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").dir("context/d/e").link("context/d/l", "a");
    bed.file("below/etc/passwd", "ann:x:1000:1001::/:\n");
    let asked =
        Copy { owner: Some("ann".to_owned()), mode: Some(Mode::Octal(0o750)), ..copy(&["d"], "/new/x/") };
    bed.copy(&asked).expect("copied");
    for path in ["upper/new", "upper/new/x", "upper/new/x/a", "upper/new/x/e", "upper/new/x/l"] {
        assert_eq!((bed.stat(path).uid(), bed.stat(path).gid()), (1000, 1001), "{path}");
        assert!(bed.stat(path).is_symlink() || bed.mode(path) == 0o750, "{path}");
    }
    let letters = Copy { mode: Some(Mode::Symbolic("a=rX,u+w".to_owned())), ..copy(&["d"], "/y") };
    bed.copy(&letters).expect("copied");
    assert_eq!((bed.mode("upper/y/a"), bed.mode("upper/y/e")), (0o644, 0o755));
    let unknown = Copy { owner: Some("bob".to_owned()), ..copy(&["d"], "/z") };
    assert!(bed.told(&unknown).ends_with("no such user: bob"));
}

#[test]
fn links_that_are_named_are_followed_and_others_are_not() {
    let bed = Bed::new();
    bed.file("context/real/a", "1").link("context/l", "real").link("context/real/f", "a");
    bed.copy(&copy(&["l"], "/x")).expect("copied");
    bed.copy(&copy(&["l/f"], "/y/")).expect("copied");
    let expected = [("x/", ""), ("x/a", "1"), ("x/f", "-> a"), ("y/", ""), ("y/f", "1")];
    assert_eq!(bed.upper(), entries(&expected));
}

#[test]
fn destinations_with_links_stay_in_the_root() {
    for (link, target, destination, expected) in [
        ("below/app", "/srv", "/app/", vec![("srv/", ""), ("srv/a", "1")]),
        ("below/app", "../../../srv", "/app/x/", vec![("srv/", ""), ("srv/x/", ""), ("srv/x/a", "1")]),
        ("below/app", "/", "/app/", vec![("a", "1")]),
        (
            "below/d/app",
            "/proc/self/root/etc",
            "/d/app/",
            vec![
                ("proc/", ""),
                ("proc/self/", ""),
                ("proc/self/root/", ""),
                ("proc/self/root/etc/", ""),
                ("proc/self/root/etc/a", "1"),
                ("d/", ""),
            ],
        ),
        // A dangling link gives the name of the new file.
        ("below/app", "opt/file", "/app", vec![("opt/", ""), ("opt/file", "1")]),
    ] {
        let bed = Bed::new();
        bed.file("context/a", "1").link(link, target);
        bed.copy(&copy(&["a"], destination)).expect(destination);
        let mut expected = entries(&expected);
        if destination == "/d/app/" {
            expected.remove("d/");
            let upper: BTreeMap<_, _> = bed.upper().into_iter().filter(|(path, _)| path != "d/").collect();
            assert_eq!(upper, expected, "{target}");
        } else {
            assert_eq!(bed.upper(), expected, "{target}");
        }
        bed.check_canary();
    }
}

#[test]
fn absolute_links_of_the_image_to_the_outside_stay_inside() {
    let bed = Bed::new();
    let outside = bed.path("outside");
    let outside = outside.to_str().expect("text");
    bed.file("context/canary", "dead")
        .link("below/app", outside)
        .link("below/canary", &format!("{outside}/canary"));
    bed.link("context/in", outside).link("context/up", "../../outside/canary");
    bed.copy(&copy(&["canary"], "/app/")).expect("copied inside");
    bed.copy(&copy(&["canary"], "/canary")).expect("copied inside");
    assert!(bed.path(&format!("upper{outside}/canary")).is_file());
    for source in ["in", "in/canary", "up", "in/*"] {
        assert!(matches!(bed.copy(&copy(&[source], "/x")), Err(Error::NotFound { .. })), "{source}");
    }
    bed.check_canary();
}

#[test]
fn kinds_that_clash_are_refused_or_replaced() {
    // What is below, what is copied, where to; what a container sees then, or is told.
    let refused = |text: &str| Err(text.to_owned());
    type Case<'a> = (&'a str, &'a str, &'a str, Result<Vec<(&'a str, &'a str)>, String>);
    let cases: Vec<Case<'_>> = vec![
        ("f", "a", "/f", Ok(vec![("f", "1")])),
        ("f", "a", "/f/", refused("cannot copy to non-directory: /f")),
        ("f", "a", "/f/g", refused("cannot copy to non-directory: /f")),
        ("f", "d", "/f", refused("cannot copy to non-directory: /f")),
        ("d/x/", "d", "/d", refused("cannot replace to directory /d/x with file")),
        ("l>f", "a", "/l", Ok(vec![("l", "-> f"), ("f", "1")])),
        ("l>e/", "a", "/l", Ok(vec![("l", "-> e/"), ("e", "1")])),
        ("e/l>.", "a", "/e/l", Ok(vec![("e/", ""), ("e/a", "1"), ("e/l", "-> .")])),
        ("e/a>f", "a", "/e", Ok(vec![("e/", ""), ("e/a", "1")])),
        ("e/a/", "a", "/e/", refused("cannot replace to directory /e/a with file")),
        ("d/y", "d", "/d", refused("cannot copy to non-directory: /d/y")),
        ("d/y>..", "d", "/d", refused("cannot copy to non-directory: /d/y")),
        ("d/x>y", "d", "/d", Ok(vec![("d/", ""), ("d/x", "2"), ("d/y/", "")])),
        ("e/", "d", "/e", Ok(vec![("e/", ""), ("e/x", "2"), ("e/y/", "")])),
    ];
    for (there, source, destination, expected) in cases {
        let bed = Bed::new();
        bed.file("context/a", "1").file("context/d/x", "2").dir("context/d/y");
        match there.split_once('>') {
            Some((link, target)) => bed.link(&format!("below/{link}"), target),
            None if there.ends_with('/') => bed.dir(&format!("below/{there}")),
            None => bed.file(&format!("below/{there}"), "0"),
        };
        let case = format!("{there} {source} {destination}");
        match (bed.copy(&copy(&[source], destination)), expected) {
            (Ok(_), Ok(expected)) => {
                assert_eq!(bed.merged(), entries(&expected), "{case}");
            }
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text, "{case}"),
            (found, expected) => panic!("{case}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn later_sources_see_what_earlier_ones_made() {
    let bed = Bed::new();
    bed.file("context/one/x", "1")
        .link("context/one/l", "sub")
        .file("context/two/x", "2")
        .dir("context/two/sub");
    bed.file("context/two/sub/z", "3").file("context/a", "4");
    bed.copy(&copy(&["one", "two", "a"], "/app")).expect("copied");
    let expected = [
        ("app/", ""),
        ("app/a", "4"),
        ("app/l", "-> sub"),
        ("app/sub/", ""),
        ("app/sub/z", "3"),
        ("app/x", "2"),
    ];
    assert_eq!(bed.upper(), entries(&expected));
    let bed = Bed::new();
    bed.file("context/one/x", "1").dir("context/two/x").file("context/x", "2");
    assert_eq!(bed.told(&copy(&["one", "two"], "/app")), "cannot copy to non-directory: /app/x");
    assert_eq!(bed.told(&copy(&["two", "x"], "/b/")), "cannot replace to directory /b/x with file");
}

#[test]
fn linked_copies_see_nothing_below() {
    let bed = Bed::new();
    bed.file("context/a", "1").link("below/app", "srv").dir("below/srv").chmod("below/srv", 0o700);
    let linked = |destination| Copy { is_link: true, ..copy(&["a"], destination) };
    bed.copy(&linked("/app/")).expect("copied");
    bed.copy(&linked("/srv/")).expect("copied");
    let expected = [("app/", ""), ("app/a", "1"), ("srv/", ""), ("srv/a", "1")];
    assert_eq!((bed.upper(), bed.mode("upper/srv")), (entries(&expected), 0o755));
}

#[test]
fn wildcards_select_by_part() {
    let bed = Bed::new();
    for path in ["a.go", "b.go", "c.txt", "sub/d.go", "sub/e/f.go", ".h.go"] {
        bed.file(&format!("context/{path}"), path);
    }
    bed.link("context/s", "sub");
    for (pattern, expected) in [
        ("*.go", vec![".h.go", "a.go", "b.go"]),
        ("?.go", vec!["a.go", "b.go"]),
        ("[^a].go", vec!["b.go"]),
        ("*/*.go", vec!["d.go"]),
        // Not through a link on the way, but what is named may be one.
        ("s/*.go", vec!["d.go"]),
        ("[s]/*.go", vec![]),
        ("sub/e/*", vec!["f.go"]),
        ("*.none", vec![]),
    ] {
        fs::remove_dir_all(bed.path("upper")).expect("removed");
        bed.dir("upper").copy(&copy(&[pattern], "/x/")).expect(pattern);
        let found: Vec<String> = bed.upper().into_keys().filter(|path| path != "x/").collect();
        let expected: Vec<String> = expected.iter().map(|name| format!("x/{name}")).collect();
        assert_eq!(found, expected, "{pattern}");
    }
    assert!(bed.upper().is_empty(), "nothing is made for nothing");
    assert_eq!(bed.told(&copy(&["none"], "/x")), r#""/none": not found"#);
    assert_eq!(bed.told(&copy(&["[a"], "/x")), r#"syntax error in pattern "/[a""#);
}

#[test]
fn wildcards_of_folders_copy_what_is_in_them() {
    let bed = Bed::new();
    bed.file("context/p1/a", "1").file("context/p2/b", "2").file("context/p3", "3");
    bed.copy(&copy(&["p*"], "/x/")).expect("copied");
    assert_eq!(bed.upper(), entries(&[("x/", ""), ("x/a", "1"), ("x/b", "2"), ("x/p3", "3")]));
}

#[test]
fn ignored_files_are_not_there() {
    let bed = Bed {
        ignore: Some(
            Matcher::parse(b"*.md\nsecret\nbuild\n!build/keep/*.js\nempty\n!empty/x").expect("patterns"),
        ),
        ..Bed::new()
    };
    for path in ["a.md", "a.txt", "secret/key", "build/x", "build/keep/a.js", "build/keep/b", "empty/y"] {
        bed.file(&format!("context/{path}"), "");
    }
    bed.link("context/l", "secret/key").link("context/m", "a.md");
    bed.copy(&copy(&[""], "/x")).expect("copied");
    let found: Vec<String> = bed.upper().into_keys().collect();
    assert_eq!(found, ["x/", "x/a.txt", "x/build/", "x/build/keep/", "x/build/keep/a.js", "x/l", "x/m"]);
    for source in ["a.md", "secret", "secret/key", "l", "m", "empty", "build/x"] {
        assert!(matches!(bed.copy(&copy(&[source], "/y")), Err(Error::NotFound { .. })), "{source}");
    }
    bed.copy(&copy(&["*.md", "sec*"], "/z/")).expect("nothing is copied");
    bed.copy(&copy(&["build"], "/b")).expect("copied");
    assert!(bed.path("upper/b/keep/a.js").is_file() && !bed.path("upper/z").exists());
}

#[test]
fn excluded_files_are_left_out_by_paths_from_the_folder_that_is_named() {
    let bed = Bed::new();
    for path in ["d/a.md", "d/a.txt", "d/in/b.md", "d/only/c.md", "d/tmp/x", "d/tmp/keep"] {
        bed.file(&format!("context/{path}"), "");
    }
    let exclude = ["*.md", "only/*", "tmp", "!tmp/keep"].map(str::to_owned).to_vec();
    bed.copy(&Copy { exclude, ..copy(&["d"], "/x") }).expect("copied");
    let found: Vec<String> = bed.upper().into_keys().collect();
    assert_eq!(found, ["x/", "x/a.txt", "x/in/", "x/in/b.md", "x/only/", "x/tmp/", "x/tmp/keep"]);
}

#[test]
fn parents_are_kept_from_the_root_on() {
    let bed = Bed::new();
    for path in ["a/b/c/d/e/bay", "a/b/c/d/foo", "a/b2/c/d/e/bar", "a/z/y"] {
        bed.file(&format!("context/{path}"), "");
    }
    bed.chmod("context/a", 0o710).age("context/a/b", 999);
    for (root, pattern, expected) in [
        ("/", "a/b/c/d/foo", vec!["a/", "a/b/", "a/b/c/", "a/b/c/d/", "a/b/c/d/foo"]),
        ("/a/b", "c/d/e", vec!["c/", "c/d/", "c/d/e/", "c/d/e/bay"]),
        (
            "/a",
            "*/c/d/e/*",
            vec![
                "b/",
                "b/c/",
                "b/c/d/",
                "b/c/d/e/",
                "b/c/d/e/bay",
                "b2/",
                "b2/c/",
                "b2/c/d/",
                "b2/c/d/e/",
                "b2/c/d/e/bar",
            ],
        ),
        ("/a/b*", "c/**/e", vec!["c/", "c/d/", "c/d/e/", "c/d/e/bar", "c/d/e/bay"]),
        ("/a", "none*", vec![]),
    ] {
        fs::remove_dir_all(bed.path("upper")).expect("removed");
        bed.dir("upper").copy(&parents(root, pattern, "/out/")).expect(pattern);
        let found: Vec<String> = bed.upper().into_keys().filter(|path| path != "out/").collect();
        let expected: Vec<String> = expected.iter().map(|path| format!("out/{path}")).collect();
        assert_eq!(found, expected, "{root} {pattern}");
        assert!(bed.path("upper/out").is_dir());
    }
    let bed = Bed { folder: bed.folder, ..Bed::new() };
    bed.copy(&parents("/", "a/b/c/d/foo", "/p/")).expect("copied");
    assert_eq!((bed.mode("upper/p/a"), bed.stat("upper/p/a/b").mtime()), (0o710, 999));
    assert_eq!(bed.told(&parents("/a", "none/x", "/p/")), r#""/a/none/x": not found"#);
}

#[test]
fn special_files_are_copied_and_sockets_are_not() {
    let bed = Bed::new();
    bed.dir("context/d");
    rustix::fs::mknodat(CWD, bed.path("context/d/pipe"), FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a pipe");
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        CWD,
        bed.path("context/d/null"),
        FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        null,
    )
    .expect("a device");
    let _socket = std::os::unix::net::UnixListener::bind(bed.path("context/d/socket")).expect("a socket");
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    assert_eq!(bed.upper().into_keys().collect::<Vec<_>>(), ["x/", "x/null", "x/pipe"]);
    let (pipe, device) = (bed.stat("upper/x/pipe"), bed.stat("upper/x/null"));
    assert!(pipe.file_type().is_fifo() && device.file_type().is_char_device() && device.rdev() == null);
    assert_eq!(pipe.mode() & 0o777, 0o400);
    assert_eq!(bed.told(&copy(&["d/socket"], "/y")), r#""d/socket" is a socket"#);
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").dir("context/d/in").file("below/x/in/c", "old");
    fs::hard_link(bed.path("context/d/a"), bed.path("context/d/in/b")).expect("a link");
    fs::hard_link(bed.path("context/d/a"), bed.path("context/d/in/c")).expect("a link");
    bed.age("context/d/in", 4321);
    bed.copy(&copy(&["d"], "/x")).expect("copied");
    let first = bed.stat("upper/x/a");
    assert_eq!(
        (first.nlink(), bed.stat("upper/x/in/b").ino(), bed.stat("upper/x/in/c").ino()),
        (3, first.ino(), first.ino())
    );
    assert_eq!(bed.stat("upper/x/in").mtime(), 4321);
}

#[test]
fn large_files_keep_their_holes() {
    let bed = Bed::new();
    let path = bed.path("context/big");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(64 << 20).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (32 << 20) + 7).expect("written");
    bed.copy(&copy(&["big"], "/big")).expect("copied");
    assert_eq!(fs::read(&path).expect("read"), fs::read(bed.path("upper/big")).expect("read"));
    assert!(bed.stat("upper/big").blocks() < 1000);
}

#[test]
fn names_that_delete_are_refused() {
    let bed = Bed::new();
    bed.file("context/d/.wh.x", "").file("context/a", "");
    let text = "\"/y/.wh.x\" cannot be in a layer: names that begin with .wh. stand for deleted files";
    assert_eq!(bed.told(&copy(&["d"], "/y")), text);
    for destination in ["/.wh.a", "/.wh.a/", "/x/.wh..wh..opq"] {
        assert!(matches!(bed.copy(&copy(&["a"], destination)), Err(Error::Whiteout { .. })), "{destination}");
    }
}

#[test]
fn digests_are_of_contents_and_not_of_times() {
    let bed = Bed::new();
    bed.file("context/d/a", "1").file("context/d/in/b", "2").link("context/d/l", "a");
    let asked = copy(&["d"], "/x");
    let digest = bed.digest(&asked);
    bed.age("context/d/a", 1).age("context/d/in", 2).age("context/d", 3).chown("context/d/a", 5, 5);
    bed.chmod("context/d", 0o700);
    assert_eq!(bed.digest(&asked), digest);
    let mut seen = vec![digest.clone()];
    let changes: [&dyn Fn(&Bed); 7] = [
        &|bed| {
            bed.file("context/d/a", "3");
        },
        &|bed| {
            bed.chmod("context/d/a", 0o600);
        },
        &|bed| {
            bed.chmod("context/d/in", 0o700);
        },
        &|bed| fs::rename(bed.path("context/d/in/b"), bed.path("context/d/in/c")).expect("renamed"),
        &|bed| {
            bed.file("context/d/in/b", "2");
        },
        &|bed| {
            fs::remove_file(bed.path("context/d/l")).expect("removed");
            bed.link("context/d/l", "b");
        },
        &|bed| {
            let name = CString::new("user.x").expect("a name");
            rustix::fs::setxattr(bed.path("context/d/a"), &*name, b"x", XattrFlags::empty())
                .expect("an attribute");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        change(&bed);
        let now = bed.digest(&asked);
        assert!(!seen.contains(&now), "change {index}");
        seen.push(now);
    }
    let octal = Copy { mode: Some(Mode::Octal(0o644)), ..asked.clone() };
    let before = bed.digest(&octal);
    bed.chmod("context/d/a", 0o755);
    assert_eq!(bed.digest(&octal), before);
}

#[test]
fn owners_make_a_difference_where_they_are_kept() {
    let bed = Bed { origin: Origin::Layers, ..Bed::new() };
    bed.file("context/d/a", "1");
    let asked = copy(&["d"], "/x");
    let given = Copy { owner: Some("5".to_owned()), ..asked.clone() };
    let (kept, changed) = (bed.digest(&asked), bed.digest(&given));
    bed.chown("context/d/a", 5, 5);
    assert_ne!(bed.digest(&asked), kept);
    assert_eq!(bed.digest(&given), changed);
}

#[test]
fn files_are_named_by_digests_and_folders_are_not() {
    let bed = Bed::new();
    bed.file("context/a1", "1").file("context/d1/x", "1");
    let digests = || (bed.digest(&copy(&["a*"], "/x/")), bed.digest(&copy(&["d*"], "/x/")));
    let before = digests();
    fs::rename(bed.path("context/a1"), bed.path("context/a2")).expect("renamed");
    fs::rename(bed.path("context/d1"), bed.path("context/d2")).expect("renamed");
    let after = digests();
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
}

#[test]
fn memory_spares_reading_and_notices_changes() {
    let bed = Bed::new();
    bed.file("context/d/a", "old").file("context/d/b", "same");
    let asked = copy(&["d"], "/x");
    let memory = Memory::default();
    let first = bed.look(&asked, &memory).expect("looked").digest().clone();
    memory.save(&bed.path("memory")).expect("saved");
    assert!(!bed.path("memory").exists(), "files that were just changed are not remembered");
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    memory.save(&bed.path("memory")).expect("saved");
    let memory = Memory::load(&bed.path("memory"));
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    bed.file("context/d/a", "new");
    assert_ne!(*bed.look(&asked, &memory).expect("looked").digest(), first);
    bed.file("context/d/a", "old");
    assert_eq!(*bed.look(&asked, &memory).expect("looked").digest(), first);
}

#[test]
fn unchanged_files_of_an_earlier_result_are_not_copied() {
    let bed = Bed::new();
    bed.file("context/d/a", "1")
        .file("context/d/in/b", "2")
        .file("context/d/in/c", "3")
        .chmod("context/d/in/c", 0o600);
    let asked = copy(&["d"], "/x");
    let record = bed.copy(&asked).expect("copied");
    let record = Record::from_bytes(&record.to_bytes()).expect("read back");
    bed.file("context/d/in/b", "changed").age("context/d/a", 77).dir("again");
    let now = bed.look(&asked, &Memory::default()).expect("looked").record();
    assert_eq!(record.difference(&now).as_deref(), Some(r#""d/in/b" was changed"#));
    let previous = Previous { tree: &bed.path("upper"), record: &record };
    bed.copy_with(&asked, "again", Some(&previous)).expect("copied");
    let same =
        |path: &str| bed.stat(&format!("upper/{path}")).ino() == bed.stat(&format!("again/{path}")).ino();
    // Its time is another one, its contents are other ones, it is the same.
    assert_eq!((same("x/a"), same("x/in/b"), same("x/in/c")), (false, false, true));
    assert_eq!(bed.stat("again/x/a").mtime(), 77);
    assert_eq!(fs::read_to_string(bed.path("again/x/in/b")).expect("read"), "changed");
    assert_eq!(fs::read_to_string(bed.path("upper/x/in/b")).expect("read"), "2");
    assert_eq!(bed.stat("context/d/in/c").nlink(), 1);
}

#[test]
fn nothing_is_younger_than_what_is_asked_for_and_no_earlier_result_is_made_older() {
    let mut bed = Bed::new();
    bed.file("context/d/young", "1").file("context/d/old", "2").dir("context/d/in").dir("again");
    bed.age("context/d/young", 3000).age("context/d/old", 1000).age("context/d/in", 3000);
    let asked = copy(&["d"], "/x");
    let record = bed.copy(&asked).expect("copied");
    bed.latest = Some(2000);
    let previous = Previous { tree: &bed.path("upper"), record: &record };
    bed.copy_with(&asked, "again", Some(&previous)).expect("copied");
    for (path, time) in [("again/x/young", 2000), ("again/x/old", 1000), ("again/x/in", 2000)] {
        assert_eq!(bed.stat(path).mtime(), time, "{path}");
    }
    let (young, old) = (bed.stat("upper/x/young"), bed.stat("upper/x/old"));
    assert_eq!((young.mtime(), young.nlink(), old.nlink()), (3000, 1, 2));
}

#[test]
fn changes_between_look_and_copy_are_noticed() {
    let changes: [&dyn Fn(&Bed); 5] = [
        &|bed| {
            bed.file("context/d/a", "2");
        },
        &|bed| fs::remove_file(bed.path("context/d/a")).expect("removed"),
        &|bed| {
            fs::remove_file(bed.path("context/d/a")).expect("removed");
            bed.link("context/d/a", "../../outside/canary");
        },
        &|bed| {
            fs::rename(bed.path("context/d/in"), bed.path("context/d/out")).expect("renamed");
            bed.link("context/d/in", "../../outside");
        },
        &|bed| {
            fs::rename(bed.path("context/d"), bed.path("context/e")).expect("renamed");
            bed.link("context/d", "../outside");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let bed = Bed::new();
        bed.file("context/d/a", "1").file("context/d/in/canary", "3");
        let root = Root::at(&bed.path("context")).expect("a root");
        let tree = Tree { root: &root, ignore: None, origin: Origin::Context };
        let asked = copy(&["d"], "/x");
        let request = Request { copy: &asked, sources: &[Some(tree)], latest: None };
        let selected = Selected::look(&request, &Memory::default()).expect("looked");
        change(&bed);
        let result = selected.copy(&request, None, &bed.path("upper"), None);
        assert!(matches!(result, Err(Error::Changed { .. })), "change {index}: {result:?}");
        bed.check_canary();
    }
}

#[test]
fn folder_that_is_swapped_for_a_link_while_it_is_copied_leads_nowhere() {
    let bed = Bed::new();
    bed.file("context/d/in/deep/canary", "inside").file("context/d/in/canary", "inside");
    bed.file("outside/deep/canary", "stolen");
    let (real, link) = (bed.path("context/d/in"), bed.path("context/link"));
    let spare = bed.path("context/spare");
    symlink(bed.path("outside"), &link).expect("a link");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                for (from, to) in [(&real, &spare), (&link, &real), (&real, &link), (&spare, &real)] {
                    fs::rename(from, to).expect("renamed");
                }
            }
        });
        for _ in 0..400 {
            fs::remove_dir_all(bed.path("upper")).expect("removed");
            bed.dir("upper");
            for source in ["d", "d/in", "d/in/canary", "d/*"] {
                let _ = bed.copy(&copy(&[source], "/x/"));
            }
            let found = bed.upper();
            assert!(found.values().all(|text| text != "stolen" && text != "alive"), "{found:?}");
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn empty_trees_have_a_root_only() {
    let bed = Bed::new();
    let done = |asked: &Copy| {
        let request = Request { copy: asked, sources: &[None], latest: None };
        let selected = Selected::look(&request, &Memory::default())?;
        selected.copy(&request, None, &bed.path("upper"), None)
    };
    done(&copy(&[""], "/x")).expect("copied");
    done(&copy(&["*"], "/y")).expect("copied");
    assert_eq!(bed.upper(), entries(&[("x/", "")]));
    assert!(matches!(done(&copy(&["a"], "/x")), Err(Error::NotFound { .. })));
}

#[test]
fn folders_are_made_where_they_are_missing() {
    let bed = Bed::new();
    bed.dir("below/there")
        .link("below/l", "there")
        .file("below/file", "")
        .file("below/etc/passwd", "ann:x:5:6::/:\n");
    let below = Root::at(&bed.path("below")).expect("a root");
    let make = |path: &str, user: &str| {
        let folder = MakeFolder { path: path.to_owned(), user: user.to_owned(), mode: 0o755 };
        make_folder(&folder, Some(&below), &bed.path("upper"))
    };
    make("/there", "ann").expect("made");
    make("/l", "ann").expect("made");
    assert!(bed.upper().is_empty());
    make("/l/new/er", "ann").expect("made");
    assert_eq!(bed.upper(), entries(&[("there/", ""), ("there/new/", ""), ("there/new/er/", "")]));
    for (path, owner) in
        [("upper/there", (0, 0)), ("upper/there/new", (5, 6)), ("upper/there/new/er", (5, 6))]
    {
        assert_eq!(
            (bed.stat(path).uid(), bed.stat(path).gid(), bed.mode(path)),
            (owner.0, owner.1, 0o755),
            "{path}"
        );
    }
    make("/x", "nobody-knows").expect("made");
    assert_eq!(bed.stat("upper/x").uid(), 0);
    assert!(matches!(make("/file/x", ""), Err(Error::NotFolder { .. })));
    assert!(matches!(make("/file", ""), Err(Error::NotFolder { .. })));
}

fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.ends_with('/') { 0o750 } else { 0o640 });
        header.set_mtime(4000);
        header.set_uid(7);
        header.set_gid(8);
        header.set_size(text.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, text.as_bytes()).expect("an entry");
    }
    builder.into_inner().expect("an archive")
}

#[test]
fn archives_are_unpacked_over_whatever_is_there() {
    let bed = Bed::new();
    let tar = archive(&[
        ("d/", ""),
        ("d/new", "1"),
        ("d/f/", ""),
        ("d/f/x", "2"),
        ("g", "3"),
        ("l/", ""),
        ("l/y", "4"),
    ]);
    fs::write(bed.path("context/a.tar"), tar).expect("a file");
    bed.file("below/x/d/old", "0").file("below/x/d/f", "0").file("below/x/g/h", "0").link("below/x/l", "d");
    let mut asked = copy(&["a.tar"], "/x");
    asked.sources[0].unpacks = true;
    bed.copy(&asked).expect("copied");
    let expected = [
        ("x/", ""),
        ("x/d/", ""),
        ("x/d/old", "0"),
        ("x/d/new", "1"),
        ("x/d/f/", ""),
        ("x/d/f/x", "2"),
        ("x/g", "3"),
        ("x/l/", ""),
        ("x/l/y", "4"),
    ];
    assert_eq!(bed.merged(), entries(&expected));
    let d = bed.stat("upper/x/d");
    assert_eq!((d.uid(), d.gid(), d.mode() & 0o7777, d.mtime()), (7, 8, 0o750, 4000));
    assert_eq!(
        fs::read_dir(bed.folder.path()).expect("a folder").count(),
        4,
        "nothing is left of the unpacking"
    );
    let given = Copy { owner: Some("9".to_owned()), destination: "/y".to_owned(), ..asked.clone() };
    bed.copy(&given).expect("copied");
    assert_eq!((bed.stat("upper/y").uid(), bed.stat("upper/y/d/new").uid()), (9, 7));
    bed.copy(&copy(&["a.tar"], "/z/")).expect("copied");
    assert!(bed.path("upper/z/a.tar").is_file());
}

#[test]
fn archives_over_what_other_sources_made_are_merged() {
    let bed = Bed::new();
    fs::write(
        bed.path("context/a.tar"),
        archive(&[("f/", ""), ("f/x", "1"), ("d", "2"), ("e/", ""), ("e/n", "3")]),
    )
    .expect("a file");
    // The first source puts a file over nothing; the folder below under that name stays hidden.
    bed.file("context/s/f", "0")
        .file("context/s/d/in", "0")
        .file("context/s/e/m", "4")
        .file("below/e/k", "5");
    let mut asked = copy(&["s", "a.tar"], "/");
    asked.sources[1].unpacks = true;
    bed.copy(&asked).expect("copied");
    let expected =
        [("d", "2"), ("e/", ""), ("e/k", "5"), ("e/m", "4"), ("e/n", "3"), ("f/", ""), ("f/x", "1")];
    assert_eq!(bed.merged(), entries(&expected));
}

#[derive(Clone, Debug)]
enum Thing {
    File(u8),
    Folder,
    Link(String),
}

fn things() -> impl Strategy<Value = Vec<(String, Thing)>> {
    let name = "[ab](/[abc]){0,3}";
    let target = prop_oneof![
        "(\\.\\./){0,5}[ab](/[ab]){0,2}",
        "/[ab](/[abc]){0,2}",
        Just("..".to_owned()),
        Just("/".to_owned())
    ];
    let thing =
        prop_oneof![any::<u8>().prop_map(Thing::File), Just(Thing::Folder), target.prop_map(Thing::Link)];
    proptest::collection::vec((name, thing), 0..12)
}

fn make(root: &Path, things: &[(String, Thing)]) {
    for (path, thing) in things {
        let path = root.join(path);
        // Never through a link: what cannot be made there is left out.
        let is_plain =
            path.ancestors().skip(1).take_while(|above| *above != root).all(|above| !above.is_symlink());
        if !is_plain || fs::create_dir_all(path.parent().expect("a folder above")).is_err() {
            continue;
        }
        let _ = match thing {
            Thing::File(byte) if !path.is_symlink() => fs::write(path, [b'a' + byte % 26]),
            Thing::File(_) => Ok(()),
            Thing::Folder => fs::create_dir(path),
            Thing::Link(target) => symlink(target, path),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_copied_whole_over_nothing(things in things()) {
        let bed = Bed::new();
        make(&bed.path("context"), &things);
        bed.copy(&copy(&[""], "/")).expect("copied");
        prop_assert_eq!(bed.upper(), listing(&bed.path("context")));
    }

    #[test]
    fn any_tree_over_any_other_touches_nothing_else(
        context in things(), below in things(), source in "[ab*?](/[abc*]){0,2}", destination in "/[ab](/[abc]){0,2}/?",
    ) {
        let bed = Bed::new();
        make(&bed.path("context"), &context);
        make(&bed.path("below"), &below);
        let (before, under) = (listing(&bed.path("context")), listing(&bed.path("below")));
        let copied = bed.copy(&copy(&[&source], &destination));
        bed.check_canary();
        prop_assert_eq!(listing(&bed.path("context")), before);
        prop_assert_eq!(listing(&bed.path("below")), under.clone());
        // Whatever was below is there, though maybe with other contents. What fails is thrown away.
        let merged = bed.merged();
        for path in under.into_keys().filter(|_| copied.is_ok()) {
            prop_assert!(merged.contains_key(&path), "{}", path);
        }
    }

    #[test]
    fn copy_over_an_earlier_result_is_as_a_clean_one(first in things(), second in things()) {
        let bed = Bed::new();
        make(&bed.path("context"), &first);
        let asked = copy(&[""], "/x");
        let record = bed.copy(&asked).expect("copied");
        fs::remove_dir_all(bed.path("context")).expect("removed");
        bed.dir("context").dir("again").dir("clean");
        make(&bed.path("context"), &second);
        bed.copy_with(&asked, "again", Some(&Previous { tree: &bed.path("upper"), record: &record })).expect("copied");
        bed.copy_with(&asked, "clean", None).expect("copied");
        prop_assert_eq!(listing(&bed.path("again")), listing(&bed.path("clean")));
    }
}
