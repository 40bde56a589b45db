//! Places in a source text, and excerpts that show them.

use std::fmt::Write as _;

/// Lines of context around what an excerpt shows, when that is one line; half of it when there are several.
const CONTEXT: usize = 4;
/// A longer line is cut in an excerpt.
const MAX_SHOWN: usize = 400;

/// A place: line from 1 on, column in bytes from 0 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// From 1 on.
    pub line: u32,
    /// Bytes from the line's start.
    pub column: u32,
}

/// From one place up to, but without, another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: Position,
    /// The one after the last byte.
    pub end: Position,
}

/// Whole lines, both ends included, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lines {
    /// The first one.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl Lines {
    /// Only one.
    pub fn one(line: u32) -> Self {
        Self { first: line, last: line }
    }

    fn contains(self, line: usize) -> bool {
        (self.first as usize..=self.last as usize).contains(&line)
    }
}

/// Shows lines of a text with what is around them, as BuildKit does, and a caret line below `span`.
///
/// Empty where the text has no such lines. What would move a terminal's cursor is shown as a blank.
pub fn excerpt(file: &str, source: &str, lines: Lines, span: Option<Span>) -> String {
    let all: Vec<&str> = source.split('\n').collect();
    let first = lines.first as usize;
    if first == 0 || first > all.len() {
        return String::new();
    }
    let last = (lines.last as usize).clamp(first, all.len());
    let (from, to) = around(first, last, all.len());
    let mut out = format!("{file}:{first}\n--------------------\n");
    for number in from..=to {
        let mark = if lines.contains(number) { ">>>" } else { "   " };
        let _ = writeln!(out, " {number:3} | {mark} {}", shown(all[number - 1]));
        if let Some(span) = span.filter(|span| span.start.line as usize == number) {
            let _ = writeln!(out, "     |     {}", caret(all[number - 1], span));
        }
    }
    out.push_str("--------------------\n");
    out
}

/// The lines to show: each side in turn gets one until the context is used up.
fn around(first: usize, last: usize, count: usize) -> (usize, usize) {
    let context = if first == last { CONTEXT } else { CONTEXT / 2 };
    let (mut from, mut to, mut given) = (first, last, 0);
    while given < context {
        if from > 1 {
            from -= 1;
            given += 1;
        }
        if to < count {
            to += 1;
            given += 1;
        }
        given += 1;
    }
    (from, to)
}

fn shown(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let clean = |char: char| if char.is_control() && char != '\t' { ' ' } else { char };
    let mut text: String = line.chars().take(MAX_SHOWN).map(clean).collect();
    if line.chars().nth(MAX_SHOWN).is_some() {
        text.push('…');
    }
    text
}

/// Carets below the characters of a span; tabs stay tabs, so that they stand where they should.
fn caret(line: &str, span: Span) -> String {
    let boundary =
        |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let start = boundary(span.start.column as usize);
    let end = if span.end.line == span.start.line {
        boundary(span.end.column as usize)
    } else {
        line.trim_end().len()
    };
    let blank = |char: char| if char == '\t' { '\t' } else { ' ' };
    let indent: String = line[..start].chars().take(MAX_SHOWN).map(blank).collect();
    let width = line.get(start..end).map_or(1, |marked| marked.chars().count()).clamp(1, MAX_SHOWN);
    format!("{indent}{}", "^".repeat(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, from: u32, to: u32) -> Span {
        Span { start: Position { line, column: from }, end: Position { line, column: to } }
    }

    #[test]
    fn excerpt_has_context_mark_and_caret() {
        let source = "FROM a\n\nRUNN x\nRUN y\n";
        let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     \n   3 | >>> RUNN x\n     |     ^^^^\n   4 |     RUN y\n   5 |     \n--------------------\n";
        assert_eq!(excerpt("Dockerfile", source, Lines::one(3), Some(at(3, 0, 4))), expected);
    }

    #[test]
    fn excerpt_of_several_lines_has_less_context() {
        let source = "1\n2\n3\n4\n5\n6";
        let text = excerpt("f", source, Lines { first: 3, last: 4 }, None);
        assert_eq!(
            text,
            "f:3\n--------------------\n   2 |     2\n   3 | >>> 3\n   4 | >>> 4\n   5 |     5\n--------------------\n"
        );
    }

    #[test]
    fn excerpt_of_no_line_is_empty() {
        assert_eq!(excerpt("f", "a", Lines::one(9), None), "");
        assert_eq!(excerpt("f", "a", Lines::one(0), None), "");
    }

    #[test]
    fn caret_stands_below_characters_not_bytes() {
        assert_eq!(caret("\tä bc", at(1, 4, 6)), "\t  ^^");
        assert_eq!(caret("a", at(1, 7, 9)), " ^");
        assert_eq!(caret("ä", at(1, 1, 1)), "^");
    }
}
