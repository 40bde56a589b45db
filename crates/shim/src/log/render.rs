//! Records as the API's log streams show them.

use std::collections::BTreeMap;

use super::Stream;
use super::reader::Entry;
use super::time::{Clock, Fraction};

/// How records are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Render {
    /// Docker's stream frames.
    pub frames: Frames,
    /// Whether the time stands before each record.
    pub timestamps: bool,
    /// Whether the attributes stand before each record.
    pub details: bool,
}

/// What the frames of a stream are around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// There are none, as for containers that have a terminal.
    #[default]
    Absent,
    /// Each record: some clients take one for a line.
    Records,
    /// All records in a row of the same stream, for clients that write what is inside and do not count frames: of small
    /// records, frames are most of the work of such a client.
    Runs,
}

/// Bytes at the start of a frame.
const HEADER: usize = 8;

/// Appends the records as the API sends them.
pub fn render<'a>(entries: impl Iterator<Item = Entry<'a>>, options: Render, out: &mut Vec<u8>) {
    let mut clock = Clock::default();
    let mut frame = None;
    for entry in entries {
        if options.frames != Frames::Absent {
            let goes_on =
                options.frames == Frames::Runs && frame.is_some_and(|(stream, _)| stream == entry.stream);
            if !goes_on {
                close(frame.take(), out);
                frame = Some((entry.stream, out.len()));
                out.extend_from_slice(&[0; HEADER]);
            }
        }
        if options.timestamps {
            clock.append(entry.time, Fraction::Nine, out);
            out.push(b' ');
        }
        if options.details {
            append_details(entry.attributes, out);
        }
        out.extend_from_slice(entry.data);
    }
    close(frame, out);
}

/// Fills in the header of the frame that began there and ends here.
fn close(frame: Option<(Stream, usize)>, out: &mut [u8]) {
    if let Some((stream, start)) = frame {
        let header = stream.frame_header(out.len() - start - HEADER);
        out[start..start + HEADER].copy_from_slice(&header);
    }
}

/// `key=value,key=value `, each part escaped as in a query string.
fn append_details(attributes: Option<&BTreeMap<String, String>>, out: &mut Vec<u8>) {
    let attributes = attributes.into_iter().flatten();
    for (index, (key, value)) in attributes.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        escape(key, out);
        out.push(b'=');
        escape(value, out);
    }
    out.push(b' ');
}

fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(options: Render, attributes: Option<&BTreeMap<String, String>>) -> Vec<u8> {
        let entry = Entry { stream: Stream::Stderr, time: 1_000_000_000, data: b"hi\n", attributes };
        let mut out = Vec::new();
        render([entry, entry].into_iter(), options, &mut out);
        assert_eq!(out[..out.len() / 2], out[out.len() / 2..]);
        out.truncate(out.len() / 2);
        out
    }

    #[test]
    fn raw_record_is_its_text() {
        assert_eq!(rendered(Render::default(), None), b"hi\n");
    }

    #[test]
    fn frame_counts_time_and_text() {
        let options = Render { frames: Frames::Records, timestamps: true, details: false };
        assert_eq!(rendered(options, None), b"\x02\0\0\0\0\0\0\x221970-01-01T00:00:01.000000000Z hi\n");
    }

    #[test]
    fn frame_of_a_run_ends_where_the_stream_changes() {
        let entry = |stream, data| Entry { stream, time: 1_000_000_000, data, attributes: None };
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let entries = [entry(out, &b"a\n"[..]), entry(out, b"b\n"), entry(err, b"c\n"), entry(out, b"d\n")];
        let mut rendered = Vec::new();
        render(entries.into_iter(), Render { frames: Frames::Runs, ..Render::default() }, &mut rendered);
        assert_eq!(rendered, b"\x01\0\0\0\0\0\0\x04a\nb\n\x02\0\0\0\0\0\0\x02c\n\x01\0\0\0\0\0\0\x02d\n");
    }

    #[test]
    fn details_are_escaped_pairs() {
        let attributes = BTreeMap::from([("a".into(), "x y".into()), ("b/c".into(), "ü".into())]);
        let options = Render { details: true, ..Render::default() };
        assert_eq!(rendered(options, Some(&attributes)), b"a=x+y,b%2Fc=%C3%BC hi\n");
        assert_eq!(rendered(options, None), b" hi\n");
    }
}
