//! Reading a container's log, while it is written or afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use super::chain::{self, Input, Source};
use super::{LogError, Stream, json, local, tail};
use crate::config::Log;

/// Bytes read from a file at a time: what stays in the processor's cache until it is sent, and comes from memory that the
/// allocator keeps.
const CHUNK: usize = 64 << 10;

/// Bytes of text after which a batch is handed on.
const BATCH: usize = 64 << 10;

/// Which records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only those of this time and later, nanoseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Only those of this time and earlier.
    pub until: Option<i64>,
    /// Only the last ones, counted before any other selection, as Docker does.
    pub tail: Option<u64>,
    /// Whether standard output is wanted.
    pub stdout: bool,
    /// Whether standard error is wanted.
    pub stderr: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { since: None, until: None, tail: None, stdout: true, stderr: true }
    }
}

/// A record of a log: a line with its newline, or a piece of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// From where it came.
    pub stream: Stream,
    /// When, nanoseconds since 1970 UTC.
    pub time: i64,
    /// Its bytes; what ends in a newline ends a line.
    pub data: &'a [u8],
    /// The labels and variables that were written with it.
    pub attributes: Option<&'a BTreeMap<String, String>>,
}

/// Some records, in order.
#[derive(Debug, Default)]
pub struct Batch {
    data: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    range: Range<usize>,
    stream: Stream,
    time: i64,
    attributes: Option<Arc<BTreeMap<String, String>>>,
}

impl Batch {
    /// The records.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.records.iter().map(|record| Entry {
            stream: record.stream,
            time: record.time,
            data: &self.data[record.range.clone()],
            attributes: record.attributes.as_deref(),
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of text in all of them.
    pub fn text_length(&self) -> usize {
        self.data.len()
    }

    fn clear(&mut self) {
        self.data.clear();
        self.records.clear();
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There are records in the batch.
    Read,
    /// The end for now; a container that runs may write more.
    AtEnd,
    /// Nothing will follow: `until` has been passed.
    Finished,
}

/// Reads the files of one log from the oldest record to the newest, across rotations. Blocks on files only.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    options: ReadOptions,
    format: Format,
    waiting: VecDeque<Source>,
    current: Option<Source>,
    /// The inode of the file that was read last, to find the newer ones.
    last_inode: Option<u64>,
    buffer: Vec<u8>,
    start: usize,
    finished: bool,
}

#[derive(Debug)]
enum Format {
    Json(Box<json::Decoder>),
    Local,
}

/// What was found at the start of the buffer.
enum Found {
    Record(usize, json::Fields),
    Garbage(usize),
    Incomplete,
    Damaged,
}

impl Reader {
    /// Opens the log; one that was not written to yet is empty.
    ///
    /// # Errors
    /// [`LogError::NotKept`] where the container keeps none; what the file system refuses.
    pub fn open(log: &Log, options: ReadOptions) -> Result<Self, LogError> {
        let (path, format) = match log {
            Log::None => return Err(LogError::NotKept),
            Log::JsonFile { path, .. } => (path, Format::Json(Box::default())),
            Log::Local { path, .. } => (path, Format::Local),
        };
        let mut sources = chain::open(path, None)?;
        let last_inode = sources.last().map(|source| source.inode);
        let newest = if options.tail == Some(0) { sources.pop() } else { None };
        if let Some(count) = options.tail {
            tail::seek(&mut sources, count, matches!(format, Format::Local))?;
        }
        if let Some(since) = options.since {
            sources.retain(|source| !source.is_older_than(since));
        }
        let mut reader = Self {
            path: path.clone(),
            options,
            format,
            waiting: sources.into(),
            current: None,
            last_inode,
            buffer: Vec::new(),
            start: 0,
            finished: false,
        };
        if let Some(newest) = newest {
            reader.begin_at_end(newest)?;
        }
        Ok(reader)
    }

    /// Replaces the batch by the next records.
    ///
    /// # Errors
    /// What the file system refuses, and a file in the local format that is damaged.
    pub fn next_batch(&mut self, batch: &mut Batch) -> Result<Progress, LogError> {
        batch.clear();
        loop {
            while !self.finished && batch.data.len() < BATCH && self.take_record(batch)? {}
            if !batch.is_empty() && (self.finished || batch.data.len() >= BATCH) {
                return Ok(Progress::Read);
            }
            if self.finished {
                return Ok(Progress::Finished);
            }
            if !self.refill()? {
                self.release();
                return Ok(if batch.is_empty() { Progress::AtEnd } else { Progress::Read });
            }
        }
    }

    /// Takes one record from the buffer; `false` where there is no whole one.
    fn take_record(&mut self, batch: &mut Batch) -> Result<bool, LogError> {
        let from = batch.data.len();
        match self.decode(&mut batch.data) {
            Found::Record(length, fields) => {
                self.start += length;
                self.select(from, fields, batch);
                Ok(true)
            }
            Found::Garbage(length) => {
                self.start += length;
                Ok(true)
            }
            Found::Incomplete => Ok(false),
            Found::Damaged => Err(self.damage()),
        }
    }

