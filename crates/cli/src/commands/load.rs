//! `load`: images from an archive.

use std::collections::BTreeSet;
use std::ops::Range;
use std::os::fd::AsFd;

use api::image::LoadOptions;
use client::Client;

use super::pull::platform_json;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::{Failure, io_text};
use crate::flag::{Flag, Options};
use crate::outline::Outline;
use crate::progress::{self, Sink};
use crate::terminal;
use crate::upload::{read_parts, read_stream};

/// Loads images from an archive.
pub(crate) struct Load;

#[derive(Default)]
pub(crate) struct LoadFlags {
    input: String,
    platform: String,
    quiet: bool,
}

impl Options for LoadFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('i', "input", "Read this file instead of standard input", |o| &mut o.input),
        Flag::new("platform", "Load only this platform (os[/arch[/variant]])", |o| &mut o.platform),
        Flag::lettered('q', "quiet", "Show no progress", |o| &mut o.quiet),
    ];
}

impl Leaf for Load {
    type Options = LoadFlags;
    const NAME: &'static str = "load";
    const ABOUT: &'static str = "Load an image from a tar archive or STDIN";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;
    const PATHS: &'static [&'static str] = &["image load", "load"];

    fn run(app: &App, flags: LoadFlags, _: Vec<String>) -> Result<(), Failure> {
        let platform = platform_json(&flags.platform)?;
        let file = open(&flags.input)?;
        let quiet = flags.quiet || !terminal::stdout_is_terminal();
        let client = app.client()?;
        app.block_on(async {
            let options = LoadOptions {
                quiet,
                platforms: Some(platform).filter(|it| !it.is_empty()).into_iter().collect(),
            };
            if let Some(parts) = new_parts(client, &file).await {
                let same = file.try_clone().map_err(|error| Failure::message(io_text(&error)))?;
                let lines = client.load_images(&options, read_parts(same, parts)).await?;
                match progress::show(lines, Sink::Stdout).await {
                    // An image has gone since, or has lost a layer.
                    Err(failure) if misses_a_file(&failure) => {}
                    done => return done,
                }
            }
            let lines = client.load_images(&options, read_stream(file)).await?;
            progress::show(lines, Sink::Stdout).await
        })
    }
}

/// Whether an engine, ours or another, says that something is not in the archive.
fn misses_a_file(failure: &Failure) -> bool {
    let text = failure.text().unwrap_or_default();
    text.contains("is not in it") || text.contains("no such file or directory")
}

/// The parts of an archive that the engine has not, if that can be told and is not all of it.
async fn new_parts(client: &Client, file: &std::fs::File) -> Option<Vec<Range<u64>>> {
    let outline = Outline::of(file)?;
    let mut known = BTreeSet::new();
    for image in outline.images() {
        if client.inspect_image(image.id.as_str()).await.is_ok() {
            known.insert(image.id.clone());
        }
    }
    outline.without(|id| known.contains(id))
}

fn open(path: &str) -> Result<std::fs::File, Failure> {
    let fail = |error: std::io::Error| Failure::message(format!("open {path}: {}", io_text(&error)));
    if path.is_empty() {
        if terminal::stdin_is_terminal() {
            return Err(Failure::message("requested load from stdin, but stdin is empty"));
        }
        let stdin = rustix::stdio::stdin().as_fd().try_clone_to_owned();
        return stdin.map(Into::into).map_err(fail);
    }
    std::fs::File::open(path).map_err(fail)
}
