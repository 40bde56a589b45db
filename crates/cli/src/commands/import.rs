//! `import`: an image of a tar of a root file system.

use std::fs::File;
use std::os::fd::AsFd;

use api::image::PullOptions;

use super::pull;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::{Failure, io_text};
use crate::flag::{Flag, Options};
use crate::progress::{self, Sink};
use crate::upload::read_stream;

/// Makes an image of a tar.
pub(crate) struct Import;

#[derive(Default)]
pub(crate) struct ImportFlags {
    change: Vec<String>,
    message: String,
    platform: String,
}

impl Options for ImportFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('c', "change", "Dockerfile instruction for the image", |o| &mut o.change),
        Flag::lettered('m', "message", "Note on the image", |o| &mut o.message),
        Flag::new("platform", "Platform of the image (os[/arch[/variant]])", |o| &mut o.platform),
    ];
}

impl Leaf for Import {
    type Options = ImportFlags;
    const NAME: &'static str = "import";
    const ABOUT: &'static str = "Import the contents from a tarball to create a filesystem image";
    const USAGE: &'static str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["image import", "import"];

    fn run(app: &App, flags: ImportFlags, arguments: Vec<String>) -> Result<(), Failure> {
        pull::check_platform(&flags.platform)?;
        let source = arguments[0].as_str();
        let is_url = source.starts_with("http://") || source.starts_with("https://");
        let mut options = PullOptions {
            from_src: if is_url { source.to_owned() } else { "-".to_owned() },
            changes: flags.change,
            message: flags.message,
            platform: flags.platform,
            ..PullOptions::default()
        };
        if let Some(name) = arguments.get(1) {
            (options.repo, options.tag) = pull::repository_and_tag(name)?;
        }
        let file = if is_url { None } else { Some(open(source)?) };
        let client = app.client()?;
        app.block_on(async {
            let lines = client.import_image(&options, file.map(read_stream)).await?;
            progress::show(lines, Sink::Stdout).await
        })
    }
}

fn open(source: &str) -> Result<File, Failure> {
    let failed = |error: std::io::Error| Failure::message(format!("open {source}: {}", io_text(&error)));
    match source {
        "-" => rustix::stdio::stdin().as_fd().try_clone_to_owned().map(Into::into).map_err(failed),
        path => File::open(path).map_err(failed),
    }
}
