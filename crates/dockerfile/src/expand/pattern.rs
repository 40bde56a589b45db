//! Patterns in substitutions: `?` is any character, `*` any number of them, neither crosses the end of a line.

use super::Budget;
use crate::error::ExpandProblem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Any,
}

/// Whether the shortest or the longest match counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Shortest,
    Longest,
}

/// A pattern.
///
/// All ways to match are followed at the same time, so that stars cost no more than other characters.
#[derive(Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// `\*`, `\?` and `\\` stand for themselves; so do `\}` and `\/`, which have to be escaped within `${…}`.
    pub(super) fn parse(text: &str) -> Result<Self, ExpandProblem> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match chars.next() {
                    Some(escaped @ ('}' | '/' | '*' | '?' | '\\')) => Token::Literal(escaped),
                    other => {
                        let escaped = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                        return Err(ExpandProblem::Pattern { pattern: text.to_owned(), escaped });
                    }
                },
                other => Token::Literal(other),
            });
        }
        Ok(Self { tokens })
    }

    /// The length of a match at the start of a text.
    fn at_start(
        &self,
        text: impl Iterator<Item = char>,
        length: Length,
        budget: &Budget,
    ) -> Result<Option<usize>, ExpandProblem> {
        let end = self.tokens.len();
        let mut states = vec![false; end + 1];
        self.enter(&mut states, 0);
        let mut found = states[end].then_some(0);
        for (at, char) in text.enumerate() {
            if found.is_some() && length == Length::Shortest {
                break;
            }
            budget.steps(end as u64 + 1)?;
            states = self.step(&states, char);
            if !states.contains(&true) {
                break;
            }
            if states[end] {
                found = Some(at + 1);
            }
        }
        Ok(found)
    }

    /// A state, and those after stars that match nothing.
    fn enter(&self, states: &mut [bool], mut state: usize) {
        while !std::mem::replace(&mut states[state], true) && self.tokens.get(state) == Some(&Token::Any) {
            state += 1;
        }
    }

    fn step(&self, states: &[bool], char: char) -> Vec<bool> {
        let mut next = vec![false; states.len()];
        for (state, token) in self.tokens.iter().enumerate().filter(|(state, _)| states[*state]) {
            match token {
                Token::Literal(literal) if *literal == char => self.enter(&mut next, state + 1),
                Token::One if char != '\n' => self.enter(&mut next, state + 1),
                Token::Any if char != '\n' => self.enter(&mut next, state),
                _ => {}
            }
        }
        next
    }

    pub(super) fn without_prefix(
        &self,
        value: &str,
        length: Length,
        budget: &Budget,
    ) -> Result<String, ExpandProblem> {
        let matched = self.at_start(value.chars(), length, budget)?.unwrap_or(0);
        Ok(value.chars().skip(matched).collect())
    }

    pub(super) fn without_suffix(
        self,
        value: &str,
        length: Length,
        budget: &Budget,
    ) -> Result<String, ExpandProblem> {
        let reversed = Self { tokens: self.tokens.into_iter().rev().collect() };
        let matched = reversed.at_start(value.chars().rev(), length, budget)?.unwrap_or(0);
        let count = value.chars().count();
        Ok(value.chars().take(count - matched).collect())
    }

    /// Replaces the first match, or all of them; each is the longest at its place.
    pub(super) fn replace(
        &self,
        value: &str,
        with: &str,
        all: bool,
        budget: &Budget,
    ) -> Result<String, ExpandProblem> {
        let chars: Vec<char> = value.chars().collect();
        let mut out = String::new();
        let (mut at, mut copied) = (0, 0);
        while at <= chars.len() {
            let Some(length) = self.at_start(chars[at..].iter().copied(), Length::Longest, budget)? else {
                budget.steps(1)?;
                at += 1;
                continue;
            };
            out.extend(&chars[copied..at]);
            // Nothing is no match where another one has just ended.
            if length > 0 || at > copied || at == 0 {
                budget.text(with.len())?;
                out.push_str(with);
            }
            copied = at + length;
            at = if length == 0 { at + 1 } else { copied };
            if !all {
                break;
            }
        }
        out.extend(&chars[copied.min(chars.len())..]);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::Length::{Longest, Shortest};
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn prefixes_and_suffixes_are_the_shortest_or_the_longest() {
        let budget = Budget::default();
        for (text, value, length, prefix, suffix) in [
            ("a", "aba", Shortest, "ba", "ab"),
            ("*/", "/a/b/", Shortest, "a/b/", "/a/b"),
            ("*/", "/a/b/", Longest, "", ""),
            ("*.*", "a.b.c", Shortest, "b.c", "a.b"),
            ("?", "äb", Shortest, "b", "ä"),
            ("x", "abc", Longest, "abc", "abc"),
            ("*", "abc", Shortest, "abc", "abc"),
            ("*", "abc", Longest, "", ""),
            ("", "abc", Longest, "abc", "abc"),
            (r"\*", "*a*", Longest, "a*", "*a"),
            ("*", "a\nb", Longest, "\nb", "a\n"),
            ("a*a", "aXaXa", Shortest, "Xa", "aX"),
        ] {
            assert_eq!(
                pattern(text).without_prefix(value, length, &budget).unwrap(),
                prefix,
                "{text} {value}"
            );
            assert_eq!(
                pattern(text).without_suffix(value, length, &budget).unwrap(),
                suffix,
                "{text} {value}"
            );
        }
    }

    #[test]
    fn matches_are_replaced_once_or_all() {
        let budget = Budget::default();
        for (text, value, with, first, all) in [
            ("a", "banana", "o", "bonana", "bonono"),
            ("?n", "banana", "-", "b-ana", "b--a"),
            ("x", "banana", "-", "banana", "banana"),
            ("a*", "banana", "-", "b-", "b-"),
            ("", "ab", "-", "-ab", "-a-b-"),
            ("*", "ab", "-", "-", "-"),
            ("a", "a", "", "", ""),
        ] {
            assert_eq!(pattern(text).replace(value, with, false, &budget).unwrap(), first, "{text} {value}");
            assert_eq!(pattern(text).replace(value, with, true, &budget).unwrap(), all, "{text} {value}");
        }
    }

    #[test]
    fn escape_of_an_ordinary_character_is_refused() {
        assert_eq!(
            Pattern::parse(r"a\b").unwrap_err().to_string(),
            r"invalid pattern (a\b) in substitution: invalid escape '\b'"
        );
        assert!(Pattern::parse("a\\").is_err());
    }

    #[test]
    fn many_stars_are_matched_in_bounded_time() {
        let stars = pattern(&"*a".repeat(1000));
        let value = "a".repeat(100_000);
        let budget = Budget::new(1 << 20, 1 << 20);
        assert_eq!(stars.replace(&value, "", true, &budget), Err(ExpandProblem::TooCostly));
        let few = pattern(&"*a".repeat(30));
        assert_eq!(few.without_prefix(&"a".repeat(20), Longest, &Budget::default()).unwrap(), "a".repeat(20));
    }
}
