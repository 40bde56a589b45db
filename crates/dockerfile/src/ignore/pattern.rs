//! One pattern.

use super::IgnoreError;

/// A pattern in the form in which it is fastest to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    form: Form,
    /// Bytes of the text before anything special.
    fixed: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Exact,
    /// All that begins with this.
    Prefix(String),
    /// All that ends with this.
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Part,
    /// `**` at the end: all that follows.
    Rest,
    /// `**`: nothing, or folders with their slash.
    Folders,
    /// In those folders.
    InFolders,
    Class {
        is_negative: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Reads a pattern that is a clean path.
    pub(super) fn parse(text: &str) -> Result<Self, IgnoreError> {
        let tokens = tokens(text)?;
        let fixed = text.find(['*', '?', '[', '\\']).unwrap_or(text.len());
        let is_literal = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
        let form = match (text.strip_suffix("**"), text.strip_prefix("**")) {
            _ if fixed == text.len() && is_literal(text) => Form::Exact,
            (Some(start), _) if is_literal(start) => Form::Prefix(start.to_owned()),
            // Without a slash, the name before the rest does not matter either.
            (_, Some(end)) if is_literal(end) && !end.starts_with('/') => Form::Suffix(end.to_owned()),
            _ => Form::Tokens(tokens),
        };
        Ok(Self { text: text.to_owned(), form, fixed })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What everything that matches begins with.
    pub(super) fn fixed_start(&self) -> &str {
        &self.text[..self.fixed]
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact => path == self.text,
            Form::Prefix(start) => path.starts_with(start),
            Form::Suffix(end) => path.ends_with(end),
            Form::Tokens(tokens) => run(tokens, path),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, IgnoreError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                let _ = chars.next_if_eq(&'/');
                if chars.peek().is_none() {
                    tokens.push(Token::Rest);
                } else {
                    tokens.extend([Token::Folders, Token::InFolders]);
                }
            }
            '*' => tokens.push(Token::Part),
            '?' => tokens.push(Token::One),
            '[' => tokens.push(class(&mut chars)?),
            '\\' => tokens.push(Token::Literal(chars.next().ok_or(IgnoreError::Syntax)?)),
            other => tokens.push(Token::Literal(other)),
        }
    }
    Ok(tokens)
}

/// A class up to its bracket.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, IgnoreError> {
    let is_negative = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Token::Class { is_negative, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, IgnoreError> {
    match chars.next() {
        None | Some(']' | '-') => Err(IgnoreError::Syntax),
        Some('\\') => chars.next().ok_or(IgnoreError::Syntax),
        Some(other) => Ok(other),
    }
}

/// Follows all ways to match at the same time.
fn run(tokens: &[Token], path: &str) -> bool {
    let mut states = vec![false; tokens.len() + 1];
    enter(tokens, &mut states, 0);
    for char in path.chars() {
        let mut next = vec![false; states.len()];
        for (state, token) in tokens.iter().enumerate().filter(|(state, _)| states[*state]) {
            match token {
                Token::Literal(literal) if *literal == char => enter(tokens, &mut next, state + 1),
                Token::One if char != '/' => enter(tokens, &mut next, state + 1),
                Token::Part if char != '/' => enter(tokens, &mut next, state),
                Token::Rest => enter(tokens, &mut next, state),
                Token::InFolders => {
                    next[state] = true;
                    if char == '/' {
                        enter(tokens, &mut next, state + 1);
                    }
                }
                Token::Class { is_negative, ranges } => {
                    let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&char));
                    if is_in != *is_negative {
                        enter(tokens, &mut next, state + 1);
                    }
                }
                _ => {}
            }
        }
        if !next.contains(&true) {
            return false;
        }
        states = next;
    }
    states[tokens.len()]
}

/// A state, and those that are reached from it without a character.
fn enter(tokens: &[Token], states: &mut [bool], mut state: usize) {
    while !std::mem::replace(&mut states[state], true) {
        match tokens.get(state) {
            Some(Token::Part | Token::Rest) => state += 1,
            Some(Token::Folders) => {
                states[state + 1] = true;
                state += 2;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn patterns_match_as_dockers_do() {
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dirx", false),
            ("**/dir", "dir", true),
            ("**/dir", "dir/file", false),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir3/file", true),
            ("**file", "file", true),
            ("**file", "dir/afile", true),
            ("**/file", "dir/afile", false),
            ("**/*.txt", "a/b.txt", true),
            ("a**/b", "ab", true),
            ("a**/b", "ax/b", true),
            ("a**/b", "axb", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a*b", "a/b", false),
            ("a*b", "axxb", true),
            ("a?b", "a/b", false),
            ("a?b", "aäb", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            (r"[\-]x", "-x", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("a.b", "axb", false),
            ("a+(b)|{c}$^", "a+(b)|{c}$^", true),
            ("abc.def", "abcZdef", false),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("a(b)c/def", "a(b)c/def", true),
            ("**/[b]*", "a/bar", true),
        ] {
            let found = Pattern::parse(&super::super::clean(pattern)).unwrap();
            assert_eq!(found.matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_other_characters() {
        let pattern = Pattern::parse(&"*a".repeat(500)).unwrap();
        let folders = Pattern::parse(&"**/a?".repeat(200)).unwrap();
        let path = "a".repeat(2000);
        let before = Instant::now();
        assert!(pattern.matches(&path) && !pattern.matches(&format!("{path}b")));
        assert!(!folders.matches(&"a/".repeat(1000)));
        assert!(before.elapsed() < Duration::from_secs(5));
    }
}
