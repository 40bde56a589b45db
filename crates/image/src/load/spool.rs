//! The files of an archive, spooled.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use oci::Digest;
use rustix::fd::AsFd;

use super::ArchiveError;
use crate::error::{Error, Result};
use crate::ingest::Ingest;
use crate::layer::{LayerError, SpaceGuard, clean};
use crate::layout::blob_path;
use crate::manifest::{MAX_CONFIG_SIZE, ManifestError};
use crate::store::digest_like;
use crate::tar::{Entry, Kind, TarReader, drain, printable};

/// Files that an archive may have: a layer has three at most, and an image 500 layers.
const MAX_FILES: usize = 100_000;
/// Links that are followed from one name to its file.
const MAX_LINKS: usize = 8;

/// A file of the archive. Nothing is known of its contents: whoever uses them verifies them.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    pub(super) content: Content,
    pub(super) size: u64,
}

/// Where a file's contents are.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In the ingest folder.
    File(PathBuf),
    /// Nowhere: by its name it is what this layer came as, and the store has both.
    Stored(Digest),
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
    let mut entries = 0;
    while let Some(entry) = archive.next_entry().map_err(ArchiveError::from)? {
        entries += 1;
        if entries > MAX_FILES {
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

    /// The file that an OCI layout calls by this digest.
    pub(super) fn blob(&self, digest: &Digest) -> Result<&Spooled, ArchiveError> {
        self.file(&blob_path(digest))
    }

    /// The contents of a small file with this digest in an OCI layout.
    pub(super) fn blob_document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let content = read_document(self.blob(digest)?)?;
        let actual = digest_like(digest, &content);
        if actual == *digest {
            return Ok(content);
        }
        Err(ArchiveError::Digest { path: blob_path(digest), actual }.into())
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
                let spooled = match self.stored(&path, entry.size) {
                    Some(layer) => Spooled { content: Content::Stored(layer), size: entry.size },
                    None => self.spool(archive, space)?,
                };
                self.links.remove(&path);
                self.files.insert(path, spooled);
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

    /// The layer that a file is by its name, where the store has it already: then it need not be read. Small files are never
    /// meant, which can be documents.
    fn stored(&self, path: &str, size: u64) -> Option<Digest> {
        let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
        let digest: Digest = format!("{algorithm}:{hex}").parse().ok().filter(|_| size > MAX_CONFIG_SIZE)?;
        self.ingest.lease_archive(&digest, size)
    }

    fn spool<R: BufRead>(&self, archive: &mut TarReader<R>, space: &mut SpaceGuard) -> Result<Spooled> {
        let file = self.ingest.fresh_path("spool");
        let mut writer = File::create_new(&file).map_err(Error::io("make", &file))?;
        let mut size = 0;
        archive
            .copy_contents(|piece| {
                space.reserve(writer.as_fd(), piece.len() as u64)?;
                size += piece.len() as u64;
                let failed = |source: io::Error| LayerError::Store { action: "write archive", source };
                writer.write_all(piece).map_err(failed)
            })
            .map_err(|source| match source {
                LayerError::Store { action, source } => Error::Io { action, path: file.clone(), source },
                other => ArchiveError::Tar(other).into(),
            })?;
        Ok(Spooled { content: Content::File(file), size })
    }
}

/// The contents of a file that must be small.
pub(super) fn read_document(spooled: &Spooled) -> Result<Vec<u8>> {
    match &spooled.content {
        Content::File(file) if spooled.size <= MAX_CONFIG_SIZE => {
            fs::read(file).map_err(Error::io("read", file))
        }
        _ => {
            let (what, size, limit) = ("document", spooled.size, MAX_CONFIG_SIZE);
            Err(ManifestError::TooBig { what, size, limit }.into())
        }
    }
}

fn clean_text(path: &[u8]) -> Result<String, ArchiveError> {
    let escape = || ArchiveError::Escape(printable(path));
    if path.starts_with(b"/") && path.len() > 1 && !path.starts_with(b"//") {
        // An absolute name is taken as one of the archive, as everywhere.
        return clean_text(&[b"/", path].concat());
    }
    String::from_utf8(clean(path).ok_or_else(escape)?).map_err(|_| escape())
}
