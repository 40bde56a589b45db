//! Records as the API's log streams show them.

use std::collections::BTreeMap;

use super::reader::Entry;
use super::time::{Clock, Fraction};

/// How records are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Render {
    /// Whether each record gets Docker's stream frame; not where the container has a terminal.
    pub multiplexed: bool,
    /// Whether the time stands before each record.
    pub timestamps: bool,
    /// Whether the attributes stand before each record.
    pub details: bool,
}

/// Appends the records as the API sends them.
pub fn render<'a>(entries: impl Iterator<Item = Entry<'a>>, options: Render, out: &mut Vec<u8>) {
    let mut clock = Clock::default();
    for entry in entries {
        let start = out.len();
        if options.multiplexed {
            out.extend_from_slice(&[0; 8]);
        }
        if options.timestamps {
            clock.append(entry.time, Fraction::Nine, out);
            out.push(b' ');
        }
        if options.details {
            append_details(entry.attributes, out);
        }
        out.extend_from_slice(entry.data);
        if options.multiplexed {
            let header = entry.stream.frame_header(out.len() - start - 8);
            out[start..start + 8].copy_from_slice(&header);
        }
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
    use super::super::Stream;
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
        let options = Render { multiplexed: true, timestamps: true, details: false };
        assert_eq!(rendered(options, None), b"\x02\0\0\0\0\0\0\x221970-01-01T00:00:01.000000000Z hi\n");
    }

    #[test]
    fn details_are_escaped_pairs() {
        let attributes = BTreeMap::from([("a".into(), "x y".into()), ("b/c".into(), "ü".into())]);
        let options = Render { details: true, ..Render::default() };
        assert_eq!(rendered(options, Some(&attributes)), b"a=x+y,b%2Fc=%C3%BC hi\n");
        assert_eq!(rendered(options, None), b" hi\n");
    }
}
