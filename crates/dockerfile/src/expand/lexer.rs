//! The lexer of words.

use std::collections::BTreeSet;

use super::Budget;
use super::pattern::{Length, Pattern};
use crate::error::ExpandProblem as Problem;

/// Words in `${…}` within each other.
const MAX_DEPTH: usize = 64;

/// What becomes of quotes and escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// They are resolved.
    Resolved,
    /// Quotes are looked at and stay, escapes are resolved.
    Kept,
    /// Quotes and escapes are looked at and stay.
    AllKept,
    /// Quotes are characters as any other one; escapes are resolved.
    Ignored,
}

/// How a text is taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    escape: char,
    quotes: Quotes,
    /// Whether a variable that is not set stays as it is written.
    keep_unset: bool,
}

/// What a text came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The text.
    pub text: String,
    /// The text where blanks that are neither quoted nor escaped separate words.
    pub words: Vec<String>,
    /// Variables in it that are set.
    pub matched: BTreeSet<String>,
    /// Variables in it that are not.
    pub unmatched: BTreeSet<String>,
}

/// Where a value is found.
type Lookup<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

impl Lexer {
    /// For words of instructions.
    pub fn new(escape: char) -> Self {
        Self { escape, quotes: Quotes::Resolved, keep_unset: false }
    }

    /// For contents of heredocs, in which quotes mean nothing.
    pub fn content() -> Self {
        Self { quotes: Quotes::Ignored, ..Self::new('\\') }
    }

    /// For commands that are shown: what is not set is the shell's.
    pub(crate) fn shown(escape: char, quotes: Quotes) -> Self {
        Self { escape, quotes, keep_unset: true }
    }

    /// For names of heredocs.
    pub(crate) fn heredoc(quotes: Quotes) -> Self {
        Self { escape: '\\', quotes, keep_unset: true }
    }

    /// Splits only: quotes, escapes and variables stay.
    pub(crate) fn raw() -> Self {
        Self { escape: '\\', quotes: Quotes::AllKept, keep_unset: true }
    }

    /// Replaces variables.
    ///
    /// # Errors
    /// A quote or brace that does not end, a modifier or pattern that does not exist, a variable that must be set and is
    /// not, or more than `budget` has.
    pub fn expand<'a>(&self, text: &str, lookup: &Lookup<'a>, budget: &Budget) -> Result<Expansion, Problem> {
        let mut run = Run {
            lexer: *self,
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
            raw_escapes: self.quotes == Quotes::AllKept,
            lookup,
            budget,
            found: Expansion::default(),
        };
        let (text, words) = run.until(None)?;
        budget.text(text.len())?;
        Ok(Expansion { text, words, ..run.found })
    }

    /// The words of a text, without any variables.
    pub(crate) fn split(&self, text: &str) -> Result<Vec<String>, Problem> {
        Ok(self.expand(text, &|_| None, &Budget::default())?.words)
    }
}

