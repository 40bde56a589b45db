//! Environment variables and labels, from the command line and from files.

use std::path::Path;

use crate::failure::{Failure, io_text};
use crate::flag::{Element, InvalidValue};

/// One `--env`: a name without a value takes the value of the client's own variable, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvVar(pub(crate) String);

impl Element for EnvVar {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once('=') {
            Some(("", _)) => Err(InvalidValue(format!("invalid environment variable: {text}"))),
            Some(_) => Ok(Self(text.to_owned())),
            None if text.is_empty() => Err(InvalidValue(format!("invalid environment variable: {text}"))),
            None => Ok(Self(match std::env::var(text) {
                Ok(value) => format!("{text}={value}"),
                Err(_) => text.to_owned(),
            })),
        }
    }
}

/// One `--label`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelFlag(pub(crate) String);

impl Element for LabelFlag {
    const KIND: &'static str = "list";

    fn read(text: &str) -> Result<Self, InvalidValue> {
        match text.split('=').next() {
            Some("") | None => Err(InvalidValue(format!("invalid label '{text}': empty name"))),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }
}

/// Where a bare name in a file gets its value from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the client's environment; a name that is not there is left out.
    Environment,
    /// Nowhere: the name stands alone.
    None,
}

/// Reads a file of `NAME=value` lines.
pub(crate) fn read_file(path: &str, origin: Origin) -> Result<Vec<String>, Failure> {
    let bytes = std::fs::read(Path::new(path))
        .map_err(|error| Failure::message(format!("open {path}: {}", io_text(&error))))?;
    parse(&bytes, |name| match origin {
        Origin::Environment => std::env::var(name).ok().map(|value| format!("{name}={value}")),
        Origin::None => Some(name.to_owned()),
    })
    .map_err(|reason| Failure::message(format!("invalid env file ({path}): {reason}")))
}

fn parse(bytes: &[u8], lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line)
            .map_err(|_| format!("invalid utf8 bytes at line {}: {}", index + 1, byte_list(line)))?;
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.contains(char::is_whitespace) {
            return Err(format!("variable '{name}' contains whitespaces"));
        }
        if name.is_empty() {
            return Err(format!("no variable name on line '{text}'"));
        }
        match value {
            Some(value) => lines.push(format!("{name}={value}")),
            None => lines.extend(lookup(name)),
        }
    }
    Ok(lines)
}

fn byte_list(line: &[u8]) -> String {
    let numbers: Vec<String> = line.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        parse(bytes, |name| (name == "HOME").then(|| "HOME=/root".to_owned()))
    }

    #[test]
    fn lines_keep_values_as_they_are() {
        assert_eq!(
            read("\u{feff}A=1\n# c\n  B=2 3 \n\nHOME\nNOPE\nC=é\r\nD=".as_bytes()).unwrap(),
            ["A=1", "B=2 3 ", "HOME=/root", "C=é", "D="]
        );
    }

    #[test]
    fn bad_lines_are_refused_in_the_known_words() {
        assert_eq!(read(b"A B=1").unwrap_err(), "variable 'A B' contains whitespaces");
        assert_eq!(read(b"=x").unwrap_err(), "no variable name on line '=x'");
        assert_eq!(read(b"A\xff=1").unwrap_err(), "invalid utf8 bytes at line 1: [65 255 61 49]");
    }

    #[test]
    fn variable_without_name_is_refused() {
        assert_eq!(EnvVar::read("=x").unwrap_err().0, "invalid environment variable: =x");
        assert_eq!(EnvVar::read("A=").unwrap(), EnvVar("A=".into()));
    }

    proptest! {
        #[test]
        fn any_file_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(lines) = read(&bytes) {
                prop_assert!(lines.iter().all(|line| line.contains('=') && !line.starts_with('=')));
            }
        }
    }
}
