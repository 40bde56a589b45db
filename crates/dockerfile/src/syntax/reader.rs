//! The lines of a file, put together to logical ones.

use std::borrow::Cow;

use super::directive::Reader as DirectiveReader;
use super::heredoc::Heredoc;
use super::line::Line;
use crate::error::{Error, Problem};
use crate::source::{Lines, Position};

/// Bytes that a line can have.
pub(crate) const MAX_LINE: usize = 65_535;

/// A logical line with what belongs to it.
#[derive(Debug)]
pub(crate) struct Logical {
    pub(crate) line: Line,
    /// Comments right before it, without their number signs.
    pub(crate) comments: Vec<String>,
    /// Whether a blank line is in the middle of it.
    pub(crate) has_empty_continuation: bool,
}

/// Reads a file from its start to its end.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a str,
    /// The number of the line that was read last.
    number: u32,
    pub(crate) directives: DirectiveReader,
    comments: Vec<String>,
}

/// Bytes that are not UTF-8 are replaced, and a byte order mark is left out.
pub(crate) fn decode(source: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source))
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self { rest: source, number: 0, directives: DirectiveReader::default(), comments: Vec::new() }
    }

    /// The character that joins lines, as far as directives have been read.
    pub(crate) fn escape(&self) -> char {
        self.directives.found.escape_character()
    }

    /// The next line of the file with its line end.
    fn physical(&mut self) -> Result<Option<&'a str>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.number += 1;
        self.rest = rest;
        if line.strip_suffix('\n').unwrap_or(line).len() > MAX_LINE {
            return Err(Error::new(Problem::LineTooLong(MAX_LINE)).in_lines(Lines::one(self.number)));
        }
        Ok(Some(line))
    }

    /// The next logical line.
    pub(crate) fn logical(&mut self) -> Result<Option<Logical>, Error> {
        while let Some(line) = self.physical()? {
            let (text, column) = trim_start(trim_end(line));
            if text.starts_with('#') {
                self.comment(text)?;
                continue;
            }
            self.directives.read(text, self.number)?;
            let (piece, goes_on) = self.continuation(text);
            if piece.is_empty() && !goes_on {
                continue;
            }
            let mut found = Logical {
                line: Line::at(self.number),
                comments: std::mem::take(&mut self.comments),
                has_empty_continuation: false,
            };
            found.line.push(piece, Position { line: self.number, column });
            if goes_on {
                self.join(&mut found)?;
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    fn comment(&mut self, text: &str) -> Result<(), Error> {
        if self.directives.read(text, self.number)? {
            return Ok(());
        }
        match text[1..].trim() {
            // An empty comment ends what is said of the next instruction.
            "" => self.comments.clear(),
            comment => self.comments.push(comment.to_owned()),
        }
        Ok(())
    }

    /// Adds lines up to one that does not end with the escape character.
    fn join(&mut self, found: &mut Logical) -> Result<(), Error> {
        while let Some(line) = self.physical()? {
            let text = trim_end(line);
            found.line.lines.last = self.number;
            let (trimmed, _) = trim_start(text);
            if trimmed.starts_with('#') {
                continue;
            }
            if trimmed.is_empty() {
                found.has_empty_continuation = true;
                continue;
            }
            let (piece, goes_on) = self.continuation(text);
            found.line.push(piece, Position { line: self.number, column: 0 });
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// A line without the escape character at its end, and whether it has one. Two of them are none.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let escape = self.escape();
        let text = line.trim_end_matches([' ', '\t']);
        match text.strip_suffix(escape) {
            Some(piece) if !piece.ends_with(escape) => (piece, true),
            _ => (line, false),
        }
    }

    /// Reads the contents of heredocs, one after the other.
    pub(crate) fn heredocs(&mut self, heredocs: &mut [Heredoc], lines: &mut Lines) -> Result<(), Error> {
        for heredoc in heredocs {
            loop {
                let Some(line) = self.physical()? else {
                    return Err(Error::new(Problem::UnterminatedHeredoc).in_lines(*lines));
                };
                lines.last = self.number;
                if heredoc.ends_with(trim_end(line)) {
                    break;
                }
                heredoc.content.push_str(line);
            }
        }
        Ok(())
    }
}

fn trim_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// Without blanks at the start, and how many bytes they had.
fn trim_start(line: &str) -> (&str, u32) {
    let text = line.trim_start();
    (text, (line.len() - text.len()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str) -> Vec<(String, u32, u32)> {
        let mut reader = Reader::new(source);
        let mut found = Vec::new();
        while let Some(logical) = reader.logical().unwrap() {
            found.push((logical.line.text, logical.line.lines.first, logical.line.lines.last));
        }
        found
    }

    #[test]
    fn lines_are_joined_and_comments_are_left_out() {
        for (source, expected) in [
            ("a \\\n  b\n", vec![("a   b", 1, 2)]),
            ("a \\\n# no\n\n  b\nc", vec![("a   b", 1, 4), ("c", 5, 5)]),
            ("a\\ \t\nb", vec![("ab", 1, 2)]),
            ("a\\\\\nb", vec![("a\\\\", 1, 1), ("b", 2, 2)]),
            ("a\\", vec![("a", 1, 1)]),
            ("\\\na", vec![("a", 1, 2)]),
            ("\n\n  # x\n a\r\n\r\nb \r\n", vec![("a", 4, 4), ("b ", 6, 6)]),
            ("#escape=`\na`\nb\\\nc", vec![("ab\\", 2, 3), ("c", 4, 4)]),
            ("a \\\n # x \\\n b", vec![("a  b", 1, 3)]),
            ("", vec![]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(text, first, last)| (text.to_owned(), first, last)).collect();
            assert_eq!(all(source), expected, "{source:?}");
        }
    }

    #[test]
    fn comments_belong_to_the_next_instruction() {
        let mut reader = Reader::new("# escape=`\n# a\n#\n  # b\n\n# c\nx\ny");
        assert_eq!(reader.logical().unwrap().unwrap().comments, ["b", "c"]);
        assert!(reader.logical().unwrap().unwrap().comments.is_empty());
    }

    #[test]
    fn line_has_a_limit() {
        let longest = format!("{}\n", "x".repeat(MAX_LINE));
        assert_eq!(all(&longest).len(), 1);
        let error =
            Reader::new(&format!("a\n{}", "x".repeat(MAX_LINE + 1))).heredocs(&mut [], &mut Lines::default());
        assert!(error.is_ok());
        let long = format!("a\n{}", "x".repeat(MAX_LINE + 1));
        let mut reader = Reader::new(&long);
        reader.logical().unwrap();
        let error = reader.logical().unwrap_err();
        assert_eq!(error.to_string(), "dockerfile line greater than max allowed size of 65535");
        assert_eq!(error.lines, Some(Lines::one(2)));
    }

    #[test]
    fn byte_order_mark_and_foreign_bytes_do_no_harm() {
        assert_eq!(decode(b"\xef\xbb\xbfFROM a"), "FROM a");
        assert_eq!(decode(b"# J\xf6rg"), "# J\u{fffd}rg");
    }
}
