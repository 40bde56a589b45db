//! `pull`, and the pull that `run` does for an image that is missing.

use api::image::PullOptions;
use oci::Reference;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Changed, Flag, Options};
use crate::progress::{self, Sink};

/// Downloads an image.
pub(crate) struct Pull;

#[derive(Default)]
pub(crate) struct PullFlags {
    all_tags: bool,
    content_trust: Changed<bool>,
    platform: String,
    quiet: bool,
}

impl Options for PullFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "all-tags", "Pull all tags of the repository", |o| &mut o.all_tags),
        Flag::hidden("disable-content-trust", |o| &mut o.content_trust),
        Flag::new("platform", "Platform of the image (os[/arch[/variant]])", |o| &mut o.platform),
        Flag::lettered('q', "quiet", "Show no progress", |o| &mut o.quiet),
    ];
}

impl Leaf for Pull {
    type Options = PullFlags;
    const NAME: &'static str = "pull";
    const ABOUT: &'static str = "Download an image from a registry";
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["image pull", "pull"];

    fn run(app: &App, flags: PullFlags, arguments: Vec<String>) -> Result<(), Failure> {
        if flags.content_trust.given() == Some(false) {
            return Err(Failure::message("--disable-content-trust=false is not supported"));
        }
        let mut reference = parse(&arguments[0])?;
        check_platform(&flags.platform)?;
        let platform = match flags.platform.as_str() {
            "" => std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
            platform => platform.to_owned(),
        };
        if flags.all_tags && !reference.is_name_only() {
            return Err(Failure::message("tag can't be used with --all-tags/-a"));
        }
        if !flags.all_tags && reference.is_name_only() {
            reference = reference.or_latest();
            if !flags.quiet {
                app.line("Using default tag: latest")?;
            }
        }
        let sink = if flags.quiet { Sink::Nowhere } else { Sink::Stdout };
        app.client()?;
        app.block_on(pull(app, &reference, &platform, sink))?;
        app.line(&full_name(&reference))
    }
}

/// The name with its registry and path, as the last line of a pull shows it.
pub(super) fn full_name(reference: &Reference) -> String {
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = reference.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{}{tag}{digest}", reference.name())
}

pub(super) fn parse(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| Failure::message(error.to_string()))
}

/// The familiar name of an image, with its tag; `None` if the text is an ID.
pub(crate) fn normalize(image: &str) -> Result<Option<String>, Failure> {
    let is_id = image.len() == 64 && image.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id || image.starts_with("sha256:") {
        return Ok(None);
    }
    Ok(Some(parse(image)?.or_latest().familiar()))
}

/// The repository and the tag of an image that is to be made.
pub(super) fn repository_and_tag(text: &str) -> Result<(String, String), Failure> {
    let reference = parse(text)?;
    if reference.digest().is_some() {
        return Err(Failure::message("cannot create a tag with a digest reference"));
    }
    let tag = reference.tag().unwrap_or_default().to_owned();
    Ok((reference.familiar_name(), tag))
}

/// Checks `--platform`.
pub(crate) fn check_platform(platform: &str) -> Result<(), Failure> {
    if platform.is_empty() {
        return Ok(());
    }
    platform
        .parse::<oci::Platform>()
        .map(drop)
        .map_err(|error| Failure::message(format!("error parsing specified platform: {error}")))
}

/// A platform that was given to a flag, as the engine wants it: a JSON object; empty where none was given.
pub(super) fn platform_json(platform: &str) -> Result<String, Failure> {
    if platform.is_empty() {
        return Ok(String::new());
    }
    let parsed: oci::Platform =
        platform.parse().map_err(|error| Failure::message(format!("invalid platform: {error}")))?;
    Ok(serde_json::to_string(&parsed).expect("it has text only"))
}

/// Pulls the image of a container that is to be made.
pub(crate) async fn pull_for_run(app: &App, image: &str, platform: &str, sink: Sink) -> Result<(), Failure> {
    pull(app, &parse(image)?.or_latest(), platform, sink).await
}

async fn pull(app: &App, reference: &Reference, platform: &str, sink: Sink) -> Result<(), Failure> {
    let tag = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_owned(),
        (None, None) => String::new(),
    };
    let options = PullOptions {
        from_image: reference.name(),
        tag,
        platform: platform.to_owned(),
        ..PullOptions::default()
    };
    let auth = app.config().auth(reference.domain());
    let lines = app.client()?.pull_image(&options, auth.as_ref()).await?;
    progress::show(lines, sink).await
}
