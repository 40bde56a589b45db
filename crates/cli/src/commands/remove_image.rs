//! `rmi`: removes images.

use api::image::RemoveOptions;

use super::pull::platform_json;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options, Strings};

/// Removes images.
pub(crate) struct RemoveImage;

#[derive(Default)]
pub(crate) struct RemoveFlags {
    force: bool,
    no_prune: bool,
    platform: Strings,
}

impl Options for RemoveFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "force", "Remove images that are in use", |o| &mut o.force),
        Flag::new("no-prune", "Keep parents that have no name", |o| &mut o.no_prune),
        Flag::new("platform", "Remove only this platform (os[/arch[/variant]])", |o| &mut o.platform),
    ];
}

impl Leaf for RemoveImage {
    type Options = RemoveFlags;
    const NAME: &'static str = "rmi";
    const ABOUT: &'static str = "Remove one or more images";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["image rm", "image remove", "rmi"];

    fn run(app: &App, flags: RemoveFlags, images: Vec<String>) -> Result<(), Failure> {
        let platforms = flags.platform.0.iter().map(|text| platform_json(text)).collect::<Result<_, _>>()?;
        let options = RemoveOptions { force: flags.force, no_prune: flags.no_prune, platforms };
        let client = app.client()?;
        let (mut errors, mut fatal) = (Vec::new(), false);
        for image in &images {
            match app.block_on(client.remove_image(image, &options)) {
                Ok(items) => {
                    for item in items {
                        match item.deleted.is_empty() {
                            true => app.line(&format!("Untagged: {}", item.untagged))?,
                            false => app.line(&format!("Deleted: {}", item.deleted))?,
                        }
                    }
                }
                Err(error) => {
                    fatal |= !error.is_not_found();
                    errors.push(error.into());
                }
            }
        }
        match app.report(errors) {
            // What is not there needs no force.
            Err(error) if options.force && !fatal => {
                eprintln!("{error}");
                Ok(())
            }
            result => result,
        }
    }
}
