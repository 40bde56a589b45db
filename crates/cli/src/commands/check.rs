//! `system check`: verifies what the engine keeps.

use api::system::{CheckFinding, CheckReport};

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::progress::{self, Sink};
use crate::text::decimal_size;

/// Verifies every blob, layer and record.
pub(super) struct Check;

#[derive(Default)]
pub(super) struct CheckFlags {
    quiet: bool,
    repair: bool,
}

impl Options for CheckFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('q', "quiet", "Show no progress", |o| &mut o.quiet),
        Flag::new("repair", "Make anew what can be made anew, and put the rest out of use", |o| {
            &mut o.repair
        }),
    ];
}

impl Leaf for Check {
    type Options = CheckFlags;
    const NAME: &'static str = "check";
    const ABOUT: &'static str = "Verify every blob, layer and record of the engine";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: CheckFlags, _: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let is_shown = !flags.quiet && crate::terminal::stderr_is_terminal();
        let sink = if is_shown { Sink::Stderr } else { Sink::Nowhere };
        let last = app.block_on(async {
            let lines = client.check_system(flags.repair).await?;
            progress::show_until_data(lines, sink).await
        })?;
        if is_shown {
            eprintln!();
        }
        let report: CheckReport = last
            .and_then(|data| serde_json::from_value(data).ok())
            .ok_or_else(|| Failure::message("the engine sent no report"))?;
        app.print(&describe(&report))?;
        let remaining = report.findings.iter().filter(|finding| finding.remains()).count();
        match remaining {
            0 => Ok(()),
            _ => Err(Failure::Exit(1)),
        }
    }
}

fn describe(report: &CheckReport) -> String {
    let mut text: String = report.findings.iter().map(describe_finding).collect();
    let size = decimal_size(report.bytes as f64, 4);
    let CheckReport { blobs, layers, images, findings, .. } = report;
    text.push_str(&format!("Verified {images} images, {layers} layers and {blobs} blobs of {size}: "));
    let remaining = findings.iter().filter(|finding| finding.remains()).count();
    text.push_str(&match (findings.len(), remaining) {
        (0, _) => "nothing is damaged\n".to_owned(),
        (all, 0) => format!("{all} damaged, none of them is in use any more\n"),
        (all, some) if all == some => format!("{all} damaged\n"),
        (all, some) => format!("{all} damaged, {some} of them still in use\n"),
    });
    text
}

fn describe_finding(finding: &CheckFinding) -> String {
    let mut text = format!("{} {}: {}\n", finding.kind, finding.id, finding.problem);
    for (what, names) in [("images", &finding.images), ("containers", &finding.containers)] {
        if !names.is_empty() {
            text.push_str(&format!("    {what}: {}\n", names.join(", ")));
        }
    }
    match finding.action.as_str() {
        "" => {}
        "restored" => text.push_str("    made anew from what is whole\n"),
        "quarantined" => text.push_str("    put out of use; the next pull fetches it again\n"),
        "removed" => text.push_str("    put out of use, and the images removed; pull them again\n"),
        _ => text.push_str(&format!("    left as it is: {}\n", finding.reason)),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(action: &str) -> CheckFinding {
        CheckFinding {
            kind: "layer".into(),
            id: "sha256:1".into(),
            problem: "/a is missing".into(),
            images: vec!["app:1".into()],
            action: action.into(),
            ..CheckFinding::default()
        }
    }

    fn shown(findings: Vec<CheckFinding>) -> String {
        describe(&CheckReport { blobs: 3, bytes: 5000, layers: 2, images: 1, findings })
    }

    #[test]
    fn report_names_what_is_damaged_and_what_was_done() {
        assert_eq!(shown(vec![]), "Verified 1 images, 2 layers and 3 blobs of 5kB: nothing is damaged\n");
        let told = shown(vec![finding("")]);
        assert!(told.starts_with("layer sha256:1: /a is missing\n    images: app:1\nVerified"), "{told}");
        assert!(told.ends_with(": 1 damaged\n"), "{told}");
        let done = shown(vec![finding("restored")]);
        assert!(
            done.contains("    made anew") && done.ends_with("none of them is in use any more\n"),
            "{done}"
        );
        let both = shown(vec![finding("kept"), finding("removed")]);
        assert!(both.ends_with("2 damaged, 1 of them still in use\n"), "{both}");
    }
}
