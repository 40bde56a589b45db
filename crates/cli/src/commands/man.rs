//! `man`: writes the manual pages.

use std::path::Path;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::{Failure, io_text};
use crate::flag::NoOptions;

/// Writes a manual page for each command.
pub(crate) struct Man;

impl Leaf for Man {
    type Options = NoOptions;
    const NAME: &'static str = "man";
    const ABOUT: &'static str = "Write the manual pages into a directory";
    const USAGE: &'static str = "DIRECTORY";
    const ARITY: Arity = Arity::Exactly(1);

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let directory = Path::new(&arguments[0]);
        let fail = |error: &std::io::Error| {
            Failure::message(format!(
                "cannot write manual pages to {}: {}",
                directory.display(),
                io_text(error)
            ))
        };
        std::fs::create_dir_all(directory).map_err(|error| fail(&error))?;
        clap_mangen::generate_to(super::completion::tree(app.program()), directory)
            .map_err(|error| fail(&error))
    }
}