    fn decode(&mut self, out: &mut Vec<u8>) -> Found {
        let input = &self.buffer[self.start..];
        match &mut self.format {
            Format::Json(decoder) => match decoder.decode(input, out) {
                json::Decoded::Record(length, fields) => Found::Record(length, fields),
                json::Decoded::Garbage(length) => Found::Garbage(length),
                json::Decoded::Incomplete => Found::Incomplete,
            },
            Format::Local => match local::decode(input, out) {
                local::Decoded::Record(length, stream, time) => {
                    Found::Record(length, json::Fields { stream, time, attributes: None })
                }
                local::Decoded::Damaged => Found::Damaged,
                local::Decoded::Incomplete => Found::Incomplete,
            },
        }
    }

    /// Keeps the record whose text begins at `from` where it is wanted.
    fn select(&mut self, from: usize, fields: json::Fields, batch: &mut Batch) {
        let skipped = match &mut self.current {
            Some(source) if source.skip > 0 => {
                source.skip -= 1;
                true
            }
            _ => false,
        };
        let options = &self.options;
        if !skipped && options.until.is_some_and(|until| fields.time > until) {
            self.finished = true;
        }
        let stream = match fields.stream {
            Stream::Stdout => options.stdout,
            Stream::Stderr => options.stderr,
        };
        let early = options.since.is_some_and(|since| fields.time < since);
        if skipped || self.finished || early || !stream {
            batch.data.truncate(from);
            return;
        }
        let json::Fields { stream, time, attributes } = fields;
        batch.records.push(Record { range: from..batch.data.len(), stream, time, attributes });
    }

    fn damage(&self) -> LogError {
        let (path, offset) = match &self.current {
            Some(source) => (
                source.path.clone(),
                match source.input {
                    Input::Plain { offset, .. } => offset - (self.buffer.len() - self.start) as u64,
                    Input::Compressed(_) => 0,
                },
            ),
            None => (self.path.clone(), 0),
        };
        LogError::Damaged { path, offset }
    }

    /// Reads more bytes, from the next file where one has ended; `false` where there is no more for now.
    fn refill(&mut self) -> Result<bool, LogError> {
        loop {
            if self.current.is_none() && !self.next_source()? {
                return Ok(false);
            }
            if self.read_chunk()? > 0 {
                return Ok(true);
            }
            if self.waiting.is_empty() {
                if !self.is_replaced()? {
                    self.rewind_if_cut()?;
                    return Ok(false);
                }
                // Written between the read and the rotation.
                if self.read_chunk()? > 0 {
                    return Ok(true);
                }
                self.waiting = chain::open(&self.path, self.last_inode)?.into();
                if self.waiting.is_empty() {
                    return Ok(false);
                }
            }
            self.current = None;
        }
    }

    fn next_source(&mut self) -> Result<bool, LogError> {
        if self.waiting.is_empty() {
            self.waiting = chain::open(&self.path, self.last_inode)?.into();
        }
        self.current = self.waiting.pop_front();
        // What is left of the file before is torn for good.
        self.buffer.clear();
        self.start = 0;
        if let Some(source) = &self.current {
            self.last_inode = Some(source.inode);
        }
        Ok(self.current.is_some())
    }

    fn read_chunk(&mut self) -> Result<usize, LogError> {
        let Some(source) = &mut self.current else { return Ok(0) };
        self.buffer.drain(..self.start);
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + CHUNK, 0);
        let read = source.read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Whether the name of the current file belongs to another one by now.
    fn is_replaced(&self) -> Result<bool, LogError> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(metadata.ino()) != self.last_inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(source) => Err(LogError::Io { action: "examine", path: self.path.clone(), source }),
        }
    }

    /// Goes back where the file has become shorter: by a torn record, or because it is the only one and began again.
    fn rewind_if_cut(&mut self) -> Result<(), LogError> {
        let Some(Source { path, input: Input::Plain { file, offset }, .. }) = &mut self.current else {
            return Ok(());
        };
        let length = file.metadata().map_err(LogError::io("examine", path))?.len();
        if length >= *offset {
            return Ok(());
        }
        let whole = *offset - (self.buffer.len() - self.start) as u64;
        *offset = if length >= whole { whole } else { 0 };
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    /// Starts where the newest file ends now.
    fn begin_at_end(&mut self, mut newest: Source) -> Result<(), LogError> {
        match &mut newest.input {
            Input::Plain { file, offset } => {
                *offset = file.metadata().map_err(LogError::io("examine", &newest.path))?.len();
            }
            Input::Compressed(_) => return Ok(()),
        }
        self.current = Some(newest);
        Ok(())
    }

    /// Gives memory back that is not needed at the end.
    fn release(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
            self.start = 0;
        }
    }
}
