//! `export`: all files of a container into a tar.

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::output_file;

/// Exports the files of a container.
pub(crate) struct Export;

#[derive(Default)]
pub(crate) struct ExportFlags {
    output: String,
}

impl Options for ExportFlags {
    const FLAGS: &'static [Flag<Self>] =
        &[Flag::lettered('o', "output", "Write this file instead of standard output", |o| &mut o.output)];
}

impl Leaf for Export {
    type Options = ExportFlags;
    const NAME: &'static str = "export";
    const ABOUT: &'static str = "Export a container's filesystem as a tar archive";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["container export", "export"];

    fn run(app: &App, flags: ExportFlags, arguments: Vec<String>) -> Result<(), Failure> {
        output_file::check(&flags.output, "failed to export container")?;
        let client = app.client()?;
        app.block_on(async {
            output_file::receive(client.export_container(&arguments[0]).await?, &flags.output).await
        })
    }
}
