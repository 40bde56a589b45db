//! `push`: an image to its registry.

use api::image::PushOptions;

use super::pull::{full_name, parse};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Changed, Flag, Options};
use crate::progress::{self, Sink};

/// Uploads an image.
pub(crate) struct Push;

#[derive(Default)]
pub(crate) struct PushFlags {
    all_tags: bool,
    content_trust: Changed<bool>,
    platform: String,
    quiet: bool,
}

impl Options for PushFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all-tags", "Push all tags of the repository", |o| &mut o.all_tags),
        Flag::hidden("disable-content-trust", |o| &mut o.content_trust),
        Flag::hidden("platform", |o| &mut o.platform),
        Flag::lettered('q', "quiet", "Show no progress", |o| &mut o.quiet),
    ];
}

impl Leaf for Push {
    type Options = PushFlags;
    const NAME: &'static str = "push";
    const ABOUT: &'static str = "Upload an image to a registry";
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG]";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["image push", "push"];

    fn run(app: &App, flags: PushFlags, arguments: Vec<String>) -> Result<(), Failure> {
        if flags.content_trust.given() == Some(false) {
            return Err(Failure::message("--disable-content-trust=false is not supported"));
        }
        if !flags.platform.is_empty() {
            return Err(Failure::message("--platform is not supported by push"));
        }
        let mut reference = parse(&arguments[0])?;
        if flags.all_tags && !reference.is_name_only() {
            return Err(Failure::message("tag can't be used with --all-tags/-a"));
        }
        if reference.digest().is_some() {
            return Err(Failure::message("cannot push a digest reference"));
        }
        if !flags.all_tags && reference.is_name_only() {
            reference = reference.or_latest();
            if !flags.quiet {
                app.line("Using default tag: latest")?;
            }
        }
        let options =
            PushOptions { tag: reference.tag().unwrap_or_default().to_owned(), ..PushOptions::default() };
        let auth = app.config().auth(reference.domain()).unwrap_or_default();
        let client = app.client()?;
        let sink = if flags.quiet { Sink::Nowhere } else { Sink::Stdout };
        app.block_on(async {
            let lines = client.push_image(&reference.familiar_name(), &options, &auth).await?;
            progress::show(lines, sink).await
        })?;
        if flags.quiet { app.line(&full_name(&reference)) } else { Ok(()) }
    }
}
