//! Writing a file as it comes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::archive::SpaceGuard;
use jiff::Timestamp;
use oci::{Algorithm, Digest, Hasher};

use super::Error;

const CHUNK: usize = 256 << 10;

/// What is to become of it.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) modified: Option<Timestamp>,
    /// For errors.
    pub(super) url: String,
    /// The digest it has to have.
    pub(super) wanted: Option<Digest>,
}

/// What came.
pub(super) struct Saved {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Writes the file. `progress` is told how many bytes have come.
pub(super) fn save(reader: &mut dyn Read, target: &Target, progress: &dyn Fn(u64)) -> Result<Saved, Error> {
    let draft = Draft::create(&target.path)?;
    let failed = |action, source| Error::File { action, path: target.path.clone(), source };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut other = target.wanted.as_ref().map(|wanted| Hasher::new(wanted.algorithm()));
    let mut space = SpaceGuard::default();
    let mut size = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Read { url: target.url.clone(), source }),
        };
        let piece = &buffer[..count];
        hasher.update(piece);
        if let Some(other) = &mut other {
            other.update(piece);
        }
        space.reserve(draft.file.as_fd(), count as u64).map_err(Error::Space)?;
        (&draft.file).write_all(piece).map_err(|error| failed("write", error))?;
        size += count as u64;
        progress(size);
    }
    let actual = other.map(Hasher::finish);
    if let (Some(expected), Some(actual)) = (&target.wanted, actual)
        && *expected != actual
    {
        return Err(Error::Checksum { url: target.url.clone(), actual, expected: expected.clone() });
    }
    let modified = target.modified.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    draft.file.set_modified(modified).map_err(|error| failed("set time of", error))?;
    draft.keep();
    Ok(Saved { digest: hasher.finish(), size })
}

/// A file that is removed unless it is kept.
struct Draft<'a> {
    file: File,
    path: &'a Path,
    is_kept: bool,
}

impl<'a> Draft<'a> {
    fn create(path: &'a Path) -> Result<Self, Error> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|source| Error::File { action: "make", path: path.into(), source })?;
        Ok(Self { file, path, is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // It fails where somebody else has removed it.
            let _ = fs::remove_file(self.path);
        }
    }
}
