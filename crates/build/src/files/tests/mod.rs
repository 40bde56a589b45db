//! A tree to copy from, one to copy over, and what came of it.

mod archives;
mod copying;
mod hostile;
mod identity;
mod ownership;
mod properties;
mod selection;

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
