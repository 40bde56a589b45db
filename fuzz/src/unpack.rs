//! Layers and other archives are unpacked beside a canary that they must not touch.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

const CANARY: &str = "canary";
const ROOT: &str = "root";
const CONTENT: &[u8] = b"not to be touched";

/// The folder that has both; it goes with the process at the latest when the machine ends.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join(CANARY), CONTENT).expect("the canary");
    folder
});

pub(crate) fn unpack(data: &[u8]) {
    beside_canary(|root| image::fuzzing::unpack(data, root));
}

/// Into a folder that has links to the canary already.
pub(crate) fn add(data: &[u8]) {
    beside_canary(|root| {
        let path = FOLDER.path().join(ROOT);
        symlink(Path::new("..").join(CANARY), path.join("up")).expect("a link");
        symlink(FOLDER.path(), path.join("out")).expect("a link");
        image::fuzzing::add(data, root);
    });
}

fn beside_canary(unpack: impl FnOnce(OwnedFd)) {
    let folder = FOLDER.path();
    let before = fs::metadata(folder.join(CANARY)).expect("the canary");
    let root = folder.join(ROOT);
    fs::create_dir(&root).expect("a root");
    unpack(File::open(&root).expect("the root").into());
    fs::remove_dir_all(&root).expect("remove what was unpacked");

    let names: BTreeSet<OsString> = fs::read_dir(folder)
        .expect("list the folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, BTreeSet::from([OsString::from(CANARY)]), "something was made outside of the root");
    let after = fs::symlink_metadata(folder.join(CANARY)).expect("the canary is there");
    let state = |it: &fs::Metadata| {
        (it.ino(), it.mode(), it.uid(), it.gid(), it.nlink(), it.ctime(), it.ctime_nsec())
    };
    assert_eq!(state(&after), state(&before), "the canary was changed");
    assert_eq!(fs::read(folder.join(CANARY)).expect("read the canary"), CONTENT);
}
