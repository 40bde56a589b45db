//! Compression of rotated files.
//!
//! The gzip header carries the inode number of the file that was compressed, so that a reader that still has that file
//! open can tell which files are newer.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::{GzBuilder, GzHeader};

/// What follows the name of a compressed file.
pub const SUFFIX: &str = ".gz";

/// Two letters of the subfield of the gzip header, after RFC 1952 2.3.1.1.
const SUBFIELD: [u8; 2] = *b"CI";

/// Compresses rotated files somewhere else than on the way of the output.
pub trait Compressor: std::fmt::Debug {
    /// Starts to replace the file by its compressed form.
    ///
    /// # Errors
    /// It could not be started; the file stays as it is.
    fn start(&mut self, path: &Path) -> io::Result<()>;

    /// Waits until what was started has ended.
    fn wait(&mut self);
}

/// Compresses at once, in the caller's thread.
#[derive(Debug)]
pub struct InPlace;

impl Compressor for InPlace {
    fn start(&mut self, path: &Path) -> io::Result<()> {
        compress(path)
    }

    fn wait(&mut self) {}
}

/// Replaces the file by `<path>.gz`.
///
/// # Errors
/// The file cannot be read, or its compressed form not written; the file stays as it is then.
pub fn compress(path: &Path) -> io::Result<()> {
    let target = with_suffix(path, SUFFIX);
    let temporary = with_suffix(path, ".gz.new");
    let result = write_compressed(path, &temporary).and_then(|()| fs::rename(&temporary, &target));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
        return result;
    }
    fs::remove_file(path)
}

fn write_compressed(path: &Path, target: &Path) -> io::Result<()> {
    let mut source = File::open(path)?;
    let metadata = source.metadata()?;
    let output = File::options().write(true).create(true).truncate(true).mode(0o640).open(target)?;
    let builder = GzBuilder::new().extra(subfield(metadata.ino())).mtime(metadata.mtime() as u32);
    let mut encoder = builder.write(output, Compression::fast());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            length => encoder.write_all(&buffer[..length])?,
        }
    }
    let output = encoder.finish()?;
    // Where a reader may skip whole files by their age.
    output.set_modified(metadata.modified()?)
}

fn subfield(inode: u64) -> Vec<u8> {
    let mut field = SUBFIELD.to_vec();
    field.extend_from_slice(&8u16.to_le_bytes());
    field.extend_from_slice(&inode.to_le_bytes());
    field
}

/// The inode number of the file that was compressed into this one.
pub(super) fn original_inode(header: &GzHeader) -> Option<u64> {
    let mut extra = header.extra()?;
    while let [a, b, low, high, rest @ ..] = extra {
        let (data, after) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
        if [*a, *b] == SUBFIELD {
            return Some(u64::from_le_bytes(data.try_into().ok()?));
        }
        extra = after;
    }
    None
}

/// A compressed file, read from its beginning.
pub(super) type Decoder = MultiGzDecoder<BufReader<File>>;

/// Reads a compressed file.
pub(super) fn decoder(file: File) -> Decoder {
    MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file))
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_file_replaces_the_plain_one_and_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.1");
        let text = "line\n".repeat(100_000);
        fs::write(&path, &text).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        compress(&path).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let compressed = with_suffix(&path, SUFFIX);
        assert!(fs::metadata(&compressed).unwrap().len() < 10_000);
        let mut decoder = decoder(File::open(&compressed).unwrap());
        let mut read = String::new();
        decoder.read_to_string(&mut read).unwrap();
        assert!(read == text);
        assert_eq!(original_inode(decoder.header().unwrap()), Some(inode));
    }
}
