//! The files of one log, found while its writer may be rotating them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::LogError;
use super::compress::{self, Decoder, SUFFIX, with_suffix};
use super::rotate::numbered;

/// How much older than its records a file may look: the kernel takes times of files from a coarse clock.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);

/// One file of a log, open for reading.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The inode number of the file, or of the one that it was compressed from.
    pub(super) inode: u64,
    /// Records at the beginning that are passed over.
    pub(super) skip: u64,
    pub(super) input: Input,
    /// Nanoseconds since 1970 of the last change.
    modified: i64,
}

/// Where bytes come from.
#[derive(Debug)]
pub(super) enum Input {
    Plain { file: File, offset: u64 },
    Compressed(Box<Decoder>),
}

impl Source {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        let metadata = file.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default() + CLOCK_MARGIN;
        let inode = metadata.ino();
        let input = Input::Plain { file, offset: 0 };
        Ok(Self { path, inode, skip: 0, input, modified: modified.as_nanos() as i64 })
    }

    fn open_compressed(path: PathBuf) -> io::Result<Self> {
        let mut source = Self::open(path)?;
        let Input::Plain { file, .. } = source.input else { unreachable!("just opened as a plain file") };
        let decoder = compress::decoder(file);
        source.inode = decoder.header().and_then(compress::original_inode).unwrap_or(source.inode);
        source.input = Input::Compressed(Box::new(decoder));
        Ok(source)
    }

    /// Reads on; 0 is the end for now.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, LogError> {
        let result = match &mut self.input {
            Input::Plain { file, offset } => {
                let read = file.read_at(buffer, *offset);
                *offset += *read.as_ref().unwrap_or(&0) as u64;
                read
            }
            Input::Compressed(decoder) => decoder.read(buffer),
        };
        result.map_err(LogError::io("read", &self.path))
    }

    /// Whether every record is older than this.
    pub(super) fn is_older_than(&self, time: i64) -> bool {
        self.modified < time
    }
}

/// Opens the files of the log that are newer than the one with inode `after`, oldest first; all where it is not found.
///
/// The newest is opened first: a rotation meanwhile moves files to higher numbers, where they are met again and known by
/// their inode, so that none is missed.
pub(super) fn open(path: &Path, after: Option<u64>) -> Result<Vec<Source>, LogError> {
    let mut sources: Vec<Source> = Vec::new();
    let mut missing = 0;
    let mut index = 0;
    // In the middle of a rotation one number is not taken.
    while missing < 2 {
        match open_index(path, index)? {
            Some(source) if Some(source.inode) == after => break,
            Some(source) => {
                missing = 0;
                if sources.last().is_none_or(|newer| newer.inode != source.inode) {
                    sources.push(source);
                }
            }
            None => missing += 1,
        }
        index += 1;
    }
    sources.reverse();
    Ok(sources)
}

fn open_index(path: &Path, index: u32) -> Result<Option<Source>, LogError> {
    if index == 0 {
        return if_there(path, Source::open(path.into()));
    }
    let plain = numbered(path, index);
    // The compressed file is in place before the plain one is removed: one of them is always seen.
    if let Some(source) = if_there(&plain, Source::open(plain.clone()))? {
        return Ok(Some(source));
    }
    let compressed = with_suffix(&plain, SUFFIX);
    if_there(&compressed, Source::open_compressed(compressed.clone()))
}

fn if_there(path: &Path, result: io::Result<Source>) -> Result<Option<Source>, LogError> {
    match result {
        Ok(source) => Ok(Some(source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LogError::Io { action: "open", path: path.into(), source }),
    }
}
