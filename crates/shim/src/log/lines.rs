//! Cutting output into lines as it comes, in pieces of any size.

use memchr::memchr;

/// Bytes after which a line is cut into pieces, as Docker does.
pub const MAX_PIECE: usize = 16 * 1024;

/// A line, or a piece of one, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// Whether a newline follows.
    pub end: LineEnd,
    /// The time that the line's earlier pieces have.
    pub since: Option<i64>,
}

/// How a piece ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// With a newline.
    Newline,
    /// In the middle of a long line, or at the end of the output.
    Cut,
}

/// What is left of one stream: a line that has begun.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// When the first piece of the present line was written, where there was one.
    since: Option<i64>,
}

impl Lines {
    /// Takes bytes that came at `time`, and hands on what is complete.
    pub fn feed(&mut self, mut data: &[u8], time: i64, mut take: impl FnMut(Piece<'_>)) {
        while !self.held.is_empty() {
            let joined = self.join(data);
            data = &data[joined..];
            let Some((piece, end, rest)) = first_piece(&self.held) else { return };
            take(Piece { data: piece, end, since: self.since });
            let done = self.held.len() - rest.len();
            self.held.drain(..done);
            self.passed(end, time);
        }
        while !data.is_empty() {
            let Some((piece, end, rest)) = first_piece(data) else {
                self.held.extend_from_slice(data);
                return;
            };
            take(Piece { data: piece, end, since: self.since });
            self.passed(end, time);
            data = rest;
        }
    }

    /// Hands on a line that no newline will end.
    pub fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            take(Piece { data: &self.held, end: LineEnd::Cut, since: self.since });
        }
        *self = Self::default();
    }

    /// Gives memory back that is not in use.
    pub fn release(&mut self) {
        self.held.shrink_to_fit();
    }

    /// Appends to the line that has begun, up to its end or the length of a piece; how many bytes that took.
    fn join(&mut self, data: &[u8]) -> usize {
        let reach = &data[..data.len().min(MAX_PIECE - self.held.len())];
        let length = memchr(b'\n', reach).map_or(reach.len(), |newline| newline + 1);
        self.held.extend_from_slice(&reach[..length]);
        length
    }

    fn passed(&mut self, end: LineEnd, time: i64) {
        match end {
            LineEnd::Newline => self.since = None,
            LineEnd::Cut => self.since = self.since.or(Some(time)),
        }
    }
}

/// The first line, or the first piece of it where it is too long; `None` where neither is complete.
fn first_piece(data: &[u8]) -> Option<(&[u8], LineEnd, &[u8])> {
    let reach = &data[..data.len().min(MAX_PIECE)];
    if let Some(newline) = memchr(b'\n', reach) {
        return Some((&data[..newline], LineEnd::Newline, &data[newline + 1..]));
    }
    if data.len() < MAX_PIECE {
        return None;
    }
    let (piece, rest) = data.split_at(character_boundary(reach));
    Some((piece, LineEnd::Cut, rest))
}

/// Where to cut so that a UTF-8 character that begins before the end is not torn: its bytes would be replaced one by one.
fn character_boundary(data: &[u8]) -> usize {
    let length = data.len();
    for back in 1..=3 {
        let byte = data[length - back];
        let width = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return length,
        };
        return if width > back { length - back } else { length };
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(Vec<u8>, LineEnd)> {
        let mut lines = Lines::default();
        let mut pieces = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, 1, |piece| pieces.push((piece.data.to_vec(), piece.end)));
        }
        lines.finish(|piece| pieces.push((piece.data.to_vec(), piece.end)));
        pieces
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let expected = vec![
            (b"one".to_vec(), LineEnd::Newline),
            (b"".to_vec(), LineEnd::Newline),
            (b"two".to_vec(), LineEnd::Cut),
        ];
        assert_eq!(cut(&[b"one\n\ntwo"]), expected);
        assert_eq!(cut(&[b"o", b"ne", b"\n", b"\nt", b"wo"]), expected);
    }

    #[test]
    fn long_line_is_cut_at_sixteen_kibibytes() {
        let line = vec![b'x'; MAX_PIECE * 2 + 5];
        let lengths: Vec<usize> = cut(&[&line, b"\n"]).iter().map(|(data, _)| data.len()).collect();
        assert_eq!(lengths, [MAX_PIECE, MAX_PIECE, 5]);
        let exact = vec![b'x'; MAX_PIECE];
        let pieces = cut(&[&exact, b"\n"]);
        assert_eq!(pieces[0].1, LineEnd::Cut);
        assert_eq!(pieces[1], (vec![], LineEnd::Newline));
    }

    #[test]
    fn character_at_the_cut_stays_whole() {
        let mut line = vec![b'x'; MAX_PIECE - 1];
        line.extend("€ and more".as_bytes());
        let pieces = cut(&[&line, b"\n"]);
        assert_eq!(pieces[0].0.len(), MAX_PIECE - 1);
        assert_eq!(pieces[1].0, "€ and more".as_bytes());
    }

    #[test]
    fn pieces_of_a_line_have_the_time_of_the_first() {
        let mut lines = Lines::default();
        let mut times = Vec::new();
        lines.feed(&vec![b'x'; MAX_PIECE], 10, |piece| times.push(piece.since));
        lines.feed(&vec![b'x'; MAX_PIECE], 20, |piece| times.push(piece.since));
        lines.feed(b"\nnext\n", 30, |piece| times.push(piece.since));
        assert_eq!(times, [None, Some(10), Some(10), None]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn cutting_loses_nothing_and_does_not_depend_on_the_reads(
            parts in prop::collection::vec(("[a€\u{10000}\n]{0,9}", 1usize..9000), 0..12),
            reads in prop::collection::vec(1usize..40_000, 1..8),
        ) {
            let text: String = parts.iter().map(|(text, times)| text.repeat(*times)).collect();
            let bytes = &text.as_bytes()[..text.len().min(300_000)];
            let whole = cut(&[bytes]);
            let mut chunks = Vec::new();
            let mut rest = bytes;
            for read in reads.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, after) = rest.split_at((*read).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(&cut(&chunks), &whole);
            let mut joined = Vec::new();
            for (data, end) in &whole {
                prop_assert!(data.len() <= MAX_PIECE);
                joined.extend_from_slice(data);
                if *end == LineEnd::Newline { joined.push(b'\n') }
            }
            prop_assert_eq!(joined, bytes);
        }
    }
}
