//! `diff`: what a container changed in its files.

use std::fmt::Write as _;

use api::container::ChangeKind;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::NoOptions;

/// Shows what a container changed.
pub(crate) struct Diff;

impl Leaf for Diff {
    type Options = NoOptions;
    const NAME: &'static str = "diff";
    const ABOUT: &'static str = "Inspect changes to files or directories on a container's filesystem";
    const USAGE: &'static str = "CONTAINER";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["container diff", "diff"];

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let changes = app.block_on(client.container_changes(&arguments[0]))?;
        let mut text = String::new();
        for change in changes {
            let letter = match change.kind {
                ChangeKind::Modified => 'C',
                ChangeKind::Added => 'A',
                ChangeKind::Deleted => 'D',
            };
            writeln!(text, "{letter} {}", change.path).expect("a string takes everything");
        }
        app.print(&text)
    }
}
