//! Expectations, written from what an engine makes of the cases.

use std::path::Path;

use super::case::{Area, Case, Expectation};
use super::compare::wording;
use super::run::{Builder, Seen};
use crate::bed::Bed;

/// What was recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded {
    /// Expectations that are recorded now.
    pub recorded: usize,
    /// Those written by hand, which stay.
    pub written: usize,
    /// Those that are recorded now and were something else.
    pub changed: usize,
}

/// Builds the cases of an area and writes what comes of them into its file, as said by `source`. Those that are written by
/// hand stay as they are, and are not built: older engines do not survive all of them.
///
/// What does not fit what a case says of its error is told on standard error.
pub fn record(bed: &Bed, area: &Path, source: &str) -> Recorded {
    let mut read = Area::read(area);
    let seen = Builder::new(bed).build(&read, Case::is_recorded);
    let seen: Vec<(String, Seen)> = seen.into_iter().map(|(case, seen)| (case.name.clone(), seen)).collect();
    let recorded = seen.len();
    let data_root = bed.engine.data_root().display().to_string();
    let mut counts = Recorded { recorded, written: read.cases.len() - recorded, changed: 0 };
    for (name, seen) in seen {
        let case = read.cases.iter_mut().find(|case| case.name == name).expect("a case of the area");
        counts.changed += usize::from(note(case, &seen, source, &data_root));
    }
    read.write();
    counts
}

/// Whether it was something else before.
fn note(case: &mut Case, seen: &Seen, source: &str, data_root: &str) -> bool {
    if let Some(problem) = wording(case, seen) {
        eprintln!("{}: {}", case.name, problem.trim());
    }
    if seen.said.is_none() && !case.matches.is_empty() {
        eprintln!("{}: it is written what the error says, but there is none", case.name);
    }
    let mut lines = seen.lines.clone();
    lines.extend(seen.said.as_ref().map(|said| format!("says {}", last_line(said, data_root))));
    let known = case.expectation.replace(Expectation { source: source.to_owned(), lines: lines.clone() });
    known.is_some_and(|known| known.lines != lines)
}

/// The error itself, without digests and paths, which are of one run only.
fn last_line(said: &str, data_root: &str) -> String {
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let plain = |word: &str| match word.find("sha256:").or_else(|| word.find(data_root)) {
        Some(start) => format!("{}…", &word[..start]),
        None => word.to_owned(),
    };
    line.split_whitespace().map(plain).collect::<Vec<_>>().join(" ")
}
