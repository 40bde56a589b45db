//! Output of steps: bytes become lines, and lines become something that a terminal can be trusted with.

use std::collections::VecDeque;

/// The last lines of a step's output.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Tail {
    lines: VecDeque<Line>,
    /// The bytes of these.
    bytes: usize,
    /// What has no end yet.
    open: Option<Line>,
    /// How many lines are no longer here.
    pub(super) dropped: usize,
}

/// A line, and when it began, in nanoseconds from the step's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) at: i64,
    pub(super) bytes: Vec<u8>,
}

/// As many lines are kept of each step.
const KEPT: usize = 1000;
/// As many bytes are kept of each step.
const KEPT_BYTES: usize = 256 * 1024;
/// As many bytes are kept of a line.
const LONGEST: usize = 16 * 1024;

impl Tail {
    /// Takes what a step has written.
    pub(super) fn push(&mut self, at: i64, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, ends) = match part.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (part, false),
            };
            let line = self.open.get_or_insert_with(|| Line { at, bytes: Vec::new() });
            let room = LONGEST.saturating_sub(line.bytes.len());
            line.bytes.extend_from_slice(&content[..content.len().min(room)]);
            if ends {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let Some(line) = self.open.take() else { return };
        self.bytes += line.bytes.len();
        self.lines.push_back(line);
        while self.lines.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.dropped += 1;
        }
    }

    /// The lines that are here, the one without an end among them.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter().chain(&self.open)
    }
}

/// A line as a terminal would show it after all: what is before a carriage return is written over, escape sequences
/// and control characters do nothing, tabs are blanks.
pub(super) fn clean(bytes: &[u8]) -> String {
    let trimmed = bytes.trim_ascii_end();
    let last = trimmed.rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
    let text = String::from_utf8_lossy(last);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut width = 0;
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => {
                let blanks = 8 - width % 8;
                out.extend(std::iter::repeat_n(' ', blanks));
                width += blanks;
            }
            // Marks that change the direction of writing could move text to where it does not belong.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => {
                out.push(c);
                width += 1;
            }
        }
    }
    out
}

/// What follows an escape character (ECMA-48): a sequence up to its last letter, a text up to its end, or one character.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            let _ = chars.find(|c| matches!(c, '\x40'..='\x7e'));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut is_escaped = false;
            let _ = chars.find(|c| {
                let ends = *c == '\x07' || is_escaped && *c == '\\';
                is_escaped = *c == '\x1b';
                ends
            });
        }
        Some('\x20'..='\x2f') => {
            let _ = chars.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(tail: &Tail) -> Vec<String> {
        tail.lines().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
    }

    #[test]
    fn lines_are_put_together() {
        let mut tail = Tail::default();
        tail.push(1, b"on");
        tail.push(2, b"e\ntwo\n\nth");
        assert_eq!(texts(&tail), ["one", "two", "", "th"]);
        assert_eq!(tail.lines().map(|line| line.at).collect::<Vec<_>>(), [1, 2, 2, 2]);
    }

    #[test]
    fn what_is_old_is_dropped() {
        let mut tail = Tail::default();
        for number in 0..KEPT + 5 {
            tail.push(0, format!("{number}\n").as_bytes());
        }
        assert_eq!((tail.dropped, texts(&tail)[0].as_str()), (5, "5"));
        tail.push(0, &vec![b'x'; 2 * LONGEST]);
        assert_eq!(tail.lines().next_back().unwrap().bytes.len(), LONGEST);
        for _ in 0..100 {
            tail.push(0, &[vec![b'x'; LONGEST], vec![b'\n']].concat());
        }
        assert_eq!(tail.lines().count(), KEPT_BYTES / LONGEST);
    }

    #[test]
    fn lines_are_harmless() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"10%\r50%\r100%\r\n", "100%"),
            (b"\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hhome", "red home"),
            (b"\x1b]0;title\x07shown", "shown"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bPq#0\x1b\\after", "after"),
            (b"\x1b(Btext\x1b7x", "textx"),
            (b"a\tb\x08\x00\x7f", "a       b"),
            (b"\xff\xfe ok", "\u{fffd}\u{fffd} ok"),
            (b"cut \x1b[", "cut "),
            ("x\u{202e}y".as_bytes(), "xy"),
            ("\u{9b}31mC1".as_bytes(), "31mC1"),
        ] {
            assert_eq!(clean(bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_controls_the_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!clean(&bytes).chars().any(char::is_control));
        }
    }
}
