//! What checks found, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Warning;
use crate::error::Error;
use crate::source::{Lines, excerpt};

/// Why the file cannot be built at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The message.
    pub message: String,
    /// The lines in question.
    pub lines: Option<Lines>,
}

/// The result of checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The name of the file in excerpts.
    pub file: String,
    /// Its text.
    pub source: String,
    /// What was found, in the order of lines.
    pub warnings: Vec<Warning>,
    /// Why it cannot be built.
    pub error: Option<BuildError>,
}

impl Report {
    /// A report with its warnings in order.
    pub fn new(file: &str, source: &str, mut warnings: Vec<Warning>, error: Option<&Error>) -> Self {
        warnings.sort_by_key(|warning| warning.lines.first);
        let error = error.map(|error| BuildError { message: error.to_string(), lines: error.lines });
        Self { file: file.to_owned(), source: source.to_owned(), warnings, error }
    }

    /// The exit code of a check.
    pub fn status(&self) -> i32 {
        i32::from(!self.warnings.is_empty() || self.error.is_some())
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = match self.warnings.len() {
            0 if self.error.is_some() => String::new(),
            0 => "Check complete, no warnings found.\n".to_owned(),
            1 => "Check complete, 1 warning has been found!\n".to_owned(),
            count => format!("Check complete, {count} warnings have been found!\n"),
        };
        for Warning { rule, detail, lines } in &self.warnings {
            let url = rule.url().map(|url| format!(" - {url}")).unwrap_or_default();
            let excerpt = excerpt(&self.file, &self.source, *lines, None);
            let _ = write!(out, "\nWARNING: {}{url}\n{detail}\n{excerpt}", rule.name());
        }
        if let Some(BuildError { message, lines }) = &self.error {
            let excerpt = lines.map(|lines| excerpt(&self.file, &self.source, lines, None));
            let _ = write!(out, "\nERROR: {message}\n{}", excerpt.unwrap_or_default());
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let warnings: Vec<Value> = self.warnings.iter().map(warning).collect();
        let mut report =
            json!({ "warnings": warnings, "sources": [{ "filename": self.file, "language": "Dockerfile" }] });
        if let Some(BuildError { message, lines }) = &self.error {
            report["buildError"] = json!({ "message": message, "location": location(*lines) });
        }
        report
    }
}

fn warning(Warning { rule, detail, lines }: &Warning) -> Value {
    let mut value = json!({
        "ruleName": rule.name(),
        "description": rule.description(),
        "detail": detail,
        "location": location(Some(*lines)),
    });
    if let Some(url) = rule.url() {
        value["url"] = url.into();
    }
    value
}

/// Each line is a range, as BuildKit has it.
fn location(lines: Option<Lines>) -> Value {
    let range = |line: u32| json!({ "start": { "line": line }, "end": { "line": line } });
    let ranges: Vec<Value> =
        lines.into_iter().flat_map(|lines| lines.first..=lines.last).map(range).collect();
    json!({ "ranges": ranges })
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    #[test]
    fn report_has_warnings_in_order_with_excerpts() {
        let warning =
            |rule, line| Warning { rule, detail: format!("detail {line}"), lines: Lines::one(line) };
        let warnings = vec![warning(Rule::UndefinedVar, 2), warning(Rule::InvalidBaseImagePlatform, 1)];
        let report = Report::new("Dockerfile", "FROM a\nUSER $x\n", warnings, None);
        let text = report.text();
        assert!(text.starts_with(
            "Check complete, 2 warnings have been found!\n\nWARNING: InvalidBaseImagePlatform\ndetail 1\nDockerfile:1\n"
        ));
        let url = "https://docs.docker.com/go/dockerfile/rule/undefined-var/";
        assert!(
            text.contains(&format!("\nWARNING: UndefinedVar - {url}\ndetail 2\nDockerfile:2\n")),
            "{text}"
        );
        assert_eq!(report.json()["warnings"][1]["url"], url);
        assert_eq!(report.json()["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
        assert_eq!(report.status(), 1);
    }

    #[test]
    fn report_of_a_file_that_cannot_be_built_has_the_error() {
        let source = "FROM a\nRUNN x\n";
        let error = crate::Dockerfile::parse(source.as_bytes()).unwrap_err();
        let report = Report::new("Dockerfile", source, Vec::new(), Some(&error));
        assert!(
            report.text().starts_with("\nERROR: dockerfile parse error on line 2: unknown instruction: RUNN")
        );
        assert_eq!(report.json()["buildError"]["location"]["ranges"][0]["end"]["line"], 2);
        assert_eq!(Report::default().text(), "Check complete, no warnings found.\n");
    }
}
