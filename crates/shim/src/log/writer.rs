//! Writing a container's log.

use super::compress::Compressor;
use super::json::Encoder;
use super::lines::{LineEnd, Lines, Piece};
use super::rotate::{RotatingFile, Rotation};
use super::{LogError, Stream, local};
use crate::config::Log;

/// Bytes of records that are collected at most before they are written.
const BATCH: usize = 256 << 10;

/// Writes what a container puts out.
#[derive(Debug)]
pub struct Writer {
    sink: Sink,
    stdout: Lines,
    stderr: Lines,
}

/// Everything behind the cutting into lines.
#[derive(Debug)]
struct Sink {
    format: Format,
    file: RotatingFile,
    batch: Vec<u8>,
    /// The first thing that went wrong since it was last asked for.
    failure: Option<LogError>,
    dropped: u64,
}

#[derive(Debug)]
enum Format {
    Json(Encoder),
    Local,
}

impl Writer {
    /// Opens the log, and continues it where there is one; `None` where none is kept.
    ///
    /// # Errors
    /// The file cannot be opened or made, or its torn end not be removed.
    pub fn open(log: &Log, compressor: Box<dyn Compressor>) -> Result<Option<Self>, LogError> {
        let compressed = |wanted: bool| wanted.then_some(compressor);
        let (format, path, rotation) = match log {
            Log::None => return Ok(None),
            Log::JsonFile { path, max_size, max_files, compress, attributes } => {
                let compressor = compressed(*compress);
                let rotation = Rotation { max_size: *max_size, max_files: *max_files, compressor };
                (Format::Json(Encoder::new(attributes)), path, rotation)
            }
            Log::Local { path, max_size, max_files, compress } => {
                let compressor = compressed(*compress);
                let rotation = Rotation { max_size: *max_size, max_files: *max_files, compressor };
                (Format::Local, path, rotation)
            }
        };
        let mut file = RotatingFile::open(path, rotation)?;
        super::tail::repair(&mut file, matches!(format, Format::Local))?;
        let sink = Sink { format, file, batch: Vec::new(), failure: None, dropped: 0 };
        Ok(Some(Self { sink, stdout: Lines::default(), stderr: Lines::default() }))
    }

    /// Writes what came from a stream at `time`. Everything that ends in a newline is in the file afterwards.
    ///
    /// # Errors
    /// The first thing that went wrong. Records that could not be written are dropped and counted; later ones are
    /// tried again.
    pub fn write(&mut self, stream: Stream, data: &[u8], time: i64) -> Result<(), LogError> {
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        lines.feed(data, time, |piece| self.sink.record(stream, time, piece));
        self.sink.flush();
        self.sink.outcome()
    }

    /// Writes the line that a stream ended in without a newline.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn finish(&mut self, stream: Stream, time: i64) -> Result<(), LogError> {
        let lines = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        lines.finish(|piece| self.sink.record(stream, time, piece));
        self.sink.flush();
        self.sink.outcome()
    }

    /// Bytes of output that could not be written so far.
    pub fn dropped(&self) -> u64 {
        self.sink.dropped
    }

    /// Gives memory back; called when the container is quiet.
    pub fn release(&mut self) {
        self.sink.batch = Vec::new();
        self.stdout.release();
        self.stderr.release();
    }
}

impl Sink {
    fn record(&mut self, stream: Stream, time: i64, piece: Piece<'_>) {
        if self.batch.len() as u64 >= self.file.room() {
            self.flush();
            self.rotate_if_full();
        }
        let time = piece.since.unwrap_or(time);
        match &mut self.format {
            Format::Json(_) if piece.data.is_empty() && piece.end == LineEnd::Cut => {}
            Format::Json(encoder) => encoder.encode(stream, time, piece.data, piece.end, &mut self.batch),
            Format::Local => local::encode(stream, time, piece.data, piece.end, &mut self.batch),
        }
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Looks again, as what was collected may have been dropped instead of filling the file.
    fn rotate_if_full(&mut self) {
        if self.file.room() == 0
            && let Err(error) = self.file.rotate()
        {
            self.failure.get_or_insert(error);
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if let Err(error) = self.file.append(&self.batch) {
            self.dropped += self.batch.len() as u64;
            self.failure.get_or_insert(error);
        }
        self.batch.clear();
    }

    fn outcome(&mut self) -> Result<(), LogError> {
        self.failure.take().map_or(Ok(()), Err)
    }
}
