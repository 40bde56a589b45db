//! Archives that are unpacked: into a folder beside the layer first, and from there by renames.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode};
use sys::Errno;

use super::error::{Error, read, text, write};
use super::look::open_folder;
use super::owner::Owner;
use super::picture::{Stamp, below};
use super::source::list;
use super::target::{Place, Shows, Target, check_name, kind_of, set_owner};

/// Whether a file is an archive.
pub(super) fn is_archive(file: &mut File, path: &[u8]) -> Result<bool, Error> {
    let is_archive = crate::archive::is_archive_file(file);
    file.seek(SeekFrom::Start(0))
        .map_err(|error| read("read", path)(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    Ok(is_archive)
}

/// A folder for what is unpacked, which is gone with this.
pub(super) struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes one beside the layer, from where files can be renamed into it.
    pub(super) fn beside(upper: &Path) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("unpack.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = upper.with_file_name(name);
        rustix::fs::mkdir(&path, Mode::RWXU).map_err(write("make", path.as_os_str().as_bytes()))?;
        Ok(Self { path })
    }

    /// Unpacks an archive, and adds all that is in it to a place of the layer. As with BuildKit, `--chown` is not for what is in
    /// it.
    pub(super) fn unpack(
        &self,
        file: &mut File,
        path: &[u8],
        target: &Target<'_>,
        place: &Place,
    ) -> Result<(), Error> {
        crate::archive::unpack(file, &self.path)
            .map_err(|source| Error::Archive { path: text(path), source })?;
        let opened = |root: BorrowedFd<'_>, path: &[u8]| open_folder(root, path).map_err(write("open", path));
        let staged = rustix::fs::open(&self.path, super::target::FOLDER, Mode::empty());
        let staged = staged.map_err(write("open", self.path.as_os_str().as_bytes()))?;
        let upper = opened(target.upper.as_fd(), &place.path)?;
        let lower = target.below().filter(|_| place.shows == Shows::Below);
        let lower = lower.map(|root| opened(root.as_fd(), &place.path)).transpose()?;
        merge(target, &staged, &upper, lower.as_ref(), &place.path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove what was unpacked");
        }
    }
}

/// Moves what is in a folder into another. Folders become one; anything else is replaced.
fn merge(
    target: &Target<'_>,
    from: &OwnedFd,
    upper: &OwnedFd,
    lower: Option<&OwnedFd>,
    path: &[u8],
) -> Result<(), Error> {
    let mut names = list(from).map_err(write("read", path))?;
    names.sort_unstable();
    for name in names {
        let name = OsStr::from_bytes(name.as_bytes());
        let place = below(path, name.as_bytes());
        let failed = |errno| write("unpack", &place)(errno);
        check_name(name.as_bytes(), || place.clone())?;
        let is_folder =
            |folder: &OwnedFd| Ok(kind_of(folder, name).map_err(failed)? == Some(FileType::Directory));
        let there = kind_of(upper, name).map_err(failed)?;
        if is_folder(from)? && there == Some(FileType::Directory) {
            let open = |folder: &OwnedFd| open_folder(folder.as_fd(), name.as_bytes());
            let (inner, into) = (open(from).map_err(failed)?, open(upper).map_err(failed)?);
            let lower = match lower {
                Some(lower)
                    if is_folder(lower)? && !sys::overlay::is_opaque(into.as_fd()).map_err(failed)? =>
                {
                    Some(open(lower).map_err(failed)?)
                }
                _ => None,
            };
            copy_metadata(target, &inner, &into, &place).map_err(failed)?;
            merge(target, &inner, &into, lower.as_ref(), &place)?;
            continue;
        }
        let hides = is_folder(from)? && there.is_some() && lower.map_or(Ok(false), is_folder)?;
        replace(target, from, upper, name, &place, there).map_err(failed)?;
        if hides {
            // The file that was there hid the folder below it.
            let folder = open_folder(upper.as_fd(), name.as_bytes()).map_err(failed)?;
            sys::overlay::set_opaque(folder.as_fd()).map_err(failed)?;
        }
    }
    Ok(())
}

/// A folder that is there becomes as the archive's; its time comes when all is made.
fn copy_metadata(target: &Target<'_>, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<(), Errno> {
    let stamp = Stamp::of(&rustix::fs::fstat(from)?);
    set_owner(to, Owner { uid: stamp.uid, gid: stamp.gid })?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stamp.permissions()))?;
    sys::attributes::set(to.as_fd(), &sys::attributes::read(from.as_fd())?)?;
    target.set_time(path, stamp.modified);
    Ok(())
}

fn replace(
    target: &Target<'_>,
    from: &OwnedFd,
    upper: &OwnedFd,
    name: &OsStr,
    path: &[u8],
    there: Option<FileType>,
) -> Result<(), Errno> {
    match there {
        Some(FileType::Directory) => {
            target.forget_times(path);
            remove_all(upper, name)?;
        }
        Some(_) => rustix::fs::unlinkat(upper, name, AtFlags::empty())?,
        None => {}
    }
    rustix::fs::renameat(from, name, upper, name)
}

/// Removes a folder of the layer with all that is in it.
fn remove_all(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let folder = open_folder(parent.as_fd(), name.as_bytes())?;
    for inner in list(&folder)? {
        let inner = OsStr::from_bytes(inner.as_bytes());
        match kind_of(&folder, inner)? {
            Some(FileType::Directory) => remove_all(&folder, inner)?,
            _ => rustix::fs::unlinkat(&folder, inner, AtFlags::empty())?,
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
