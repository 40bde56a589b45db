//! What is fuzzed and not public otherwise.

use std::io::Read as _;

use oci::{Algorithm, ImageConfig};
use rustix::fd::OwnedFd;

use crate::archive::{Decoder, Options, is_archive, unpack_with};
use crate::layer::{Compression, LayerStream, Limits, unpack_stream};
use crate::manifest::{Document, media, parse_json};
use crate::tar::{TarError, TarReader};

/// More than this is not decompressed.
const MAX_EXPANDED: u64 = 64 << 20;

/// Reads a manifest, and the same bytes as a configuration.
pub fn manifest(data: &[u8]) {
    if let Ok(Document::Manifest(manifest)) = Document::parse(data, Some(media::OCI_MANIFEST)) {
        assert!(manifest.layers.len() <= data.len(), "each layer takes some bytes of the manifest");
    }
    let _ = parse_json::<ImageConfig>("configuration", data);
}

/// Reads an index.
pub fn index(data: &[u8]) {
    if let Ok(Document::Index(index)) = Document::parse(data, Some(media::OCI_INDEX)) {
        assert!(index.manifests.len() <= data.len(), "each manifest takes some bytes of the index");
    }
}

/// Reads an archive to its end. Checksums of headers are not looked at: no fuzzer guesses them.
pub fn tar(data: &[u8]) {
    let mut archive = TarReader::new(data);
    let mut contents = 0;
    while let Ok(Some(_)) = archive.next_entry() {
        let count = |piece: &[u8]| {
            contents += piece.len();
            Ok::<(), TarError>(())
        };
        if archive.copy_contents(count).is_err() {
            break;
        }
    }
    assert!(contents <= data.len(), "contents are bytes of the archive");
}

/// Decompresses what has any of the known beginnings.
pub fn decompress(data: &[u8]) {
    if let Ok(decoder) = Compression::decoder(data) {
        let _ = std::io::copy(&mut decoder.take(MAX_EXPANDED), &mut std::io::sink());
    }
    if let Ok(decoder) = Decoder::new(data) {
        let _ = std::io::copy(&mut decoder.take(MAX_EXPANDED), &mut std::io::sink());
    }
}

/// Unpacks a layer into an empty folder.
pub fn unpack(mut data: &[u8], folder: OwnedFd) {
    let stream =
        LayerStream { reader: &mut data, expected: None, blob: None, written: 0, progress: &mut |_| {} };
    let limits = Limits { entries: 1000, ratio: 100 };
    let _ = unpack_stream(stream, Algorithm::Sha256, folder, limits);
}

/// Adds the files of an archive to a folder.
pub fn add(mut data: &[u8], folder: OwnedFd) {
    let _ = is_archive(&mut { data });
    let limits = Limits { entries: 1000, ratio: 100 };
    let _ = unpack_with(&mut data, folder, Options::default(), limits);
}
