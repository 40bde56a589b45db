//! `--security-opt`: what the client itself has to do for it.

use super::go;
use crate::failure::{Failure, io_text};

/// The options for the engine, and what `systempaths=unconfined` turned off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityOptions {
    pub(crate) options: Vec<String>,
    /// Whether no path is masked and none is read-only.
    pub(crate) unconfined_paths: bool,
}

/// Checks the options, and puts the text of seccomp profiles in place of their paths: the engine may be elsewhere.
pub(crate) fn parse_security_options(options: &[String]) -> Result<SecurityOptions, Failure> {
    let mut result = SecurityOptions::default();
    for option in options {
        let (key, value) = split(option)
            .ok_or_else(|| Failure::message(format!("Invalid --security-opt: {}", go::quote(option))))?;
        match (key, value) {
            ("seccomp", "builtin" | "unconfined") => result.options.push(option.clone()),
            ("seccomp", path) => result.options.push(format!("seccomp={}", read_profile(path)?)),
            ("systempaths", "unconfined") => result.unconfined_paths = true,
            _ => result.options.push(option.clone()),
        }
    }
    Ok(result)
}

/// `key=value`, or `key:value` as it was once written; only one option has no value.
fn split(option: &str) -> Option<(&str, &str)> {
    let (key, value) = match option.split_once('=') {
        Some(pair) => pair,
        None if option == "no-new-privileges" => (option, ""),
        None => option.split_once(':')?,
    };
    (!value.is_empty() || key == "no-new-privileges").then_some((key, value))
}

fn read_profile(path: &str) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::message(format!("opening seccomp profile ({path}) failed: open {path}: {}", io_text(&error)))
    })?;
    let profile: &serde_json::value::RawValue = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::message(format!("compacting json for seccomp profile ({path}) failed: {error}"))
    })?;
    Ok(compact(profile.get()))
}

/// Valid JSON without the blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            let keep = inside || !c.is_ascii_whitespace();
            match c {
                '"' if !escaped => inside = !inside,
                _ => {}
            }
            escaped = inside && *c == '\\' && !escaped;
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_without_value_are_refused() {
        let parse = |option: &str| parse_security_options(&[option.to_owned()]);
        assert_eq!(parse("foo").unwrap_err().to_string(), "Invalid --security-opt: \"foo\"");
        assert_eq!(parse("label:disable").unwrap().options, ["label:disable"]);
        assert_eq!(parse("no-new-privileges").unwrap().options, ["no-new-privileges"]);
        assert!(parse("systempaths=unconfined").unwrap().unconfined_paths);
        assert_eq!(
            parse("seccomp=/nope").unwrap_err().to_string(),
            "opening seccomp profile (/nope) failed: open /nope: no such file or directory"
        );
    }

    #[test]
    fn compact_leaves_strings_alone() {
        assert_eq!(compact("{ \"a b\" : [ 1 ,\n\"c \\\" d\" ] }"), "{\"a b\":[1,\"c \\\" d\"]}");
    }
}
