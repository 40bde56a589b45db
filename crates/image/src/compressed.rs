//! Layers that are stored as plain tars, compressed for a registry.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Hasher};

use crate::error::{Error, Result};
use crate::gzip;
use crate::ingest::Ingest;
use crate::manifest::{Descriptor, media};
use crate::record::Compressed;
use crate::store::ImageStore;

/// The compressed form of a layer, in a file that goes when this is dropped.
#[derive(Debug)]
pub struct CompressedLayer {
    blob: Descriptor,
    path: PathBuf,
    _folder: Ingest,
}

impl CompressedLayer {
    /// What it is.
    pub fn blob(&self) -> &Descriptor {
        &self.blob
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ImageStore {
    /// What a layer that is stored as a plain tar becomes when it is compressed, if that is known from an earlier time.
    pub fn known_compressed(&self, diff_id: &Digest) -> Option<Descriptor> {
        let index = self.shared.read();
        let known = index.layers.get(diff_id)?.compressed.as_ref()?;
        Some(Descriptor::new(media::OCI_LAYER_GZIP, known.digest.clone(), known.size))
    }

    /// Compresses a layer that is stored as a plain tar, and remembers what it became. The same layer always becomes the
    /// same. `progress` is told of each piece that was read, by its length.
    ///
    /// # Errors
    /// When it is not there or damaged; when there is no space.
    pub fn compress_layer(
        &self,
        diff_id: &Digest,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<CompressedLayer> {
        let folder = self.ingest()?;
        let source = self.shared.layout.blob(diff_id);
        let file = File::open(&source).map_err(Error::io("open blob", &source))?;
        let mut plain = Source { file, hasher: Hasher::new(diff_id.algorithm()), progress };
        let path = folder.fresh_path("compressed");
        let file = File::create_new(&path).map_err(Error::io("make", &path))?;
        let mut sink = Sink { file, hasher: Hasher::new(Algorithm::Sha256), size: 0 };
        let mut writer = BufWriter::with_capacity(256 << 10, &mut sink);
        let done = gzip::compress(&mut plain, &mut writer).and_then(|()| writer.flush());
        done.map_err(Error::io("compress layer into", &path))?;
        drop(writer);
        let actual = plain.hasher.finish();
        if actual != *diff_id {
            return Err(Error::Digest { what: "layer", expected: diff_id.clone(), actual });
        }
        let blob = Descriptor::new(media::OCI_LAYER_GZIP, sink.hasher.finish(), sink.size);
        self.remember(diff_id, &blob)?;
        Ok(CompressedLayer { blob, path, _folder: folder })
    }

    fn remember(&self, diff_id: &Digest, blob: &Descriptor) -> Result<()> {
        let mut index = self.shared.write();
        let Some(record) = index.layers.get_mut(diff_id) else { return Ok(()) };
        record.compressed = Some(Compressed { digest: blob.digest.clone(), size: blob.size });
        self.shared.records.put(diff_id.as_str(), record)?;
        Ok(())
    }
}

struct Source<'a> {
    file: File,
    hasher: Hasher,
    progress: &'a mut (dyn FnMut(u64) + Send),
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        (self.progress)(count as u64);
        Ok(count)
    }
}

struct Sink {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Write for &mut Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
