//! New volumes get what the image has at their place.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use sys::Errno;
use sys::root::Root;

use crate::error::Error;
use crate::mounts::{MountSettings, MountSource, VolumeSource};
use crate::settings::Settings;
use crate::volumes::Volumes;

/// Fills the volumes of a new container that are empty with what the layers of its image have at their targets.
///
/// # Errors
///
/// A volume that nobody named is to hide a file, or the copy fails; the volume is empty then.
pub(crate) fn fill(settings: &Settings, volumes: &Volumes, layers: &[PathBuf]) -> Result<(), Error> {
    let wanted = settings.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(volume) if volume.copy && is_empty(&volumes.path(&volume.name)) => {
            Some((mount, volume))
        }
        _ => None,
    });
    let mut wanted = wanted.peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let root = sys::overlay::read(layers).map_err(|errno| failed("read the layers of the image", errno))?;
    wanted.try_for_each(|(mount, volume)| {
        // Containers that are made at the same time may share a new volume.
        let filling = volumes.filling(&volume.name);
        let _one_at_a_time = filling.lock().unwrap_or_else(PoisonError::into_inner);
        fill_one(&root, mount, volume, &volumes.path(&volume.name))
    })
}

fn fill_one(root: &Root, mount: &MountSettings, volume: &VolumeSource, path: &Path) -> Result<(), Error> {
    let copied =
        |errno| failed(&format!("copy {} of the image to volume {}", mount.target, volume.name), errno);
    let Some(source) = open_source(root, mount, volume)? else { return Ok(()) };
    if !is_empty(path) {
        return Ok(());
    }
    let target = fs::File::open(path).map_err(Error::file("open", path))?;
    let result = sys::copy::content(&source, &target).and_then(|()| sys::copy::metadata(&source, &target));
    result.map_err(|errno| {
        clear(path);
        copied(errno)
    })
}

/// The folder of the image at the target; links are followed inside the image.
fn open_source(root: &Root, mount: &MountSettings, volume: &VolumeSource) -> Result<Option<OwnedFd>, Error> {
    match root.open_directory(&mount.target) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOTDIR) if volume.anonymous => Err(Error::invalid(format!(
            "cannot mount volume over existing file, file exists {}",
            mount.target
        ))),
        // A start will tell what is wrong with the place.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(failed(&format!("open {} of the image", mount.target), errno)),
    }
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes what a failed copy left: a volume with anything in it would never be filled again.
fn clear(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let removed = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove what is left of a failed copy");
        }
    }
}

fn failed(what: &str, errno: Errno) -> Error {
    Error::Volume { what: what.to_owned(), source: errno.into() }
}
