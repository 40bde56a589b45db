//! Flags of instructions: `--name`, `--name=value`, before all other words.

use super::line::{Part, Word};
use crate::error::{Error, Problem};
use crate::suggest::{Case, nearest};

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `true`, `false`, or nothing, which is `true`.
    Boolean,
    /// A value, once.
    Text,
    /// A value, each time that it is there.
    Texts,
}

/// The flags of one instruction as they are written.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    written: Vec<Word>,
}

impl Flags {
    /// Takes the flags from the front of what follows an instruction's name; the rest comes back.
    pub(crate) fn split(part: Part<'_>, escape: char) -> (Self, Part<'_>) {
        let mut flags = Self::default();
        let mut rest = part.trim();
        while rest.text().starts_with("--") {
            let (flag, length) = unquote(rest.text(), escape);
            let word = rest.sub(0, length);
            rest = rest.sub(length, rest.text().len()).trim();
            if flag == "--" {
                break;
            }
            flags.written.push(Word { text: flag, span: word.span() });
        }
        (flags, rest)
    }

    /// Checks all against those that the instruction has.
    pub(crate) fn check(self, known: &[(&'static str, Takes)]) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        for word in self.written {
            let span = word.span;
            checked.add(word, known).map_err(|error| error.at(span))?;
        }
        Ok(checked)
    }
}

/// One word without its quotes, and how many bytes it had.
fn unquote(text: &str, escape: char) -> (String, usize) {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match (quote, char) {
            (None, blank) if blank.is_whitespace() => return (out, at),
            (None, open @ ('\'' | '"')) => quote = Some(open),
            (Some(open), close) if open == close => quote = None,
            // At the end it means nothing.
            (_, char) if char == escape => out.extend(chars.next().map(|(_, escaped)| escaped)),
            (_, char) => out.push(char),
        }
    }
    (out, text.len())
}

/// Flags that the instruction has.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    found: Vec<(&'static str, Word)>,
}

impl Checked {
    fn add(&mut self, word: Word, known: &[(&'static str, Takes)]) -> Result<(), Error> {
        let (flag, value) = match word.text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (word.text.as_str(), None),
        };
        let name = &flag[2..];
        let Some((name, takes)) = known.iter().find(|(known, _)| *known == name) else {
            let names = known.iter().map(|(known, _)| *known);
            return Err(Error::new(Problem::UnknownFlag(flag.to_owned())).hint(nearest(
                name,
                names,
                Case::Sensitive,
            )));
        };
        if *takes != Takes::Texts && self.found.iter().any(|(other, _)| other == name) {
            return Err(Problem::RepeatedFlag(flag.to_owned()).into());
        }
        let value = match takes {
            Takes::Boolean => boolean(flag, value)?,
            _ => value.ok_or_else(|| Problem::FlagWithoutValue(flag.to_owned()))?,
        };
        self.found.push((name, Word { text: value.to_owned(), span: word.span }));
        Ok(())
    }

    /// The value of a flag that can be there once.
    pub(crate) fn text(&self, name: &str) -> Option<Word> {
        self.texts(name).pop()
    }

    /// The value, where it is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<Word> {
        self.text(name).filter(|word| !word.text.is_empty())
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<Word> {
        self.found.iter().filter(|(found, _)| *found == name).map(|(_, word)| word.clone()).collect()
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.text(name).map(|word| word.text == "true")
    }
}

fn boolean(flag: &str, value: Option<&str>) -> Result<&'static str, Problem> {
    let Some(value) = value else { return Ok("true") };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok("true"),
        "false" => Ok("false"),
        "" => Err(Problem::FlagWithoutValue(flag.to_owned())),
        _ => Err(Problem::NotBoolean { flag: flag.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;

    const KNOWN: [(&str, Takes); 3] =
        [("from", Takes::Text), ("link", Takes::Boolean), ("exclude", Takes::Texts)];

    fn split(text: &str) -> (Vec<String>, String) {
        let line = Line::of(text);
        let (flags, rest) = Flags::split(line.whole(), '\\');
        (flags.written.into_iter().map(|word| word.text).collect(), rest.text().to_owned())
    }

    fn checked(text: &str) -> Result<Checked, String> {
        Flags::split(Line::of(text).whole(), '\\').0.check(&KNOWN).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_end_at_the_first_other_word() {
        for (text, flags, rest) in [
            ("--a --b=c d --e", vec!["--a", "--b=c"], "d --e"),
            ("--a=\"b c\" d", vec!["--a=b c"], "d"),
            (r"--a=b\ c d", vec!["--a=b c"], "d"),
            ("--a='b\"' -- --c d", vec!["--a=b\""], "--c d"),
            ("-a --b", vec![], "-a --b"),
            ("--ä=ö", vec!["--ä=ö"], ""),
            ("--a\\", vec!["--a"], ""),
            ("", vec![], ""),
        ] {
            let flags: Vec<String> = flags.into_iter().map(str::to_owned).collect();
            assert_eq!(split(text), (flags, rest.to_owned()), "{text}");
        }
    }

    #[test]
    fn flags_have_their_values() {
        let flags = checked("--from=a --link --exclude=x --exclude=y").unwrap();
        assert_eq!(flags.text("from").unwrap().text, "a");
        assert_eq!((flags.boolean("link"), flags.texts("exclude").len()), (Some(true), 2));
        assert_eq!(checked("--link=FALSE").unwrap().boolean("link"), Some(false));
        assert_eq!(checked("").unwrap().boolean("link"), None);
    }

    #[test]
    fn flags_that_cannot_be_are_refused() {
        for (text, expected) in [
            ("--frm=a", "unknown flag: --frm (did you mean from?)"),
            ("--nothing", "unknown flag: --nothing"),
            ("--from=a --from=b", "duplicate flag specified: --from"),
            ("--from", "missing a value on flag: --from"),
            ("--link=", "missing a value on flag: --link"),
            ("--link=maybe", "expecting boolean value for flag --link, not: maybe"),
        ] {
            assert_eq!(checked(text).unwrap_err(), expected, "{text}");
        }
    }
}
