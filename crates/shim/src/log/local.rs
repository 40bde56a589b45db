//! Docker's local format: each record is a protocol buffer between two big-endian `u32` of its length.
//!
//! The message is `LogEntry { string source = 1; int64 time_nano = 2; bytes line = 3; bool partial = 4; }`. Lines are stored
//! without their newline; the second length allows reading from the end.

use super::Stream;
use super::lines::LineEnd;

/// The longest record that is accepted, in bytes; writers cut lines far below.
const MAX_RECORD: usize = 1 << 20;

const SOURCE: u8 = 1 << 3 | LENGTH_DELIMITED;
const TIME: u8 = 2 << 3 | VARINT;
const LINE: u8 = 3 << 3 | LENGTH_DELIMITED;
const PARTIAL: u8 = 4 << 3 | VARINT;
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// Appends one record.
pub fn encode(stream: Stream, time: i64, data: &[u8], end: LineEnd, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(SOURCE);
    put_bytes(stream.name().as_bytes(), out);
    out.push(TIME);
    put_varint(time as u64, out);
    out.push(LINE);
    put_bytes(data, out);
    if end == LineEnd::Cut {
        out.extend_from_slice(&[PARTIAL, 1]);
    }
    let length = ((out.len() - start - 4) as u32).to_be_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out.extend_from_slice(&length);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What was found at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A record of this many bytes, from this stream at this time; its text was appended.
    Record(usize, Stream, i64),
    /// Not a record; nothing after it can be found.
    Damaged,
    /// Not all of a record.
    Incomplete,
}

/// Takes one record from the start of `input` and appends its text, newline included, to `out`.
pub fn decode(input: &[u8], out: &mut Vec<u8>) -> Decoded {
    let Some(length) = length_at(input, 0) else { return Decoded::Incomplete };
    if length > MAX_RECORD {
        return Decoded::Damaged;
    }
    let Some(message) = input.get(4..4 + length) else { return Decoded::Incomplete };
    let Some(again) = length_at(input, 4 + length) else { return Decoded::Incomplete };
    if again != length {
        return Decoded::Damaged;
    }
    let Some(message) = Message::parse(message) else { return Decoded::Damaged };
    out.extend_from_slice(message.line);
    if !message.partial {
        out.push(b'\n');
    }
    Decoded::Record(length + 8, message.stream, message.time)
}

/// The length of the record that ends where `input` ends, both lengths included.
pub fn last_length(input: &[u8]) -> Option<usize> {
    let length = length_at(input, input.len().checked_sub(4)?)?;
    (length <= MAX_RECORD).then_some(length + 8)
}

fn length_at(input: &[u8], at: usize) -> Option<usize> {
    let bytes = input.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize)
}

struct Message<'a> {
    stream: Stream,
    time: i64,
    line: &'a [u8],
    partial: bool,
}

impl<'a> Message<'a> {
    fn parse(mut input: &'a [u8]) -> Option<Self> {
        let mut message = Self { stream: Stream::Stdout, time: 0, line: &[], partial: false };
        while !input.is_empty() {
            let (tag, rest) = varint(input)?;
            input = rest;
            match u8::try_from(tag & 7).ok()? {
                VARINT => {
                    let (value, rest) = varint(input)?;
                    message.set_number(tag, value);
                    input = rest;
                }
                LENGTH_DELIMITED => {
                    let (length, rest) = varint(input)?;
                    let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    message.set_bytes(tag, bytes);
                    input = rest;
                }
                FIXED64 => input = input.get(8..)?,
                FIXED32 => input = input.get(4..)?,
                _ => return None,
            }
        }
        Some(message)
    }

    fn set_number(&mut self, tag: u64, value: u64) {
        if tag == u64::from(TIME) {
            self.time = value as i64;
        } else if tag == u64::from(PARTIAL) {
            self.partial = value != 0;
        }
    }

    fn set_bytes(&mut self, tag: u64, bytes: &'a [u8]) {
        if tag == u64::from(LINE) {
            self.line = bytes;
        } else if tag == u64::from(SOURCE) && bytes == b"stderr" {
            self.stream = Stream::Stderr;
        }
    }
}

fn varint(input: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in input.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &input[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn record_has_its_length_on_both_sides() {
        let mut record = Vec::new();
        encode(Stream::Stdout, 5, b"hi", LineEnd::Newline, &mut record);
        assert_eq!(record, b"\0\0\0\x0e\x0a\x06stdout\x10\x05\x1a\x02hi\0\0\0\x0e");
        assert_eq!(last_length(&record), Some(record.len()));
    }

    #[test]
    fn lengths_that_differ_are_damage() {
        let mut record = Vec::new();
        encode(Stream::Stdout, 5, b"hi", LineEnd::Newline, &mut record);
        *record.last_mut().unwrap() += 1;
        assert_eq!(decode(&record, &mut Vec::new()), Decoded::Damaged);
    }

    proptest! {
        #[test]
        fn record_survives_a_round_trip(data in prop::collection::vec(any::<u8>(), 0..300), time: i64, cut: bool) {
            let end = if cut { LineEnd::Cut } else { LineEnd::Newline };
            let mut record = Vec::new();
            encode(Stream::Stderr, time, &data, end, &mut record);
            let mut text = Vec::new();
            for length in 0..record.len() {
                prop_assert_eq!(decode(&record[..length], &mut text), Decoded::Incomplete);
            }
            prop_assert_eq!(decode(&record, &mut text), Decoded::Record(record.len(), Stream::Stderr, time));
            let mut expected = data.clone();
            if !cut { expected.push(b'\n') }
            prop_assert_eq!(text, expected);
        }

        #[test]
        fn decoder_never_panics(data in prop::collection::vec(any::<u8>(), 0..100)) {
            decode(&data, &mut Vec::new());
            Message::parse(&data);
        }
    }
}
