//! Docker's json-file format: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}` and a newline.
//!
//! Text is escaped as Docker does it: `<`, `>` and `&` too, and each byte that is not UTF-8 becomes `\ufffd`.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::{memchr, memchr2};
use serde::Deserialize;

use super::Stream;
use super::lines::LineEnd;
use super::time::{Clock, Fraction};

const OPENING: &[u8] = b"{\"log\":\"";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes records.
#[derive(Debug)]
pub struct Encoder {
    clock: Clock,
    /// `"attrs":{…},`, or nothing.
    attributes: Vec<u8>,
    /// What follows the text of a record, for this stream and time.
    tail: Vec<u8>,
    tail_of: Option<(Stream, i64)>,
}

impl Encoder {
    /// An encoder whose records have these attributes.
    pub fn new(attributes: &BTreeMap<String, String>) -> Self {
        let mut text = Vec::new();
        if !attributes.is_empty() {
            text.extend_from_slice(b"\"attrs\":");
            serde_json::to_writer(&mut text, attributes).expect("a map of text is JSON");
            text.push(b',');
        }
        Self { clock: Clock::default(), attributes: text, tail: Vec::new(), tail_of: None }
    }

    /// Appends one record.
    pub fn encode(&mut self, stream: Stream, time: i64, data: &[u8], end: LineEnd, out: &mut Vec<u8>) {
        if self.tail_of != Some((stream, time)) {
            self.set_tail(stream, time);
        }
        out.extend_from_slice(OPENING);
        escape(data, out);
        if end == LineEnd::Newline {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(&self.tail);
    }

    fn set_tail(&mut self, stream: Stream, time: i64) {
        self.tail.clear();
        self.tail.extend_from_slice(b"\",\"stream\":\"");
        self.tail.extend_from_slice(stream.name().as_bytes());
        self.tail.extend_from_slice(b"\",");
        self.tail.extend_from_slice(&self.attributes);
        self.tail.extend_from_slice(b"\"time\":\"");
        self.clock.append(time, Fraction::Trimmed, &mut self.tail);
        self.tail.extend_from_slice(b"\"}\n");
        self.tail_of = Some((stream, time));
    }
}

/// Appends the text, escaped for the inside of a JSON string.
fn escape(data: &[u8], out: &mut Vec<u8>) {
    if is_plain(data) {
        out.extend_from_slice(data);
        return;
    }
    for chunk in data.utf8_chunks() {
        escape_valid(chunk.valid().as_bytes(), out);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Bytes compared at once; the loop over them becomes vector instructions.
const WIDTH: usize = 32;

/// Whether nothing needs to be escaped or looked at.
fn is_plain(data: &[u8]) -> bool {
    let (chunks, rest) = data.as_chunks::<WIDTH>();
    if !chunks.iter().all(|chunk| chunk.iter().fold(true, |plain, &byte| plain & is_plain_byte(byte))) {
        return false;
    }
    if let Some(last) = data.last_chunk::<WIDTH>() {
        // Overlaps what was seen, which costs less than a loop over single bytes.
        return last.iter().fold(true, |plain, &byte| plain & is_plain_byte(byte));
    }
    rest.iter().all(|&byte| is_plain_byte(byte))
}

#[inline(always)]
fn is_plain_byte(byte: u8) -> bool {
    (0x20..0x80).contains(&byte)
        & (byte != b'"')
        & (byte != b'\\')
        & (byte != b'<')
        & (byte != b'>')
        & (byte != b'&')
}

/// Which bytes of valid UTF-8 end a run that is copied as it is. 0xe2 begins the line and paragraph separators.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b < 0x20 || matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    table
};

fn escape_valid(data: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    let mut at = 0;
    while let Some(length) = data[at..].iter().position(|&byte| SPECIAL[usize::from(byte)]) {
        at += length;
        let width = match data[at] {
            0xe2 if !matches!(data[at..], [0xe2, 0x80, 0xa8 | 0xa9, ..]) => {
                at += 1;
                continue;
            }
            0xe2 => 3,
            _ => 1,
        };
        out.extend_from_slice(&data[start..at]);
        escape_one(&data[at..at + width], out);
        at += width;
        start = at;
    }
    out.extend_from_slice(&data[start..]);
}

fn escape_one(character: &[u8], out: &mut Vec<u8>) {
    match *character {
        [byte @ (b'"' | b'\\')] => out.extend_from_slice(&[b'\\', byte]),
        [b'\n'] => out.extend_from_slice(b"\\n"),
        [b'\r'] => out.extend_from_slice(b"\\r"),
        [byte] => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
        [_, _, last] => out.extend_from_slice(&[b'\\', b'u', b'2', b'0', b'2', HEX[usize::from(last & 15)]]),
        _ => unreachable!("one ASCII byte, or a separator of three"),
    }
}

/// The labels and variables that are written with each record.
pub type Attributes = BTreeMap<String, String>;

/// What a record says besides its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// From where it came.
    pub stream: Stream,
    /// When, nanoseconds since 1970 UTC.
    pub time: i64,
    /// Its attributes, where there are any.
    pub attributes: Option<Arc<Attributes>>,
}

/// What was found at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A record of this many bytes, newline included; its text was appended.
    Record(usize, Fields),
    /// A line of this many bytes that is no record.
    Garbage(usize),
    /// Not a whole line.
    Incomplete,
}

