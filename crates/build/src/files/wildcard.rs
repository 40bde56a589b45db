//! Wildcards in the names of sources, by the rules of Go's `filepath.Match`.

/// Something that matches names: one part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Any,
    Class {
        is_negative: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Whether a path has anything but names in it.
pub(super) fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(char) = chars.next() {
        match char {
            '*' | '?' | '[' => return true,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

impl Wildcard {
    /// Reads one part of a path; `None` where it is no pattern.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Any,
                '?' => Token::One,
                '[' => class(&mut chars)?,
                '\\' => Token::Literal(chars.next()?),
                other => Token::Literal(other),
            });
        }
        tokens.dedup_by(|a, b| matches!((a, b), (Token::Any, Token::Any)));
        Some(Self { tokens })
    }

    /// Whether a name matches. The last `*` alone is tried again, so that time is at most length times length.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    star = Some((token + 1, at));
                    token += 1;
                }
                Some(other) if other.takes(name[at]) => (token, at) = (token + 1, at + 1),
                _ => {
                    let Some((after, from)) = star else { return false };
                    star = Some((after, from + 1));
                    (token, at) = (after, from + 1);
                }
            }
        }
        self.tokens[token..].iter().all(|token| *token == Token::Any)
    }
}

impl Token {
    fn takes(&self, char: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == char,
            Self::One => true,
            Self::Any => false,
            Self::Class { is_negative, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&char)) != *is_negative
            }
        }
    }
}

/// A class up to its bracket.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let is_negative = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { is_negative, ranges });
        }
        let low = member(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { member(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn member(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        ']' | '-' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^e-g]", "abc", true),
            ("ab[^b-d]", "abc", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            (r"[\]a]", "]", true),
            (r"[x\-]", "-", true),
            (r"[\-x]", "z", false),
            ("arr[[]0].txt", "arr[0].txt", true),
            ("", "", true),
            ("", "x", false),
            ("**", "x", true),
        ] {
            assert_eq!(Wildcard::parse(pattern).expect(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", r"a\", "[a-"] {
            assert_eq!(Wildcard::parse(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn wildcards_are_seen() {
        for (path, expected) in
            [("/a/b", false), ("/a*/b", true), (r"/a\*", false), ("/a?", true), ("/[a]", true)]
        {
            assert_eq!(has_wildcards(path), expected, "{path}");
        }
    }

    /// The simplest thing that is right: every way to take a star is tried.
    fn model(tokens: &[Token], name: &[char]) -> bool {
        match (tokens.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((Token::Any, after)), None) => model(after, name),
            (Some((Token::Any, after)), Some((_, rest))) => model(after, name) || model(tokens, rest),
            (Some(_), None) => false,
            (Some((token, after)), Some((char, rest))) => token.takes(*char) && model(after, rest),
        }
    }

    proptest! {
        #[test]
        fn any_name_matches_as_the_model_says(pattern in r"[ab*?\[\]^\\-]{0,10}", name in "[ab\\]-]{0,8}") {
            if let Some(wildcard) = Wildcard::parse(&pattern) {
                let chars: Vec<char> = name.chars().collect();
                prop_assert_eq!(wildcard.matches(&name), model(&wildcard.tokens, &chars), "{} {}", pattern, name);
            }
        }
    }
}
