//! `FROM`: its base and platform, by the variables from before all stages.

use std::collections::BTreeSet;

use oci::Platform;

use super::arguments::{self, Global};
use crate::Dockerfile;
use crate::error::{Error, PlanProblem};
use crate::expand::{Budget, Expansion};
use crate::lint::{Linter, Rule};
use crate::suggest::{Case, nearest};
use crate::syntax::{Stage, Word};

/// Reads `FROM`.
pub(super) struct FromReader<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) stage: &'a Stage,
    pub(super) global: &'a Global,
    pub(super) linter: &'a Linter,
    pub(super) budget: &'a Budget,
}

impl FromReader<'_> {
    fn warn(&self, rule: Rule, detail: String) {
        self.linter.warn(rule, self.stage.lines, &self.stage.comments, detail);
    }

    fn undeclared(&self, unmatched: &BTreeSet<String>) {
        for name in unmatched.iter().filter(|name| !self.linter.is_full() && !self.global.has(name)) {
            let likely = nearest(name, self.global.names(), Case::Sensitive);
            let likely = likely.map(|likely| format!(" (did you mean {likely}?)")).unwrap_or_default();
            self.warn(Rule::UndefinedArgInFrom, format!("FROM argument '{name}' is not declared{likely}"));
        }
    }

    /// The base, with its variables replaced.
    pub(super) fn base(&self) -> Result<String, Error> {
        let word = &self.stage.from.base;
        let found = arguments::expand(self.file, word, self.global, self.budget)?;
        self.undeclared(&found.unmatched);
        if found.text.is_empty() {
            return Err(Error::new(PlanProblem::BlankBase(word.text.clone()).into()).at(word.span));
        }
        Ok(found.text)
    }

    /// `--platform`, with its variables replaced.
    pub(super) fn platform(&self) -> Result<Option<Platform>, Error> {
        let Some(word) = &self.stage.from.platform else { return Ok(None) };
        let found = arguments::expand(self.file, word, self.global, self.budget)?;
        self.undeclared(&found.unmatched);
        let likely =
            || found.unmatched.iter().find_map(|name| nearest(name, self.global.names(), Case::Sensitive));
        if found.text.is_empty() {
            let problem = PlanProblem::EmptyPlatform(word.text.clone());
            return Err(Error::new(problem.into()).at(word.span).hint(likely()));
        }
        let platform = found.text.parse::<Platform>().map_err(|error| {
            let problem = PlanProblem::Platform { text: word.text.clone(), reason: error.to_string() };
            Error::new(problem.into()).at(word.span).hint(likely())
        })?;
        self.check_platform(word, &found, &platform);
        Ok(Some(platform))
    }

    fn check_platform(&self, word: &Word, found: &Expansion, platform: &Platform) {
        let name = self.stage.name();
        let is_constant = found.matched.is_empty() && found.unmatched.is_empty();
        if is_constant && !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let detail = format!("FROM --platform flag should not use constant value {:?}", found.text);
            self.warn(Rule::FromPlatformFlagConstDisallowed, detail);
        }
        let only_target = found.unmatched.is_empty() && found.matched.iter().eq(["TARGETPLATFORM"]);
        if only_target && self.global.get("TARGETPLATFORM") == Some(&found.text) {
            let detail = format!(
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                word.text
            );
            self.warn(Rule::RedundantTargetPlatform, detail);
        }
    }
}
