//! Overlays that are attached nowhere. As root.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use sys::mount::DetachedMount;
use sys::overlay::{mount, part, part_by_attaching};
use sys::{Errno, Result};

/// Two layers, of which the upper one has links that lead out of them.
fn layers() -> (tempfile::TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let layers = ["upper", "lower"].map(|name| folder.path().join(name));
    layers.iter().for_each(|layer| fs::create_dir_all(layer.join("a/b")).expect("folders"));
    fs::write(layers[1].join("a/b/file"), "lower").expect("a file");
    fs::write(layers[0].join("a/b/other"), "upper").expect("a file");
    symlink("/a", layers[0].join("absolute")).expect("a link");
    symlink("../../..", layers[0].join("up")).expect("a link");
    (folder, layers)
}

fn open(mount: &DetachedMount, name: &str, flags: OFlags) -> Result<File> {
    Ok(rustix::fs::openat(mount.as_fd(), name, flags | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn read(mount: &DetachedMount, name: &str) -> String {
    std::io::read_to_string(open(mount, name, OFlags::RDONLY).expect("open")).expect("read")
}

#[test]
fn part_is_the_same_in_both_ways() {
    let (folder, layers) = layers();
    for way in [part, part_by_attaching] {
        for path in ["/a/b", "/absolute/b", "/up/a/b", "/up/up/absolute/b"] {
            let part = way(mount(&layers, None).expect("a mount"), Path::new(path)).expect("a part");
            assert_eq!(
                (read(&part, "file").as_str(), read(&part, "other").as_str()),
                ("lower", "upper"),
                "{path}"
            );
            assert_eq!(open(&part, "file", OFlags::WRONLY).err(), Some(Errno::ROFS), "{path}");
            assert_eq!(open(&part, "../../upper", OFlags::PATH).err(), Some(Errno::NOENT), "{path}");
        }
        let file = way(mount(&layers, None).expect("a mount"), Path::new("/a/b/file"));
        assert_eq!(rustix::fs::fstat(file.expect("a part")).expect("a file").st_size, 5);
        let missing = way(mount(&layers, None).expect("a mount"), Path::new("/missing"));
        assert_eq!(missing.err(), Some(Errno::NOENT));
    }
    let table = fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    assert!(!table.contains(folder.path().to_str().expect("a path in UTF-8")), "a mount is left");
}

#[test]
fn what_is_written_to_a_part_goes_to_its_folders() {
    let (folder, layers) = layers();
    for (number, way) in [part, part_by_attaching].into_iter().enumerate() {
        let [upper, work] = ["new", "work"].map(|name| folder.path().join(format!("{name}{number}")));
        [&upper, &work].iter().for_each(|path| fs::create_dir(path).expect("a folder"));
        let part =
            way(mount(&layers, Some((&upper, &work))).expect("a mount"), Path::new("/a")).expect("a part");
        drop(open(&part, "b/file", OFlags::WRONLY | OFlags::TRUNC).expect("it can be written"));
        assert_eq!(fs::metadata(upper.join("a/b/file")).expect("it was copied").len(), 0);
        assert_eq!(fs::read_to_string(layers[1].join("a/b/file")).expect("the layer's"), "lower");
    }
}
