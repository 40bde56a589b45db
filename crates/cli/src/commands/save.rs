//! `save`: images into an archive.

use api::image::SaveOptions;

use super::pull::platform_json;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::output_file;

/// Saves images.
pub(crate) struct Save;

#[derive(Default)]
pub(crate) struct SaveFlags {
    output: String,
    platform: String,
}

impl Options for SaveFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('o', "output", "Write this file instead of standard output", |o| &mut o.output),
        Flag::new("platform", "Save only this platform (os[/arch[/variant]])", |o| &mut o.platform),
    ];
}

impl Leaf for Save {
    type Options = SaveFlags;
    const NAME: &'static str = "save";
    const ABOUT: &'static str = "Save one or more images to a tar archive (streamed to STDOUT by default)";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["image save", "save"];

    fn run(app: &App, flags: SaveFlags, names: Vec<String>) -> Result<(), Failure> {
        let platform = platform_json(&flags.platform)?;
        output_file::check(&flags.output, "failed to save image")?;
        let client = app.client()?;
        let platforms = Some(platform).filter(|it| !it.is_empty()).into_iter().collect();
        let options = SaveOptions { names, platforms };
        app.block_on(async { output_file::receive(client.save_images(&options).await?, &flags.output).await })
    }
}
