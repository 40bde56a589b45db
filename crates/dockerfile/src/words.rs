//! Words of an instruction, by the rules of a shell without commands: quotes, backslashes, `$NAME` and `${NAME}`.

use crate::Error;

/// Words in `${…}` within each other.
const MAX_DEPTH: usize = 64;

/// Splits at blanks that are neither quoted nor escaped. Quotes and backslashes stay in the words.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, blank) if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None | Some('"'), '\\') => {
                word.push(char);
                word.extend(chars.next());
                continue;
            }
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
        word.push(char);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A word with its quotes and backslashes resolved and its variables replaced. Those that are not set are empty.
///
/// # Errors
/// A quote or brace that does not end, a modifier that does not exist, a variable that must be set and is not.
pub fn expand<'a>(word: &str, lookup: &dyn Fn(&str) -> Option<&'a str>) -> Result<String, Error> {
    let mut expander = Expander { rest: word.chars().collect(), at: 0, depth: 0, lookup };
    expander.until(None)
}

struct Expander<'a, 'b> {
    rest: Vec<char>,
    at: usize,
    depth: usize,
    lookup: &'b dyn Fn(&str) -> Option<&'a str>,
}

impl Expander<'_, '_> {
    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += 1;
        Some(char)
    }

    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    /// Up to `end`, which is consumed, or to the end of the word.
    fn until(&mut self, end: Option<char>) -> Result<String, Error> {
        let mut out = String::new();
        while let Some(char) = self.next() {
            match char {
                _ if Some(char) == end => return Ok(out),
                '\'' => self.single_quoted(&mut out)?,
                '"' => self.double_quoted(&mut out)?,
                '$' => self.variable(&mut out)?,
                // At the end of a word it stands for itself.
                '\\' => out.push(self.next().unwrap_or('\\')),
                _ => out.push(char),
            }
        }
        match end {
            None => Ok(out),
            Some(_) => Err(Error::Unterminated("}")),
        }
    }

    fn single_quoted(&mut self, out: &mut String) -> Result<(), Error> {
        loop {
            match self.next().ok_or(Error::Unterminated("single-quote"))? {
                '\'' => return Ok(()),
                char => out.push(char),
            }
        }
    }

    fn double_quoted(&mut self, out: &mut String) -> Result<(), Error> {
        const UNTERMINATED: Error = Error::Unterminated("double-quote");
        loop {
            match self.next().ok_or(UNTERMINATED)? {
                '"' => return Ok(()),
                '$' => self.variable(out)?,
                '\\' => match self.next().ok_or(UNTERMINATED)? {
                    char @ ('"' | '$' | '\\') => out.push(char),
                    char => out.extend(['\\', char]),
                },
                char => out.push(char),
            }
        }
    }

    /// What follows a dollar sign.
    fn variable(&mut self, out: &mut String) -> Result<(), Error> {
        if self.peek() == Some('{') {
            self.at += 1;
            return self.braced(out);
        }
        let name = self.name();
        if name.is_empty() {
            out.push('$');
        } else {
            out.push_str((self.lookup)(&name).unwrap_or_default());
        }
        Ok(())
    }

    fn braced(&mut self, out: &mut String) -> Result<(), Error> {
        let name = self.name();
        if name.is_empty() {
            return Err(Error::Modifier(self.peek().map(String::from).unwrap_or_default()));
        }
        let value = (self.lookup)(&name);
        let mut modifier = match self.next().ok_or(Error::Unterminated("}"))? {
            '}' => {
                out.push_str(value.unwrap_or_default());
                return Ok(());
            }
            modifier => modifier,
        };
        // With a colon, what is empty counts as not set.
        let mut counts = value;
        if modifier == ':' {
            counts = value.filter(|value| !value.is_empty());
            modifier = self.next().ok_or(Error::Unterminated("}"))?;
        }
        if !matches!(modifier, '-' | '+' | '?') {
            return Err(Error::Modifier(modifier.to_string()));
        }
        let word = self.inner_word()?;
        match (modifier, counts) {
            ('-', None) => out.push_str(&word),
            ('+', Some(_)) => out.push_str(&word),
            ('-' | '?', Some(value)) => out.push_str(value),
            ('?', None) => {
                let message = if word.is_empty() { "not allowed to be unset".to_owned() } else { word };
                return Err(Error::Unset { name, message });
            }
            _ => {}
        }
        Ok(())
    }

    /// The word after a modifier, in which there can be variables again.
    fn inner_word(&mut self) -> Result<String, Error> {
        if self.depth == MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        let word = self.until(Some('}'))?;
        self.depth -= 1;
        Ok(word)
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(char) = self.peek().filter(|char| char.is_ascii_alphanumeric() || *char == '_') {
            // A number is one digit, as the arguments of a script are.
            if name.is_empty() && char.is_ascii_digit() {
                self.at += 1;
                return char.to_string();
            }
            name.push(char);
            self.at += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(word: &str) -> Result<String, Error> {
        expand(word, &|name| match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            _ => None,
        })
    }

    #[test]
    fn words_end_at_blanks_outside_of_quotes() {
        assert_eq!(split(r#"a="b c" d\ e 'f g'  h"#), [r#"a="b c""#, r"d\ e", "'f g'", "h"]);
        assert!(split("  ").is_empty());
    }

    #[test]
    fn quotes_and_backslashes_are_resolved() {
        for (word, expected) in [
            (r#""b c""#, "b c"),
            (r"d\ e", "d e"),
            ("'$A'", "$A"),
            (r#""$A\"\x""#, r#"1"\x"#),
            (r"\$A", "$A"),
            ("a$", "a$"),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
        assert_eq!(expanded("'a"), Err(Error::Unterminated("single-quote")));
        assert_eq!(expanded("\"a"), Err(Error::Unterminated("double-quote")));
    }

    #[test]
    fn variables_are_replaced() {
        for (word, expected) in [
            ("$A/$B", "1/"),
            ("${A}b", "1b"),
            ("${B:-x$A}", "x1"),
            ("${EMPTY:-x}${EMPTY-y}", "x"),
            ("${A:+x}${EMPTY:+y}${EMPTY+z}", "xz"),
            ("${A?no}", "1"),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
        assert_eq!(expanded("${A"), Err(Error::Unterminated("}")));
        assert_eq!(expanded("${A!}"), Err(Error::Modifier("!".into())));
        assert_eq!(expanded("${B:?no}").unwrap_err().to_string(), "B: no");
    }

    #[test]
    fn variables_within_each_other_have_a_limit() {
        let nested = |depth: usize| format!("{}x{}", "${B-".repeat(depth), "}".repeat(depth));
        assert_eq!(expanded(&nested(MAX_DEPTH)).as_deref(), Ok("x"));
        assert_eq!(expanded(&nested(MAX_DEPTH + 1)), Err(Error::TooDeep));
        assert_eq!(expanded(&"${B-".repeat(100_000)), Err(Error::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(text in "[a-zA-Z${}:'\"\\\\ =?+-]{0,40}") {
            for word in split(&text) {
                let _ = expanded(&word);
            }
        }

        #[test]
        fn text_in_single_quotes_stays_as_it_is(text in "[^']{0,40}") {
            let quoted = format!("'{text}'");
            prop_assert_eq!(expanded(&quoted), Ok(text));
        }
    }
}