/// Reads records.
#[derive(Debug, Default)]
pub struct Decoder {
    clock: Clock,
    /// The last attributes as they were written, and what they mean: mostly they are all the same.
    attributes: Option<(Vec<u8>, Arc<Attributes>)>,
}

impl Decoder {
    /// Takes one record from the start of `input` and appends its text to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Decoded {
        let start = out.len();
        if let Some((length, fields)) = self.decode_own(input, out) {
            return Decoded::Record(length, fields);
        }
        out.truncate(start);
        let Some(newline) = memchr(b'\n', input) else { return Decoded::Incomplete };
        match self.decode_any(&input[..newline], out) {
            Some(fields) => Decoded::Record(newline + 1, fields),
            None => Decoded::Garbage(newline + 1),
        }
    }

    /// A record exactly as the encoder writes it.
    fn decode_own(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<(usize, Fields)> {
        let text = input.strip_prefix(OPENING)?;
        let rest = unescape(text, out)?.strip_prefix(b",\"stream\":\"std")?;
        let (stream, rest) = match rest.split_at_checked(5)? {
            (b"out\",", rest) => (Stream::Stdout, rest),
            (b"err\",", rest) => (Stream::Stderr, rest),
            _ => return None,
        };
        let (attributes, rest) = match rest.strip_prefix(b"\"attrs\":") {
            Some(rest) => self.attributes(rest)?,
            None => (None, rest),
        };
        let rest = rest.strip_prefix(b"\"time\":\"")?;
        let length = memchr(b'"', &rest[..rest.len().min(36)])?;
        let time = self.clock.parse(&rest[..length])?;
        let rest = rest[length..].strip_prefix(b"\"}\n")?;
        Some((input.len() - rest.len(), Fields { stream, time, attributes }))
    }

    /// Attributes equal to the last ones; others are left to the general parser.
    fn attributes<'a>(&self, input: &'a [u8]) -> Option<(Option<Arc<Attributes>>, &'a [u8])> {
        let (text, attributes) = self.attributes.as_ref()?;
        let rest = input.strip_prefix(text.as_slice())?.strip_prefix(b",")?;
        Some((Some(attributes.clone()), rest))
    }

    /// Any JSON object with these members in any order and form.
    fn decode_any(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Fields> {
        let record: Record<'_> = serde_json::from_slice(line).ok()?;
        let attributes = match record.attrs {
            Some(raw) => {
                let attributes: Arc<Attributes> = Arc::new(serde_json::from_str(raw.get()).ok()?);
                self.attributes = Some((raw.get().as_bytes().to_vec(), attributes.clone()));
                Some(attributes)
            }
            None => None,
        };
        let time = self.clock.parse(record.time.as_bytes())?;
        out.extend_from_slice(record.log.as_bytes());
        Some(Fields { stream: record.stream.unwrap_or(Stream::Stdout), time, attributes })
    }
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    log: String,
    stream: Option<Stream>,
    #[serde(borrow)]
    attrs: Option<&'a serde_json::value::RawValue>,
    time: String,
}

/// Appends the text up to the closing quote, and returns what follows that. `None` for what is not valid or not whole.
fn unescape<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = input;
    loop {
        let at = memchr2(b'"', b'\\', rest)?;
        out.extend_from_slice(&rest[..at]);
        if rest[at] == b'"' {
            return Some(&rest[at + 1..]);
        }
        rest = unescape_one(&rest[at + 1..], out)?;
    }
}

