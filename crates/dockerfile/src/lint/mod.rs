//! Checks of Dockerfiles: rules, which of them count, and what they found.
//!
//! Names, texts and addresses are BuildKit's, and so is the form of the report (`docker build --check`).

mod report;
mod rules;

use std::cell::RefCell;
use std::collections::BTreeSet;

pub use report::{BuildError, Report};
pub use rules::Rule;

use crate::error::Problem;
use crate::source::Lines;
use crate::syntax::check_of_comment;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule.
    pub rule: Rule,
    /// What it says.
    pub detail: String,
    /// The lines in question.
    pub lines: Lines,
}

/// Which rules count: all but the experimental ones, where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    skip: Choice,
    experimental: Choice,
    /// Whether a warning fails the build.
    pub is_error: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    is_all: bool,
    names: BTreeSet<String>,
}

impl Choice {
    fn parse(text: &str) -> Self {
        match text.trim() {
            "all" => Self { is_all: true, names: BTreeSet::new() },
            names => {
                Self { is_all: false, names: names.split(',').map(|name| name.trim().to_owned()).collect() }
            }
        }
    }

    fn has(&self, rule: Rule) -> bool {
        self.is_all || self.names.contains(rule.name())
    }

    fn and(mut self, other: Self) -> Self {
        self.is_all |= other.is_all;
        self.names.extend(other.names);
        self
    }
}

impl Config {
    /// Reads `skip=A,B;error=true`, as the `check` directive and `BUILDKIT_DOCKERFILE_CHECK` have it.
    ///
    /// # Errors
    /// An option that is none.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut config = Self::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(config);
        }
        for part in text.splitn(3, ';') {
            let bad = |what: String| Problem::CheckOptions(what);
            let (key, value) =
                part.split_once('=').ok_or_else(|| bad(format!("invalid check option {part:?}")))?;
            match key.trim() {
                "skip" => config.skip = Choice::parse(value),
                "experimental" => config.experimental = Choice::parse(value),
                "error" => config.is_error = oci::boolean::parse(value.trim()).ok_or_else(|| {
                    bad(format!(
                        "failed to parse check option {part:?}: strconv.ParseBool: parsing {:?}: invalid syntax",
                        value.trim()
                    ))
                })?,
                other => return Err(bad(format!("invalid check option {other:?}"))),
            }
        }
        Ok(config)
    }

    /// With what comments before an instruction say.
    fn with_comments(&self, comments: &[String]) -> Option<Self> {
        let text = comments.iter().find_map(|comment| check_of_comment(comment))?;
        let own = Self::parse(&text).ok()?;
        let Self { skip, experimental, is_error } = self.clone();
        Some(Self { skip: skip.and(own.skip), experimental: experimental.and(own.experimental), is_error })
    }

    fn counts(&self, rule: Rule) -> bool {
        if rule.is_experimental() { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }
}

/// Nobody reads more of them.
const MAX_WARNINGS: usize = 1000;

/// Collects warnings.
#[derive(Debug)]
pub(crate) struct Linter {
    config: Config,
    found: RefCell<Vec<Warning>>,
}

impl Linter {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, found: RefCell::default() }
    }

    /// A warning about an instruction with these comments.
    pub(crate) fn warn(&self, rule: Rule, lines: Lines, comments: &[String], detail: String) {
        if self.is_full() {
            return;
        }
        let counts = match self.config.with_comments(comments) {
            Some(own) => own.counts(rule),
            None => self.config.counts(rule),
        };
        if counts {
            self.found.borrow_mut().push(Warning { rule, detail, lines });
        }
    }

    /// Whether no more is looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().len() >= MAX_WARNINGS
    }

    /// All of them, and the rules by name if they are errors.
    pub(crate) fn finish(self) -> (Vec<Warning>, Option<String>) {
        let found = self.found.into_inner();
        let names: BTreeSet<&str> = found.iter().map(|warning| warning.rule.name()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let failure = (self.config.is_error && !names.is_empty()).then(|| names.join(", "));
        (found, failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_which_rules_count() {
        let config = Config::parse("skip=StageNameCasing, FromAsCasing;error=true;experimental=all").unwrap();
        assert!(
            !config.counts(Rule::StageNameCasing) && !config.counts(Rule::FromAsCasing) && config.is_error
        );
        assert!(config.counts(Rule::UndefinedVar) && config.counts(Rule::InvalidDefinitionDescription));
        assert!(!Config::parse("skip=all").unwrap().counts(Rule::UndefinedVar));
        assert!(!Config::default().counts(Rule::InvalidDefinitionDescription));
    }

    #[test]
    fn options_that_are_none_are_refused() {
        for (text, expected) in [
            ("x", "failed to parse check options: invalid check option \"x\""),
            ("x=y", "failed to parse check options: invalid check option \"x\""),
            (
                "error=maybe",
                "failed to parse check options: failed to parse check option \"error=maybe\": strconv.ParseBool: \
                 parsing \"maybe\": invalid syntax",
            ),
        ] {
            assert_eq!(Config::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn comments_before_an_instruction_skip_rules_for_it() {
        let linter = Linter::new(Config::default());
        let comments = ["check=skip=StageNameCasing".to_owned()];
        linter.warn(Rule::StageNameCasing, Lines::one(1), &comments, "a".into());
        linter.warn(Rule::StageNameCasing, Lines::one(2), &[], "b".into());
        let (found, failure) = linter.finish();
        assert_eq!((found.len(), found[0].lines, failure), (1, Lines::one(2), None));
    }
}
