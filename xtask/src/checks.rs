//! `cargo xtask ci`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::fuzz;
use crate::packages;
use crate::tests::{self, Counts, Options};
use crate::tools::{cargo, root, run};

/// Of the tests that also the reference engine can run, the check runs every so many-th against it.
const REFERENCE_SAMPLE: usize = 8;

/// Format, lints, licences, all tests, a sample of the tests against the reference engine, fuzzing.
pub(crate) fn run_all() -> Result<Counts> {
    ensure!(
        std::env::var_os("DOCKER_HOST").is_none(),
        "DOCKER_HOST is set, but the check starts its own engines"
    );
    packages::install(&[])?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    check_licences()?;
    let mut counts = tests::run(&Options::all())?;
    counts += tests::run(&Options::reference_sample(REFERENCE_SAMPLE))?;
    counts += fuzz::run(&fuzz::Options::all())?;
    Ok(counts)
}

/// Every dependency offers a licence that `deny.toml` allows.
fn check_licences() -> Result<()> {
    let allowed = allowed_licences()?;
    ["Cargo.toml", "fuzz/Cargo.toml"].iter().try_for_each(|manifest| check_licences_of(manifest, &allowed))
}

fn check_licences_of(manifest: &str, allowed: &BTreeSet<String>) -> Result<()> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest])
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(package["license"].as_str().unwrap_or_default(), allowed))
        .map(|package| format!("{} ({})", package["name"], package["license"]))
        .collect();
    ensure!(refused.is_empty(), "licences not allowed by deny.toml: {}", refused.join(", "));
    Ok(())
}

/// The quoted names in the `allow` list of `deny.toml`.
fn allowed_licences() -> Result<BTreeSet<String>> {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let list = text
        .split_once("allow = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .context("deny.toml has an allow list")?;
    Ok(list.0.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be fulfilled: one side of each `OR`, both of each `AND`. Parentheses bind as written.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let allowed = any_of(&words, &mut position, allowed);
    allowed && position == words.len() && !words.is_empty()
}

fn any_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = all_of(words, position, allowed);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        fulfilled |= all_of(words, position, allowed);
    }
    fulfilled
}

fn all_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fulfilled = licence(words, position, allowed);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        fulfilled &= licence(words, position, allowed);
    }
    fulfilled
}

fn licence(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let word = words.get(*position).copied().unwrap_or_default();
    *position += 1;
    if word == "(" {
        let fulfilled = any_of(words, position, allowed);
        *position += 1;
        return fulfilled;
    }
    if words.get(*position) == Some(&"WITH") {
        let exception = words.get(*position + 1).copied().unwrap_or_default();
        *position += 2;
        return allowed.contains(&format!("{word} WITH {exception}"));
    }
    allowed.contains(word)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn expression_is_fulfilled_by_what_is_allowed() {
        let allowed: BTreeSet<String> =
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }
}