/// One escape, after its backslash.
fn unescape_one<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&kind, rest) = input.split_first()?;
    let byte = match kind {
        b'n' => b'\n',
        b'"' | b'\\' | b'/' => kind,
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'u' => {
            let (digits, rest) = rest.split_at_checked(4)?;
            // Halves of a surrogate pair are no characters; they are left to the general parser.
            let character = char::from_u32(u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        _ => return None,
    };
    out.push(byte);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(data: &[u8], end: LineEnd) -> Vec<u8> {
        let mut out = Vec::new();
        Encoder::new(&BTreeMap::new()).encode(Stream::Stdout, 1_767_323_045_120_000_000, data, end, &mut out);
        out
    }

    #[test]
    fn record_is_exactly_as_docker_writes_it() {
        assert_eq!(
            String::from_utf8(encode(b"hi \"you\" <a>&\t\x1b\\", LineEnd::Newline)).unwrap(),
            "{\"log\":\"hi \\\"you\\\" \\u003ca\\u003e\\u0026\\u0009\\u001b\\\\\\n\",\"stream\":\"stdout\",\
             \"time\":\"2026-01-02T03:04:05.12Z\"}\n"
        );
    }

    #[test]
    fn partial_record_has_no_newline_in_its_text() {
        let record = encode(b"half", LineEnd::Cut);
        assert!(record.starts_with(b"{\"log\":\"half\",\"stream\":\"stdout\","));
    }

    #[test]
    fn each_invalid_byte_is_replaced_and_separators_are_escaped() {
        let record = encode("a\u{2028}b\u{2029}€".as_bytes(), LineEnd::Cut);
        assert!(record.starts_with("{\"log\":\"a\\u2028b\\u2029€\"".as_bytes()));
        let record = encode(b"x\xe2\x80y\xff", LineEnd::Cut);
        assert!(record.starts_with(b"{\"log\":\"x\\ufffd\\ufffdy\\ufffd\""));
    }

    #[test]
    fn attributes_stand_before_the_time_and_come_back() {
        let attributes = BTreeMap::from([("tag".to_owned(), "a\"b".to_owned())]);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&attributes);
        encoder.encode(Stream::Stderr, 0, b"x", LineEnd::Newline, &mut out);
        encoder.encode(Stream::Stderr, 5, b"y", LineEnd::Newline, &mut out);
        assert!(out.starts_with(
            b"{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"tag\":\"a\\\"b\"},\"time\":\"1970-01-01T00:00:00Z\"}\n"
        ));
        let mut decoder = Decoder::default();
        let mut text = Vec::new();
        let Decoded::Record(length, first) = decoder.decode(&out, &mut text) else { panic!("no record") };
        assert_eq!(first.attributes.as_deref(), Some(&attributes));
        let Decoded::Record(_, second) = decoder.decode(&out[length..], &mut text) else {
            panic!("no record")
        };
        assert_eq!((second.attributes.as_deref(), second.time), (Some(&attributes), 5));
        assert_eq!(text, b"x\ny\n");
    }

    #[test]
    fn foreign_records_are_understood() {
        let mut decoder = Decoder::default();
        let mut text = Vec::new();
        let line = b"{ \"time\": \"1970-01-01T00:00:01+00:00\", \"stream\": \"stderr\", \"log\": \"\\ud83d\\ude00\\n\" }\n";
        let fields = Fields { stream: Stream::Stderr, time: 1_000_000_000, attributes: None };
        assert_eq!(decoder.decode(line, &mut text), Decoded::Record(line.len(), fields));
        assert_eq!(text, "😀\n".as_bytes());
    }

    #[test]
    fn damaged_line_is_garbage_and_torn_line_is_incomplete() {
        let mut decoder = Decoder::default();
        let mut text = Vec::new();
        assert_eq!(decoder.decode(b"\0\0{\n{", &mut text), Decoded::Garbage(4));
        let record = encode(b"whole", LineEnd::Newline);
        for length in 0..record.len() {
            assert_eq!(decoder.decode(&record[..length], &mut text), Decoded::Incomplete);
            assert!(text.is_empty());
        }
    }

    proptest! {
        #[test]
        fn record_is_json_that_serde_reads_alike(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let record = encode(&data, LineEnd::Newline);
            let value: serde_json::Value = serde_json::from_slice(&record).unwrap();
            let mut expected = String::new();
            for chunk in data.utf8_chunks() {
                expected.push_str(chunk.valid());
                expected.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
            }
            expected.push('\n');
            prop_assert_eq!(value["log"].as_str(), Some(expected.as_str()));
            let mut text = Vec::new();
            let decoded = Decoder::default().decode(&record, &mut text);
            prop_assert!(matches!(decoded, Decoded::Record(length, _) if length == record.len()));
            prop_assert_eq!(text, expected.as_bytes());
        }

        #[test]
        fn text_survives_a_round_trip(text in "(?s).{0,300}") {
            let record = encode(text.as_bytes(), LineEnd::Cut);
            let mut out = Vec::new();
            let decoded = Decoder::default().decode_own(&record, &mut out);
            prop_assert!(decoded.is_some(), "the fast path reads what the encoder wrote");
            prop_assert_eq!(out, text.as_bytes());
        }

        #[test]
        fn decoder_never_panics(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut input = OPENING.to_vec();
            input.extend_from_slice(&data);
            Decoder::default().decode(&input, &mut Vec::new());
            Decoder::default().decode(&data, &mut Vec::new());
        }
    }
}
