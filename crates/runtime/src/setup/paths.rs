//! Masked and read-only paths.

use std::os::fd::{AsFd, OwnedFd};

use oci::runtime::Spec;
use rustix::fs::FileType;
use sys::Errno;
use sys::mount::{Attributes, Change, Context, Depth, DetachedMount, change_root};
use sys::root::{Root, kind_of};

use crate::error::{Error, Step};

/// Makes `/` read-only where that is asked for.
pub(super) fn make_root_read_only(spec: &Spec) -> Result<(), Error> {
    match spec.root().as_ref().and_then(|root| root.readonly()) {
        Some(true) => change_root(Change::set(Attributes::READ_ONLY), Depth::Single).step("make / read-only"),
        _ => Ok(()),
    }
}

/// Makes paths read-only, with all that is mounted below; those that are not there need not be.
pub(super) fn make_read_only(spec: &Spec, root: &Root) -> Result<(), Error> {
    let paths = spec.linux().as_ref().and_then(|linux| linux.readonly_paths().as_deref());
    for path in paths.unwrap_or_default() {
        let Some(place) = locate(root, path)? else { continue };
        read_only(place).step_with(|| format!("make {path:?} read-only"))?;
    }
    Ok(())
}

fn read_only(place: OwnedFd) -> Result<(), Errno> {
    let copy = DetachedMount::copy_of(&place, Depth::Recursive)?;
    copy.change(Change::set(Attributes::READ_ONLY), Depth::Recursive)?;
    copy.attach(&place)
}

fn locate(root: &Root, path: &str) -> Result<Option<OwnedFd>, Error> {
    match root.locate(path) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).step_with(|| format!("look up {path:?}")),
    }
}

/// Hides paths: directories below an empty one, everything else below `/dev/null`.
pub(super) fn mask(spec: &Spec, root: &Root) -> Result<(), Error> {
    let paths = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_deref());
    let mut covers = Covers::default();
    for path in paths.unwrap_or_default() {
        let Some(place) = locate(root, path)? else { continue };
        covers.cover(&place, root).step_with(|| format!("mask {path:?}"))?;
    }
    Ok(())
}

/// What paths are hidden below; one of each is enough for all.
#[derive(Default)]
struct Covers {
    empty: Option<DetachedMount>,
    null: Option<OwnedFd>,
}

impl Covers {
    fn cover(&mut self, place: &OwnedFd, root: &Root) -> Result<(), Errno> {
        match kind_of(place)? {
            FileType::Directory => self.cover_directory(place),
            _ => self.cover_file(place, root),
        }
    }

    /// The first one is the mount itself, the others are copies of it.
    fn cover_directory(&mut self, place: &OwnedFd) -> Result<(), Errno> {
        match &self.empty {
            Some(empty) => DetachedMount::copy_of(empty, Depth::Single)?.attach(place),
            None => {
                let empty = empty_directory()?;
                empty.attach(place)?;
                self.empty = Some(empty);
                Ok(())
            }
        }
    }

    fn cover_file(&mut self, place: &OwnedFd, root: &Root) -> Result<(), Errno> {
        let null = match self.null.take() {
            Some(null) => null,
            None => null_device(root)?,
        };
        let covered = DetachedMount::copy_of(&null, Depth::Single).and_then(|copy| copy.attach(place));
        self.null = Some(null);
        covered
    }
}

fn empty_directory() -> Result<DetachedMount, Errno> {
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("size", "0")?;
    context.set("nr_inodes", "1")?;
    context.mount(Attributes::READ_ONLY)
}

/// What is bound over a path must be the null device, whatever stands at its name.
fn null_device(root: &Root) -> Result<OwnedFd, Errno> {
    let null = root.locate("dev/null")?;
    let stat = rustix::fs::fstat(null.as_fd())?;
    let is_null = kind_of(&null)? == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(null) } else { Err(Errno::NODEV) }
}
