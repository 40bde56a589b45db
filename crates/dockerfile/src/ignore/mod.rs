//! `.dockerignore`: which files of a context are no part of it, by Docker's rules, which are not those of git.
//!
//! - A pattern is for the whole path from the context's root; `dir` is not `a/dir`, `**/dir` is both.
//! - What is below something that matches, matches.
//! - The last pattern that matches counts; `!` before it means that the file is not ignored.
//! - `*` and `?` do not match `/`, `**` does.
//!
//! Matching takes time in proportion to the length of the path times that of the pattern, whatever the pattern.

mod pattern;

use pattern::Pattern;

/// Why patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// `!` alone.
    #[error("illegal exclusion pattern: \"!\"")]
    EmptyException,
    /// A class that does not end, or an escape character at the end.
    #[error("syntax error in pattern")]
    Syntax,
}

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    is_exception: bool,
}

/// Which patterns match a folder, so that they need not be tried for what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched(Vec<bool>);

/// The patterns of a file: without comments, blank lines, and slashes at their start.
pub fn patterns(file: &[u8]) -> Vec<String> {
    let text = crate::syntax::text(file);
    let lines =
        text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| match line.strip_prefix('!') {
            Some(rest) => format!("!{}", relative(rest.trim())),
            None => relative(line),
        })
        .collect()
}

fn relative(pattern: &str) -> String {
    if pattern.is_empty() {
        return String::new();
    }
    let clean = clean(pattern);
    match clean.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => clean,
    }
}

/// The shortest path of the same meaning.
pub(crate) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_absolute => {}
            other => parts.push(other),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

impl Matcher {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn parse(file: &[u8]) -> Result<Self, IgnoreError> {
        Self::new(&patterns(file))
    }

    /// Takes patterns, such as those of `--exclude`.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(patterns: &[String]) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for text in patterns.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let (is_exception, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
            if text.is_empty() {
                return Err(IgnoreError::EmptyException);
            }
            rules.push(Rule { pattern: Pattern::parse(&clean(text))?, is_exception });
        }
        Ok(Self { rules })
    }

    /// Whether a pattern says what is not ignored.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_exception)
    }

    /// Whether everything in the root is ignored by a single pattern.
    pub(crate) fn is_everything(&self) -> bool {
        self.rules.iter().any(|rule| !rule.is_exception && matches!(rule.pattern.text(), "*" | "**" | "**/*"))
    }

    /// Whether a path from the context's root is ignored: `a/b`, with slashes between its parts only.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut matched = Matched::default();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut is_ignored = false;
        for end in ends {
            (is_ignored, matched) = self.below(&matched, &path[..end]);
        }
        is_ignored
    }

    /// The same for what is in a folder of which is known what matches it; the root's is the default.
    pub fn below(&self, folder: &Matched, path: &str) -> (bool, Matched) {
        let mut is_ignored = false;
        let mut matched = vec![false; self.rules.len()];
        for (rule, (matches, inherited)) in
            self.rules.iter().zip(matched.iter_mut().zip(folder.0.iter().chain(std::iter::repeat(&false))))
        {
            // What would change nothing need not be tried.
            *matches = *inherited || (rule.is_exception == is_ignored && rule.pattern.matches(path));
            if *matches {
                is_ignored = !rule.is_exception;
            }
        }
        (is_ignored, Matched(matched))
    }

    /// Whether nothing in an ignored folder can be something else than ignored, so that it need not be looked into.
    pub fn hides_all_below(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        let may_match = |pattern: &Pattern| {
            let fixed = pattern.fixed_start();
            fixed.starts_with(&inside) || inside.starts_with(fixed)
        };
        !self.rules.iter().any(|rule| rule.is_exception && may_match(&rule.pattern))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(text: &str) -> Matcher {
        Matcher::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn files_are_read_without_comments_and_leading_slashes() {
        let file = b"\xef\xbb\xbf# no\n\n /a/b/ \n! /c/../d\n  # a name\n./e//f\n!\n/\n";
        assert_eq!(patterns(file), ["a/b", "!d", "# a name", "e/f", "!", "/"]);
    }

    #[test]
    fn the_last_pattern_that_matches_counts() {
        for (text, path, expected) in [
            ("*.md\n!README.md", "a.md", true),
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", false),
            ("dir", "dir/a/b", true),
            ("dir\n!dir/a", "dir/a/b", false),
            ("dir\n!dir/a", "dir/b", true),
            ("dir", "a/dir", false),
            ("**/dir", "a/dir/x", true),
            ("*/temp*", "a/temporary/x", true),
            ("*/temp*", "temp", false),
            ("*\n!src\n!src/**", "src/a/b", false),
            ("*\n!src", "src/a", false),
            ("*\n!src", "a/src", true),
            ("!a", "a", false),
            ("a/*\n!a/b", "a/b/c", false),
            ("**\n!**/*.go", "x/y.go", false),
            ("", "a", false),
        ] {
            assert_eq!(matcher(text).is_ignored(path), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn folders_with_exceptions_are_looked_into() {
        for (text, folder, expected) in [
            ("dir", "dir", true),
            ("dir\n!dir/a", "dir", false),
            ("dir\n!other/a", "dir", true),
            ("dir\n!**/a", "dir", false),
            ("dir\n!d*/a", "dir", false),
            ("dir\n!dir2", "dir", true),
        ] {
            assert_eq!(matcher(text).hides_all_below(folder), expected, "{text:?}");
        }
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        assert_eq!(Matcher::parse(b"!"), Err(IgnoreError::EmptyException));
        for text in ["[", "[]a]", "a\\", "[a-]", "[-x]", "[a", "!x[", "[^]"] {
            assert_eq!(Matcher::parse(text.as_bytes()), Err(IgnoreError::Syntax), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_file_and_path_are_matched_without_panic(
            file in "([!*?\\[\\]\\\\a-c/.^ -]{0,12}\n){0,6}", path in "[a-c/.]{0,20}",
        ) {
            if let Ok(matcher) = Matcher::parse(file.as_bytes()) {
                let _ = (matcher.is_ignored(&path), matcher.hides_all_below(&path));
            }
        }

        #[test]
        fn what_a_folder_hides_is_ignored(
            file in "(!?[ab*]{1,2}(/[ab*]{1,2}){0,2}\n){1,5}", path in "[ab]{1,2}(/[ab]{1,2}){1,3}",
        ) {
            let matcher = Matcher::parse(file.as_bytes()).unwrap();
            let (folder, _) = path.rsplit_once('/').unwrap();
            if matcher.is_ignored(folder) && matcher.hides_all_below(folder) {
                prop_assert!(matcher.is_ignored(&path), "{} {}", file, path);
            }
        }

        #[test]
        fn without_exceptions_all_below_a_match_is_ignored(
            file in "([ab*?]{1,3}(/[ab*]{1,2}){0,2}\n){1,5}", path in "[ab]{1,2}(/[ab]{1,2}){0,2}",
        ) {
            let matcher = Matcher::parse(file.as_bytes()).unwrap();
            if matcher.is_ignored(&path) {
                let below = format!("{path}/x");
                prop_assert!(matcher.is_ignored(&below));
            }
        }
    }
}
