//! Directives: comments at the top of a file that change how it is read.

use crate::error::{Error, Problem};
use crate::source::{Lines, Position, Span};

/// What the top of a file says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// The image of the frontend that is asked for.
    pub syntax: Option<String>,
    /// The escape character that is asked for.
    pub escape: Option<char>,
    /// Options of the checks.
    pub check: Option<String>,
}

impl Directives {
    /// The escape character: a backslash where no other one is asked for.
    pub fn escape_character(&self) -> char {
        self.escape.unwrap_or('\\')
    }
}

/// A directive by name, with its value.
fn split(line: &str) -> Option<(String, &str)> {
    let text = line.strip_prefix('#')?.trim_start();
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim());
    let is_name = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value))
}

/// The `check` directive that is in a comment before an instruction.
pub fn check_of_comment(comment: &str) -> Option<String> {
    let line = format!("#{comment}");
    let (name, value) = split(&line)?;
    (name == "check").then(|| value.split(' ').next().unwrap_or_default().to_owned())
}

/// Reads the directives, line by line, until something else comes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) found: Directives,
    is_done: bool,
}

impl Reader {
    /// Whether the line, without blanks at its start, is a directive.
    pub(crate) fn read(&mut self, line: &str, number: u32) -> Result<bool, Error> {
        let directive = if self.is_done { None } else { split(line) };
        let taken = match &directive {
            Some((name, value)) => self.take(name, value),
            None => Ok(false),
        };
        let width = line.len() as u32;
        let span = Span {
            start: Position { line: number, column: 0 },
            end: Position { line: number, column: width },
        };
        let taken = taken.map_err(|problem| Error::new(problem).at(span).in_lines(Lines::one(number)))?;
        self.is_done |= !taken;
        Ok(taken)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "syntax" if self.found.syntax.is_some() => return Err(Problem::RepeatedDirective("syntax")),
            "check" if self.found.check.is_some() => return Err(Problem::RepeatedDirective("check")),
            "escape" if self.found.escape.is_some() => return Err(Problem::RepeatedDirective("escape")),
            // Only the image counts, what follows it is the frontend's own affair.
            "syntax" => self.found.syntax = value.split(' ').next().map(str::to_owned),
            "check" => self.found.check = Some(value.to_owned()),
            "escape" => match value {
                "\\" => self.found.escape = Some('\\'),
                "`" => self.found.escape = Some('`'),
                other => return Err(Problem::EscapeToken(other.to_owned())),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Directives, String> {
        let mut reader = Reader::default();
        for line in lines {
            reader.read(line, 1).map_err(|error| error.to_string())?;
        }
        Ok(reader.found)
    }

    #[test]
    fn directives_are_read_until_something_else_comes() {
        let found =
            read(&["# Syntax = docker/dockerfile:1 x", "#escape=`", "# check=skip=A;error=true"]).unwrap();
        assert_eq!(found.syntax.as_deref(), Some("docker/dockerfile:1"));
        assert_eq!((found.escape_character(), found.check.as_deref()), ('`', Some("skip=A;error=true")));
        for stop in ["", "FROM a", "# comment", "# key=value", "# 1=2", "#escape="] {
            assert_eq!(read(&[stop, "#escape=`"]).unwrap(), Directives::default(), "{stop}");
        }
    }

    #[test]
    fn directives_that_cannot_be_are_refused() {
        for (lines, expected) in [
            (["#escape=`", "#escape=\\"], "only one escape parser directive can be used"),
            (["#syntax=a", "#SYNTAX=b"], "only one syntax parser directive can be used"),
            (["#check=skip=A", "#check=skip=B"], "only one check parser directive can be used"),
            (["#escape=x", ""], "invalid escape token 'x' does not match ` or \\"),
        ] {
            assert_eq!(read(&lines).unwrap_err(), expected);
        }
    }
}
