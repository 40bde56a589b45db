//! Archives that clients send and that steps unpack: [`image::archive`], by path.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

pub use image::archive::Options;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder that it goes to cannot be opened.
    #[error("open folder {path:?}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is malformed or hostile, or could not be read, or what it has could not be written.
    #[error(transparent)]
    Archive(#[from] image::archive::Error),
}

impl Error {
    /// Whether the archive is to blame, and not the disk or whoever sends it.
    pub fn is_bad_content(&self) -> bool {
        matches!(self, Self::Archive(error) if error.is_bad_content())
    }
}

/// Whether a file that begins so is an archive, which `ADD` unpacks: a tar, plain or compressed with gzip, bzip2, xz or zstd.
/// Whatever else is compressed is none. A megabyte is always enough to tell; [`is_archive_file`] reads what it takes.
pub fn is_archive(start: &[u8]) -> bool {
    is_archive_file(&mut { start })
}

/// Whether a file is an archive, as [`is_archive`] has it. No more is read than is needed to tell.
pub fn is_archive_file(file: &mut dyn Read) -> bool {
    image::archive::is_archive(file)
}

/// Adds what is in an archive to a folder, as it is read, and reads it to its end.
///
/// Owners, modes, times, attributes and devices are those of the archive. A name that is there already is replaced, unless both
/// are folders. Nothing outside of the folder is touched, whatever links are in it or in the archive.
///
/// # Errors
/// When it is malformed, truncated or hostile, or the folder cannot be written. What was made until then stays.
pub fn unpack(reader: &mut dyn Read, folder: &Path) -> Result<(), Error> {
    unpack_with(reader, folder, Options::default())
}

/// As [`unpack`], with something done otherwise than the archive says.
///
/// # Errors
/// As there.
pub fn unpack_with(reader: &mut dyn Read, folder: &Path, options: Options) -> Result<(), Error> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|errno| Error::Folder { path: folder.to_owned(), source: errno.into() })?;
    Ok(image::archive::unpack(reader, opened, options)?)
}
