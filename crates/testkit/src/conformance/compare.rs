//! What an engine makes of cases, beside what is expected.

use std::path::Path;

use super::case::{Area, Case};
use super::run::{Builder, Seen};
use crate::bed::Bed;
use crate::engine::Kind;

/// Builds the cases of an area and fails the test unless all come out as they are written.
///
/// Expectations that are not recorded are about newer versions than that of the reference engine, which is not asked for
/// them. What `bed`'s client cannot ask for is left out.
#[track_caller]
pub fn check(bed: &Bed, area: &Path) {
    let read = Area::read(area);
    let is_reference = bed.engine.kind() == Kind::Reference;
    let seen = Builder::new(bed).build(&read, |case| !is_reference || case.is_recorded());
    if is_reference && seen.is_empty() {
        eprintln!("{} is about newer builders only", area.display());
        return;
    }
    assert!(!seen.is_empty(), "no case of {} was built", area.display());
    let problems: Vec<String> = seen.iter().filter_map(|(case, seen)| problem(case, seen)).collect();
    assert!(
        problems.is_empty(),
        "{} of {} cases of {} differ:\n{}",
        problems.len(),
        seen.len(),
        area.display(),
        problems.join("\n")
    );
}

/// How a case differs from what is expected.
fn problem(case: &Case, seen: &Seen) -> Option<String> {
    let expectation = case.expectation.as_ref();
    let expected = expectation.map_or(&[][..], |expectation| expectation.lines.as_slice());
    let expected: Vec<&String> = expected.iter().filter(|line| !line.starts_with("says ")).collect();
    let mut differences: Vec<String> = Vec::new();
    differences
        .extend(expected.iter().filter(|line| !seen.lines.contains(line)).map(|line| format!("  - {line}")));
    differences
        .extend(seen.lines.iter().filter(|line| !expected.contains(line)).map(|line| format!("  + {line}")));
    if differences.is_empty() && expected.iter().copied().ne(&seen.lines) {
        let order = seen.lines.iter().map(|line| format!("  + {line}"));
        differences = std::iter::once("  in another order:".to_owned()).chain(order).collect();
    }
    differences.extend(wording(case, seen));
    let said = || seen.said.as_deref().unwrap_or_default().trim().replace('\n', "\n  | ");
    let is_failure = seen.said.is_some();
    (!differences.is_empty()).then(|| {
        let said = if is_failure { format!("\n  | {}", said()) } else { String::new() };
        format!("=== {}\n{}{said}", case.name, differences.join("\n"))
    })
}

/// What is wrong with what an error says. Case is nothing that people match on.
pub(super) fn wording(case: &Case, seen: &Seen) -> Option<String> {
    let said = seen.said.as_ref()?.to_lowercase();
    if case.matches.is_empty() {
        return Some("  it is not written what the error says".to_owned());
    }
    let is_said = case.matches.iter().any(|text| said.contains(&text.to_lowercase()));
    (!is_said).then(|| format!("  the error does not say {:?}", case.matches.join("\" or \"")))
}
