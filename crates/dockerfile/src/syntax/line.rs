//! Logical lines: one or more lines of the source joined by the escape character, of which each byte knows its place.

use crate::source::{Lines, Position, Span};

/// The text of a logical line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// Where each piece begins in `text`, and where that is in the source.
    pieces: Vec<(usize, Position)>,
    pub(crate) lines: Lines,
}

impl Line {
    /// An empty line at this place.
    pub(crate) fn at(line: u32) -> Self {
        Self { lines: Lines::one(line), ..Self::default() }
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let mut line = Self::default();
        line.push(text, Position { line: 1, column: 0 });
        line
    }

    pub(crate) fn push(&mut self, text: &str, position: Position) {
        self.pieces.push((self.text.len(), position));
        self.text.push_str(text);
    }

    fn position(&self, offset: usize) -> Position {
        let next = self.pieces.partition_point(|(start, _)| *start <= offset);
        match next.checked_sub(1).map(|piece| self.pieces[piece]) {
            Some((start, at)) => Position { line: at.line, column: at.column + (offset - start) as u32 },
            None => Position { line: self.lines.first, column: 0 },
        }
    }

    /// The place of a part. Its end is found from its last byte, which may be on an earlier line than the next byte.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let first = self.position(start);
        let last = if end > start { self.position(end - 1) } else { first };
        let width = u32::from(end > start);
        Span { start: first, end: Position { line: last.line, column: last.column + width } }
    }

    pub(crate) fn whole(&self) -> Part<'_> {
        Part { line: self, start: 0, end: self.text.len() }
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    line: &'a Line,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    pub(crate) fn text(self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    pub(crate) fn span(self) -> Span {
        self.line.span(self.start, self.end)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// From and up to these bytes of the part.
    pub(crate) fn sub(self, start: usize, end: usize) -> Self {
        Self { line: self.line, start: self.start + start, end: self.start + end }
    }

    pub(crate) fn trim(self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        self.sub(start, start + text.trim().len())
    }

    /// What is before the first blanks, and what is after them.
    pub(crate) fn split_blank(self) -> (Self, Option<Self>) {
        let text = self.text();
        let Some(blank) = text.find(is_blank) else { return (self, None) };
        let rest = text[blank..].trim_start_matches(is_blank);
        (self.sub(0, blank), Some(self.sub(text.len() - rest.len(), text.len())))
    }

    /// What blanks separate.
    pub(crate) fn words(self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut rest = Some(self).filter(|part| !part.is_empty());
        while let Some(part) = rest {
            let (word, after) = part.split_blank();
            words.push(word.word());
            rest = after;
        }
        words
    }

    pub(crate) fn word(self) -> Word {
        Word { text: self.text().to_owned(), span: self.span() }
    }
}

/// The blanks between words: those of ASCII without the line feed.
pub(crate) fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// A word as it is written, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// With quotes, escapes and variables.
    pub text: String,
    /// Where.
    pub span: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined() -> Line {
        let mut line = Line { lines: Lines { first: 3, last: 4 }, ..Line::default() };
        line.push("RUN a ", Position { line: 3, column: 2 });
        line.push("  bc", Position { line: 4, column: 0 });
        line
    }

    #[test]
    fn words_know_their_places_across_lines() {
        let line = joined();
        let words = line.whole().words();
        let places: Vec<_> = words
            .iter()
            .map(|word| {
                (word.text.as_str(), word.span.start.line, word.span.start.column, word.span.end.column)
            })
            .collect();
        assert_eq!(places, [("RUN", 3, 2, 5), ("a", 3, 6, 7), ("bc", 4, 2, 4)]);
    }

    #[test]
    fn end_of_a_part_is_on_the_line_of_its_last_byte() {
        let span = joined().span(4, 6);
        assert_eq!((span.end.line, span.end.column), (3, 8));
    }

    #[test]
    fn parts_are_trimmed_and_split() {
        let line = Line::of("  a \t b c ");
        let part = line.whole().trim();
        assert_eq!(part.text(), "a \t b c");
        let (first, rest) = part.split_blank();
        assert_eq!((first.text(), rest.unwrap().text()), ("a", "b c"));
        assert_eq!(rest.unwrap().span().start.column, 6);
    }
}