/// Words that are being collected beside the text.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    /// A character that separates words if it is a blank.
    fn add(&mut self, char: char) {
        if !char.is_whitespace() {
            self.current.push(char);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}

struct Run<'a, 'b> {
    lexer: Lexer,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    raw_escapes: bool,
    lookup: &'b Lookup<'a>,
    budget: &'b Budget,
    found: Expansion,
}

impl<'a> Run<'a, '_> {
    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += 1;
        Some(char)
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Up to `end`, which is consumed, or to the end of the text.
    fn until(&mut self, end: Option<char>) -> Result<(String, Vec<String>), Problem> {
        let mut out = String::new();
        let mut words = Words::default();
        while let Some(char) = self.peek() {
            if Some(char) == end {
                self.at += 1;
                return Ok((out, words.finish()));
            }
            if char == '$' {
                let value = self.dollar()?;
                value.chars().for_each(|char| words.add(char));
                out.push_str(&value);
            } else if let Some(piece) = self.piece(char)? {
                words.current.push_str(&piece);
                out.push_str(&piece);
            } else {
                self.at += 1;
                words.add(char);
                out.push(char);
            }
        }
        match end {
            None => Ok((out, words.finish())),
            Some(_) => Err(Problem::NoBrace),
        }
    }

    /// What begins with a character that is special; nothing for an ordinary one.
    fn piece(&mut self, char: char) -> Result<Option<String>, Problem> {
        let has_quotes = self.lexer.quotes != Quotes::Ignored;
        Ok(Some(match char {
            '<' => self.angle(),
            '\'' if has_quotes => self.single_quoted()?,
            '"' if has_quotes => self.double_quoted()?,
            escape if escape == self.lexer.escape => self.escaped(),
            _ => return Ok(None),
        }))
    }

    /// Blanks after the start of a heredoc belong to its word.
    fn angle(&mut self) -> String {
        let mut out = String::from("<");
        self.at += 1;
        if self.peek() == Some('<') {
            self.at += 1;
            out.push('<');
            while let Some(blank @ (' ' | '\t' | '\r')) = self.peek() {
                self.at += 1;
                out.push(blank);
            }
        }
        out
    }

    /// At the end of the text it means nothing.
    fn escaped(&mut self) -> String {
        let escape = self.next().filter(|_| self.raw_escapes);
        escape.into_iter().chain(self.next()).collect()
    }

    /// A quote, where quotes stay.
    fn quote(&self, quote: char) -> Option<char> {
        matches!(self.lexer.quotes, Quotes::Kept | Quotes::AllKept).then_some(quote)
    }

    fn single_quoted(&mut self) -> Result<String, Problem> {
        self.at += 1;
        let mut out: String = self.quote('\'').into_iter().collect();
        loop {
            match self.next().ok_or(Problem::Unterminated("single-quote"))? {
                '\'' => break,
                char => out.push(char),
            }
        }
        out.extend(self.quote('\''));
        Ok(out)
    }

    fn double_quoted(&mut self) -> Result<String, Problem> {
        self.at += 1;
        let mut out: String = self.quote('"').into_iter().collect();
        loop {
            match self.peek().ok_or(Problem::Unterminated("double-quote"))? {
                '"' => break,
                '$' => out.push_str(&self.dollar()?),
                escape if escape == self.lexer.escape => self.escaped_in_quotes(&mut out),
                char => {
                    self.at += 1;
                    out.push(char);
                }
            }
        }
        self.at += 1;
        out.extend(self.quote('"'));
        Ok(out)
    }

    /// Only what means something in quotes can be escaped there; before anything else, the escape character stays.
    fn escaped_in_quotes(&mut self, out: &mut String) {
        self.at += 1;
        let escape = self.lexer.escape;
        let special = self.peek().filter(|char| matches!(char, '"' | '$') || *char == escape);
        if special.is_none() || self.raw_escapes {
            out.push(escape);
        }
        if let Some(special) = special {
            self.at += 1;
            out.push(special);
        }
    }

    /// What a dollar sign begins.
    fn dollar(&mut self) -> Result<String, Problem> {
        self.at += 1;
        if self.peek() == Some('{') {
            self.at += 1;
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.value(&name) {
            None if self.lexer.keep_unset => Ok(format!("${name}")),
            value => self.taken(value.unwrap_or_default()),
        }
    }

    /// A value that becomes part of the text.
    fn taken(&self, value: &str) -> Result<String, Problem> {
        self.budget.text(value.len())?;
        Ok(value.to_owned())
    }

    fn value(&mut self, name: &str) -> Option<&'a str> {
        let value = (self.lookup)(name);
        let seen = if value.is_some() { &mut self.found.matched } else { &mut self.found.unmatched };
        seen.insert(name.to_owned());
        value
    }

    /// A name, a number, or one of the characters that are a shell's own variables.
    fn name(&mut self) -> String {
        let rest = &self.chars[self.at..];
        let is_part = |char: &char| char.is_alphabetic() || char.is_numeric() || *char == '_';
        let length = match rest.first() {
            Some(char) if char.is_numeric() => rest.iter().take_while(|char| char.is_numeric()).count(),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest.iter().take_while(|char| is_part(char)).count(),
        };
        let name = rest[..length].iter().collect();
        self.at += length;
        name
    }

    fn braced(&mut self) -> Result<String, Problem> {
        match self.peek() {
            None => return Err(Problem::NoBrace),
            Some('{' | '}' | ':') => return Err(Problem::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        let modifier = self.next().ok_or(Problem::NoBrace)?;
        match modifier {
            '}' => match self.value(&name) {
                None if self.lexer.keep_unset => Ok(format!("${{{name}}}")),
                value => self.taken(value.unwrap_or_default()),
            },
            ':' => {
                let modifier = self.next().ok_or(Problem::NoBrace)?;
                match modifier {
                    '-' | '+' | '?' => self.conditional(&name, modifier, true),
                    other => Err(Problem::Modifier(format!(":{other}"))),
                }
            }
            '-' | '+' | '?' => self.conditional(&name, modifier, false),
            '#' | '%' => self.trimmed(&name, modifier),
            '/' => self.replaced(&name),
            other => Err(Problem::Modifier(other.to_string())),
        }
    }

    /// The word up to a delimiter, in which there can be variables again.
    fn inner(&mut self, end: char, raw_escapes: bool) -> Result<String, Problem> {
        if self.depth == MAX_DEPTH {
            return Err(Problem::TooDeep);
        }
        self.depth += 1;
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let word = self.until(Some(end));
        self.raw_escapes = before;
        self.depth -= 1;
        match word {
            Ok((word, _)) => Ok(word),
            Err(limit @ (Problem::TooDeep | Problem::TooLong | Problem::TooCostly)) => Err(limit),
            // Whatever else is wrong with it, it does not end.
            Err(_) if self.peek().is_none() && end == '/' => Err(Problem::NoSlash),
            Err(_) if self.peek().is_none() => Err(Problem::NoBrace),
            Err(other) => Err(other),
        }
    }

    /// `-`, `+` and `?`. With a colon, what is empty counts as not set.
    fn conditional(&mut self, name: &str, modifier: char, has_colon: bool) -> Result<String, Problem> {
        let word = self.inner('}', false)?;
        let keep_unset = self.lexer.keep_unset;
        let set = self.value(name);
        let colon = if has_colon { ":" } else { "" };
        if set.is_none() && keep_unset {
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let counts = set.filter(|value| !(has_colon && value.is_empty()));
        match (modifier, counts) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => self.taken(value),
            (_, None) => {
                let default =
                    if set.is_some() { "is not allowed to be empty" } else { "is not allowed to be unset" };
                let message = if word.is_empty() { default.to_owned() } else { word };
                Err(Problem::Unset { name: name.to_owned(), message })
            }
        }
    }

    /// `#` and `%`; twice for the longest match.
    fn trimmed(&mut self, name: &str, modifier: char) -> Result<String, Problem> {
        let word = self.inner('}', true)?;
        let keep_unset = self.lexer.keep_unset;
        let (length, pattern) = match word.strip_prefix(modifier) {
            Some(rest) => (Length::Longest, rest),
            None => (Length::Shortest, word.as_str()),
        };
        let value = self.value(name);
        if value.is_none() && keep_unset {
            return Ok(format!("${{{name}{modifier}{word}}}"));
        }
        let (pattern, value) = (Pattern::parse(pattern)?, value.unwrap_or_default());
        self.budget.text(value.len())?;
        match modifier {
            '#' => pattern.without_prefix(value, length, self.budget),
            _ => pattern.without_suffix(value, length, self.budget),
        }
    }

    /// `/` and `//`.
    fn replaced(&mut self, name: &str) -> Result<String, Problem> {
        let all = self.peek() == Some('/');
        self.at += usize::from(all);
        let pattern = self.inner('/', true)?;
        let with = self.inner('}', true)?;
        let keep_unset = self.lexer.keep_unset;
        let value = self.value(name);
        if value.is_none() && keep_unset {
            return Ok(format!("${{{name}/{pattern}/{with}}}"));
        }
        let value = value.unwrap_or_default();
        self.budget.text(value.len())?;
        Pattern::parse(&pattern)?.replace(value, &with, all, self.budget)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            "P" => Some("/a/b.tar.gz"),
            "W" => Some("x y"),
            "Q" => Some("'q'$A"),
            _ => None,
        }
    }

    fn expansion(text: &str) -> Result<Expansion, Problem> {
        Lexer::new('\\').expand(text, &value, &Budget::default())
    }

    fn expanded(text: &str) -> Result<String, String> {
        expansion(text).map(|found| found.text).map_err(|problem| problem.to_string())
    }

    #[test]
    fn quotes_and_escapes_are_resolved() {
        for (word, expected) in [
            (r#""b c""#, "b c"),
            (r"d\ e", "d e"),
            ("'$A'", "$A"),
            (r#""$A\"\x\\""#, r#"1"\x\"#),
            (r"\$A", "$A"),
            (r"'\'", r"\"),
            (r#"a"b"'c'd"#, "abcd"),
            ("a\\", "a"),
            (r"\\", r"\"),
            (r#""'""#, "'"),
            ("<<  x", "<<  x"),
            ("", ""),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn variables_are_replaced_in_every_form() {
        for (word, expected) in [
            ("$A/$B", "1/"),
            ("${A}b", "1b"),
            ("a$", "a$"),
            ("$%", "$%"),
            ("$$", ""),
            ("$1x", "x"),
            ("$Ab", ""),
            ("${B:-x$A}", "x1"),
            ("${EMPTY:-x}${EMPTY-y}", "x"),
            ("${A:-x}${A-y}", "11"),
            ("${A:+x}${EMPTY:+y}${EMPTY+z}${B+w}", "xz"),
            ("${A?no}${EMPTY?no}", "1"),
            ("${P#*/}", "a/b.tar.gz"),
            ("${P##*/}", "b.tar.gz"),
            ("${P%.*}", "/a/b.tar"),
            ("${P%%.*}", "/a/b"),
            ("${P#x}${B#x}", "/a/b.tar.gz"),
            ("${P/a/o}", "/o/b.tar.gz"),
            ("${P//a/o}", "/o/b.tor.gz"),
            (r"${P//\//:}", ":a:b.tar.gz"),
            ("${P//./}", "/a/btargz"),
            ("${P/$A/x}", "/a/b.tar.gz"),
            ("${B:-${C:-${A}}}", "1"),
            ("${B:-'a}b'}", "a}b"),
            (r"${B:-a\}b}", "a}b"),
            (r#""${B:-"a b"}""#, "a b"),
            ("$Q", "'q'$A"),
            ("'$A'\"$A\"", "$A1"),
            ("${*}${#}", ""),
            ("$ä", ""),
        ] {
            assert_eq!(expanded(word).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_is_refused() {
        for (word, expected) in [
            ("'a", "unexpected end of statement while looking for matching single-quote"),
            ("\"a", "unexpected end of statement while looking for matching double-quote"),
            ("${A", "syntax error: missing '}'"),
            ("${", "syntax error: missing '}'"),
            ("${A:-x", "syntax error: missing '}'"),
            ("${A:-'x}", "syntax error: missing '}'"),
            ("${A#x", "syntax error: missing '}'"),
            ("${A/x}", "syntax error: missing '/' in ${}"),
            ("${A/x/y", "syntax error: missing '}'"),
            ("${}", "syntax error: bad substitution"),
            ("${{A}}", "syntax error: bad substitution"),
            ("${:A}", "syntax error: bad substitution"),
            ("${A!}", "unsupported modifier (!) in substitution"),
            ("${A:=x}", "unsupported modifier (:=) in substitution"),
            ("${A:#x}", "unsupported modifier (:#) in substitution"),
            (r"${A#\x}", r"invalid pattern (\x) in substitution: invalid escape '\x'"),
            ("${B:?}", "B: is not allowed to be unset"),
            ("${B?no $A}", "B: no 1"),
            ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
            ("${EMPTY:?no}", "EMPTY: no"),
        ] {
            assert_eq!(expanded(word), Err(expected.to_owned()), "{word}");
        }
    }

    #[test]
    fn words_end_at_blanks_outside_of_quotes() {
        for (text, expected) in [
            (r#"a="b c" d\ e 'f g'  h"#, vec!["a=b c", "d e", "f g", "h"]),
            ("$W\"$W\"", vec!["x", "yx y"]),
            ("  ", vec![]),
            ("a$A b", vec!["a1", "b"]),
            ("80${B:-81}", vec!["8081"]),
        ] {
            assert_eq!(expansion(text).unwrap().words, expected, "{text}");
        }
        assert_eq!(Lexer::raw().split(r#"a "b c" \  $x"#).unwrap(), ["a", "\"b c\"", "\\ ", "$x"]);
    }

    #[test]
    fn backtick_can_be_the_escape_character() {
        let found = Lexer::new('`').expand(r"c:\a`$A`` $A", &value, &Budget::default()).unwrap();
        assert_eq!(found.text, r"c:\a$A` 1");
    }

    #[test]
    fn contents_of_heredocs_keep_their_quotes() {
        let found = Lexer::content().expand("a '$A' \"b\" \\$A it's", &value, &Budget::default()).unwrap();
        assert_eq!(found.text, "a '1' \"b\" $A it's");
    }

    #[test]
    fn variables_are_told_apart_by_whether_they_are_set() {
        let found = expansion("$A${B:-$C}$EMPTY").unwrap();
        assert_eq!(found.matched.into_iter().collect::<Vec<_>>(), ["A", "EMPTY"]);
        assert_eq!(found.unmatched.into_iter().collect::<Vec<_>>(), ["B", "C"]);
    }

    #[test]
    fn variables_within_each_other_have_a_limit() {
        let nested = |depth: usize| format!("{}x{}", "${B-".repeat(depth), "}".repeat(depth));
        assert_eq!(expanded(&nested(MAX_DEPTH)).as_deref(), Ok("x"));
        assert_eq!(expansion(&nested(MAX_DEPTH + 1)), Err(Problem::TooDeep));
        assert_eq!(expansion(&"${B-".repeat(100_000)), Err(Problem::TooDeep));
        assert_eq!(expansion(&"\"${B-".repeat(100_000)), Err(Problem::TooDeep));
    }

    #[test]
    fn text_of_all_variables_has_a_limit() {
        let long = "x".repeat(1 << 20);
        let lookup = |_: &str| Some(long.as_str());
        let result = Lexer::new('\\').expand(&"$x".repeat(100), &lookup, &Budget::default());
        assert_eq!(result, Err(Problem::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_without_panic(text in "[a-zAP${}:'\"\\\\ =?+#%/*<@-]{0,60}") {
            for lexer in [Lexer::new('\\'), Lexer::new('`'), Lexer::content(), Lexer::raw(), Lexer::heredoc(Quotes::Kept)] {
                let _ = lexer.expand(&text, &value, &Budget::default());
            }
        }

        #[test]
        fn text_in_single_quotes_stays_as_it_is(text in "[^']{0,40}") {
            let quoted = format!("'{text}'");
            prop_assert_eq!(expanded(&quoted), Ok(text));
        }

        #[test]
        fn text_without_special_characters_stays_as_it_is(text in "[^$'\"\\\\<]{0,40}") {
            prop_assert_eq!(expanded(&text), Ok(text));
        }
    }
}
