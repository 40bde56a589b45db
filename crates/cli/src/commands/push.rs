//! `push`: an image to its registry.

use api::image::PushOptions;
use oci::Reference;

use super::pull::{full_name, parse, platform_json};
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

const PLATFORM: &str = "Push only the image of this platform (os[/arch[/variant]]),\nas an image of its own";

impl Options for PushFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all-tags", "Push all tags of the repository", |o| &mut o.all_tags),
        Flag::hidden("disable-content-trust", |o| &mut o.content_trust),
        Flag::new("platform", PLATFORM, |o| &mut o.platform),
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
        let platform = platform_json(&flags.platform)?;
        if !platform.is_empty() {
            note(
                app,
                "Using --platform pushes only the specified platform manifest of a multi-platform image index.\n\
                 Other components, like attestations, will not be included.\n\
                 To push the complete multi-platform image, remove the --platform flag.",
            )?;
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
        let sink = if flags.quiet { Sink::Nowhere } else { Sink::Stdout };
        app.client()?;
        let outcome = app.block_on(push(app, &reference, platform, sink))?;
        if let Some(text) = outcome.and_then(instead) {
            note(app, &text)?;
        }
        if flags.quiet { app.line(&full_name(&reference)) } else { Ok(()) }
    }
}

/// Pushes one name, or all of a repository where the reference has no tag. Returns what the engine tells programs.
pub(crate) async fn push(
    app: &App,
    reference: &Reference,
    platform: String,
    sink: Sink,
) -> Result<Option<serde_json::Value>, Failure> {
    let options = PushOptions { tag: reference.tag().unwrap_or_default().to_owned(), platform };
    let auth = app.config().auth(reference.domain()).unwrap_or_default();
    let lines = app.client()?.push_image(&reference.familiar_name(), &options, &auth).await?;
    progress::show_until_data(lines, sink).await
}

/// Says what not everybody expects.
fn note(app: &App, text: &str) -> Result<(), Failure> {
    app.line(&format!("\n Info -> {}", text.replace('\n', "\n         ")))
}

/// That one image went instead of an index, if the engine says so.
fn instead(outcome: serde_json::Value) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Instead {
        manifest_pushed_instead_of_index: bool,
        original_index: api::image::Descriptor,
        selected_manifest: api::image::Descriptor,
    }
    let found: Instead = serde_json::from_value(outcome).ok()?;
    found.manifest_pushed_instead_of_index.then(|| {
        format!(
            "Not all multiplatform-content is present and only the available single-platform image was pushed\n{} -> {}",
            found.original_index.digest, found.selected_manifest.digest
        )
    })
}
