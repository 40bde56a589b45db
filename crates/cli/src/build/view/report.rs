//! What is said after a build: what failed and where, what checks have found, what was in the cache.

use super::logs::clean;
use super::trace::Trace;
use super::units::moment;

/// The last lines of the steps that failed; `shape` makes of a line what may be written.
pub(super) fn failed_steps(trace: &Trace, most: usize, shape: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for (_, step) in trace.shown().filter(|(_, step)| step.has_failed()) {
        out.extend(format!("------\n > {}:\n", clean(step.name.as_bytes())).bytes());
        let count = step.logs.lines().count();
        if step.logs.dropped > 0 && most > count {
            out.extend(format!("({} lines before these)\n", step.logs.dropped).bytes());
        }
        for line in step.logs.lines().skip(count.saturating_sub(most)) {
            out.extend(format!("{} ", moment(line.at)).bytes());
            out.extend(shape(&line.bytes));
            out.push(b'\n');
        }
        out.extend(b"------\n");
    }
    out
}

/// The lines of the Dockerfile that the error is about.
pub(super) fn excerpt(trace: &Trace) -> String {
    harmless(&trace.excerpt)
}

/// Lines that a Dockerfile says, whoever wrote it.
fn harmless(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", clean(line.as_bytes()))).collect()
}

/// What checks have found; with `details` also where, and where there is more about it.
pub(in super::super) fn warnings(trace: &Trace, program: &str, details: bool) -> String {
    let count = trace.warnings.len();
    if count == 0 {
        return String::new();
    }
    let plural = if count == 1 { "warning" } else { "warnings" };
    let hint = if details { String::new() } else { format!(" (use {program} --debug to expand)") };
    let mut out = format!("\n {count} {plural} found{hint}:\n");
    for warning in &trace.warnings {
        out.push_str(&format!(" - {}\n", clean(warning.message.as_bytes())));
        if !details {
            continue;
        }
        if !warning.detail.is_empty() {
            out.push_str(&harmless(&warning.detail));
        }
        if !warning.url.is_empty() {
            out.push_str(&format!("More info: {}\n", warning.url));
        }
        out.push_str(&harmless(&warning.excerpt));
        out.push('\n');
    }
    out
}

/// For every step, whether its result was in the cache, and why not (`--explain`).
pub(in super::super) fn cache_report(trace: &Trace) -> String {
    let mut out = String::from("\nCache:\n");
    for (_, step) in trace.shown() {
        let name = clean(step.name.as_bytes());
        match &step.missed {
            _ if step.is_cached => out.push_str(&format!("  hit   {name}\n")),
            Some(reason) => out.push_str(&format!("  miss  {name}\n        {}\n", clean(reason.as_bytes()))),
            // What has no result to keep, such as the context, is neither.
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    #[test]
    fn warnings_are_counted_and_shown_in_full_on_demand() {
        let trace = Script::new()
            .warning(
                "JSONArgsRecommended: use JSON (line 3)",
                "https://x/y",
                "Dockerfile:3\n  3 | >>> CMD x\n",
            )
            .trace();
        assert_eq!(
            warnings(&trace, "corten", false),
            "\n 1 warning found (use corten --debug to expand):\n - JSONArgsRecommended: use JSON (line 3)\n"
        );
        assert_eq!(
            warnings(&trace, "corten", true),
            "\n 1 warning found:\n - JSONArgsRecommended: use JSON (line 3)\nDetail\nMore info: https://x/y\n\
             Dockerfile:3\n  3 | >>> CMD x\n\n"
        );
        assert_eq!(warnings(&Trace::default(), "corten", false), "");
    }

    #[test]
    fn every_step_is_a_hit_or_a_miss() {
        let trace = Script::new()
            .vertices(&["[internal] load build context", "[1/3] FROM x", "[2/3] COPY . .", "[3/3] RUN y"])
            .started(0)
            .completed(0)
            .cached(1)
            .started(2)
            .missed(2, "the content of \"a\" is another one")
            .completed(2)
            .missed(3, "\"[2/3] COPY . .\" is another one")
            .started(3)
            .trace();
        assert_eq!(
            cache_report(&trace),
            "\nCache:\n  hit   [1/3] FROM x\n  miss  [2/3] COPY . .\n        the content of \"a\" is another one\n  \
             miss  [3/3] RUN y\n        \"[2/3] COPY . .\" is another one\n"
        );
    }
}
