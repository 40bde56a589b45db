//! The ends of log files: where the last records begin, and what a crash left torn.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use memchr::{memchr_iter, memrchr_iter};

use super::LogError;
use super::chain::{Input, Source};
use super::rotate::RotatingFile;

/// Bytes looked at together.
const BLOCK: usize = 64 << 10;

/// Lets the sources begin with the last `count` records of them all; those that hold none of these are dropped.
pub(super) fn seek(sources: &mut Vec<Source>, count: u64, local: bool) -> Result<(), LogError> {
    let mut wanted = count;
    let mut first = sources.len();
    while wanted > 0 && first > 0 {
        first -= 1;
        let source = &mut sources[first];
        let found = seek_one(source, wanted, local).map_err(LogError::io("read", &source.path))?;
        wanted -= found.min(wanted);
    }
    sources.drain(..first);
    if count == 0 {
        // What is written from now on is read where the newest file ends.
        sources.clear();
    }
    Ok(())
}

/// Lets the source begin with at most the last `wanted` records, and returns how many these are.
fn seek_one(source: &mut Source, wanted: u64, local: bool) -> io::Result<u64> {
    match &mut source.input {
        Input::Plain { file, offset } => {
            let length = file.metadata()?.len();
            let (start, found) =
                if local { last_local(file, length, wanted)? } else { last_lines(file, length, wanted)? };
            *offset = start;
            Ok(found)
        }
        Input::Compressed(_) => {
            let file = File::open(&source.path)?;
            let mut decoder = super::compress::decoder(file);
            let total = if local { count_local(&mut decoder)? } else { count_lines(&mut decoder)? };
            source.skip = total.saturating_sub(wanted);
            Ok(total - source.skip)
        }
    }
}

/// Where the last `wanted` lines of a file begin, and how many there are.
fn last_lines(file: &File, length: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut buffer = vec![0; BLOCK];
    let mut end = length;
    // The last newline ends the last line, so one more is looked for.
    let mut newlines = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut buffer[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        for newline in memrchr_iter(b'\n', block) {
            if newlines == wanted {
                return Ok((start + newline as u64 + 1, wanted));
            }
            newlines += 1;
        }
        end = start;
    }
    Ok((0, newlines))
}

/// Where the last `wanted` records of a file begin, and how many there are.
fn last_local(file: &File, length: u64, wanted: u64) -> io::Result<(u64, u64)> {
    let mut end = length;
    let mut found = 0;
    while found < wanted && end > 0 {
        let Some(start) = record_before(file, end)? else {
            // The end is torn: go by the lengths from the front.
            let starts = local_starts(file, length)?;
            let first = starts.len().saturating_sub(wanted as usize);
            let start = starts.get(first).copied().unwrap_or(length);
            return Ok((start, (starts.len() - first) as u64));
        };
        end = start;
        found += 1;
    }
    Ok((end, found))
}

/// Where the record that ends at `end` begins; `None` where its two lengths differ.
fn record_before(file: &File, end: u64) -> io::Result<Option<u64>> {
    if end < 8 {
        return Ok(None);
    }
    let last = read_length(file, end - 4)?;
    let Some(start) = end.checked_sub(u64::from(last) + 8) else { return Ok(None) };
    Ok((read_length(file, start)? == last).then_some(start))
}

/// Where each whole record begins, found from the front.
fn local_starts(file: &File, length: u64) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 8 <= length {
        let record = u64::from(read_length(file, at)?) + 8;
        if at + record > length || read_length(file, at + record - 4)? as u64 + 8 != record {
            break;
        }
        starts.push(at);
        at += record;
    }
    Ok(starts)
}

fn read_length(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_be_bytes(bytes))
}

fn count_lines(input: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; BLOCK];
    let mut lines = 0;
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(lines),
            length => lines += memchr_iter(b'\n', &buffer[..length]).count() as u64,
        }
    }
}

fn count_local(input: &mut impl Read) -> io::Result<u64> {
    let mut records = 0;
    loop {
        let mut length = [0; 4];
        match input.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(records),
            result => result?,
        }
        let rest = u64::from(u32::from_be_bytes(length)) + 4;
        if io::copy(&mut input.take(rest), &mut io::sink())? < rest {
            return Ok(records);
        }
        records += 1;
    }
}

/// Cuts off a record at the end that a crash of the machine has left torn.
pub(super) fn repair(file: &mut RotatingFile, local: bool) -> Result<(), LogError> {
    let length = file.length();
    if length == 0 {
        return Ok(());
    }
    let whole = whole_length(file.file(), length, local).map_err(LogError::io("read", file.path()))?;
    if whole < length { file.cut(whole) } else { Ok(()) }
}

fn whole_length(file: &File, length: u64, local: bool) -> io::Result<u64> {
    if !local {
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1)?;
        return if last == *b"\n" { Ok(length) } else { Ok(last_lines(file, length, 0)?.0) };
    }
    if record_before(file, length)?.is_some() {
        return Ok(length);
    }
    match local_starts(file, length)?.last() {
        Some(&start) => Ok(start + u64::from(read_length(file, start)?) + 8),
        None => Ok(0),
    }
}
