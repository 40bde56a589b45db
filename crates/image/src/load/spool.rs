//! The files of an archive, spooled.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use oci::{Algorithm, Digest, Hasher};
use rustix::fd::AsFd;

use super::ArchiveError;
use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::layer::{LayerError, SpaceGuard, clean};
use crate::manifest::{MAX_CONFIG_SIZE, ManifestError};
use crate::tar::{Entry, Kind, TarReader, drain, printable};

/// Files that an archive may have: a layer has three at most, and an image 500 layers.
const MAX_FILES: usize = 100_000;
/// Links that are followed from one name to its file.
const MAX_LINKS: usize = 8;

/// A file of the archive.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    /// Where it is now.
    pub(super) file: PathBuf,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// All files of the archive, by their clean paths.
pub(super) struct Spool<'a> {
    pub(super) ingest: &'a Ingest,
    files: HashMap<String, Spooled>,
    links: HashMap<String, String>,
}

/// Reads the whole archive.
pub(super) fn read(ingest: &Ingest, reader: impl BufRead) -> Result<Spool<'_>> {
    let mut spool = Spool { ingest, files: HashMap::new(), links: HashMap::new() };
    let mut archive = TarReader::new(reader);
    let mut space = SpaceGuard::default();
    while let Some(entry) = archive.next_entry().map_err(ArchiveError::from)? {
        if spool.files.len() + spool.links.len() >= MAX_FILES {
            return Err(ArchiveError::TooManyFiles(MAX_FILES).into());
        }
        spool.add(&entry, &mut archive, &mut space)?;
    }
    // A compressed archive that is cut off after its last file is noticed only at its very end.
    drain(archive.into_inner(), |_| Ok(())).map_err(ArchiveError::from)?;
    Ok(spool)
}

impl Spool<'_> {
    pub(super) fn contains(&self, path: &str) -> bool {
        self.file(path).is_ok()
    }

    /// The file at a path, through the links of the archive.
    pub(super) fn file(&self, path: &str) -> Result<&Spooled, ArchiveError> {
        let mut current = clean_text(path.as_bytes())?;
        for _ in 0..MAX_LINKS {
            if let Some(file) = self.files.get(&current) {
                return Ok(file);
            }
            current = self.links.get(&current).cloned().ok_or_else(|| ArchiveError::Missing(path.into()))?;
        }
        Err(ArchiveError::Missing(path.into()))
    }

    /// The file with this digest in an OCI layout.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&Spooled, ArchiveError> {
        self.file(&format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// The contents of a small file.
    pub(super) fn document(&self, path: &str) -> Result<Vec<u8>> {
        read_document(self.file(path)?)
    }

    fn add<R: BufRead>(
        &mut self,
        entry: &Entry,
        archive: &mut TarReader<R>,
        space: &mut SpaceGuard,
    ) -> Result<()> {
        let path = clean_text(&entry.path)?;
        match entry.kind {
            Kind::Directory => {}
            Kind::Regular if entry.sparse.is_none() => {
                let spooled = self.spool(&path, archive, space)?;
                check_name(&path, &spooled)?;
                self.links.remove(&path);
                if let Some(older) = self.files.insert(path, spooled) {
                    fs::remove_file(&older.file).map_err(Error::io("remove", &older.file))?;
                }
            }
            Kind::HardLink => {
                self.links.insert(path, clean_text(&entry.link)?);
            }
            Kind::Symlink => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = [folder.as_bytes(), b"/", &entry.link].concat();
                self.links.insert(path, clean_text(&target)?);
            }
            _ => return Err(ArchiveError::NotAFile(printable(&entry.path)).into()),
        }
        Ok(())
    }

    fn spool<R: BufRead>(
        &self,
        path: &str,
        archive: &mut TarReader<R>,
        space: &mut SpaceGuard,
    ) -> Result<Spooled> {
        let file = self.ingest.fresh_path("spool");
        let mut writer = File::create_new(&file).map_err(Error::io("make", &file))?;
        // A file named by another algorithm than the usual one is hashed by that.
        let algorithm = if path.starts_with("blobs/sha512/") { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let mut hasher = Hasher::new(algorithm);
        let mut size = 0;
        archive
            .copy_contents(|piece| {
                space.reserve(writer.as_fd(), piece.len() as u64)?;
                size += piece.len() as u64;
                hasher.update(piece);
                let failed = |source: io::Error| LayerError::Store { action: "write archive", source };
                writer.write_all(piece).map_err(failed)
            })
            .map_err(|source| match source {
                LayerError::Store { action, source } => Error::Io { action, path: file.clone(), source },
                other => ArchiveError::Tar(other).into(),
            })?;
        Ok(Spooled { file, digest: hasher.finish(), size })
    }
}

/// The contents of a file that must be small.
pub(super) fn read_document(spooled: &Spooled) -> Result<Vec<u8>> {
    if spooled.size > MAX_CONFIG_SIZE {
        let (what, size, limit) = ("document", spooled.size, MAX_CONFIG_SIZE);
        return Err(ManifestError::TooBig { what, size, limit }.into());
    }
    fs::read(&spooled.file).map_err(Error::io("read", &spooled.file))
}

/// In an OCI layout a file's name is its digest.
fn check_name(path: &str, spooled: &Spooled) -> Result<(), ArchiveError> {
    let Some(("blobs", name)) = path.split_once('/') else { return Ok(()) };
    let expected = name.split_once('/').map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
    if expected.as_deref() == Some(spooled.digest.as_str()) {
        return Ok(());
    }
    Err(ArchiveError::Digest { path: path.into(), actual: spooled.digest.clone() })
}

fn clean_text(path: &[u8]) -> Result<String, ArchiveError> {
    let escape = || ArchiveError::Escape(printable(path));
    if path.starts_with(b"/") && path.len() > 1 && !path.starts_with(b"//") {
        // An absolute name is taken as one of the archive, as everywhere.
        return clean_text(&[b"/", path].concat());
    }
    String::from_utf8(clean(path).ok_or_else(escape)?).map_err(|_| escape())
}
