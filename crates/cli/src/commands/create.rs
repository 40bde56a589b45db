//! `create`, and the part of `run` that it shares.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use api::container::{CreateOptions, CreateRequest};

use super::pull;
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::container_options::{ContainerOptions, container_flags};
use crate::failure::{Failure, io_text};
use crate::flag::{Flag, Options};
use crate::progress::Sink;

/// The flags that `create` and `run` have besides the container's own.
#[derive(Default)]
pub(crate) struct CreateFlags {
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) pull: String,
    pub(crate) quiet: bool,
    pub(crate) container: ContainerOptions,
}

/// Makes a container and prints its ID.
pub(crate) struct Create;

/// The flags of `create`.
pub(crate) struct CreateOnly(pub(crate) CreateFlags);

impl Default for CreateOnly {
    fn default() -> Self {
        Self(CreateFlags::new())
    }
}

impl CreateFlags {
    /// The defaults, some of which come from the environment.
    pub(crate) fn new() -> Self {
        Self {
            pull: "missing".to_owned(),
            platform: std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
            container: ContainerOptions::new(),
            ..Self::default()
        }
    }
}

impl Options for CreateOnly {
    const INTERSPERSED: bool = false;
    const FLAGS: &'static [Flag<Self>] = container_flags!(
        [0.container],
        Flag::new("name", "Name of the container", |o| &mut o.0.name),
        Flag::new("platform", "Platform of the image (os[/arch[/variant]])", |o| &mut o.0.platform),
        Flag::new("pull", "When to pull the image (\"always\", \"missing\", \"never\")", |o| &mut o.0.pull),
        Flag::lettered('q', "quiet", "Show no progress of the pull", |o| &mut o.0.quiet),
    );
}

impl Leaf for Create {
    type Options = CreateOnly;
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a new container";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container create", "create"];

    fn run(app: &App, options: CreateOnly, arguments: Vec<String>) -> Result<(), Failure> {
        let flags = options.0;
        let help = |error: Failure| with_help(app, "create", &error, 125);
        check_pull(&flags.pull).map_err(help)?;
        let request = flags.container.request(&arguments).map_err(help)?;
        let id = app.block_on(create_container(app, &flags, request))?;
        app.line(&id)
    }
}

/// The error as `run` and `create` print it, with the way to their help.
pub(crate) fn with_help(app: &App, command: &str, error: &Failure, code: u8) -> Failure {
    let program = app.program();
    let text = error.text().unwrap_or_default();
    Failure::coded(
        format!("{program}: {text}\n\nRun '{program} {command} --help' for more information"),
        code,
    )
}

/// Checks `--pull`.
pub(crate) fn check_pull(value: &str) -> Result<(), Failure> {
    match value {
        "always" | "missing" | "never" | "" => Ok(()),
        other => Err(Failure::message(format!(
            "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
        ))),
    }
}

/// Makes the container, after a pull if that is asked for or needed, and writes its ID to the file that asks for it.
pub(crate) async fn create_container(
    app: &App,
    flags: &CreateFlags,
    request: CreateRequest,
) -> Result<String, Failure> {
    let image = request.config.image.clone();
    let reference = pull::normalize(&image)?;
    pull::check_platform(&flags.platform)?;
    let id_file = IdFile::create(&flags.container.cid_file)?;
    let sink = if flags.quiet { Sink::Nowhere } else { Sink::Stderr };
    if flags.pull == "always" {
        pull::pull_for_run(app, &image, &flags.platform, sink).await?;
    }
    let client = app.client()?;
    let options = CreateOptions { name: flags.name.clone(), platform: flags.platform.clone() };
    let answer = match client.create_container(&options, &request).await {
        Err(error) if error.is_not_found() && flags.pull == "missing" && is_about_image(&error) => {
            let Some(name) = reference else { return Err(error.into()) };
            if !flags.quiet {
                eprintln!("Unable to find image '{name}' locally");
            }
            pull::pull_for_run(app, &image, &flags.platform, sink).await?;
            client.create_container(&options, &request).await?
        }
        other => other?,
    };
    for warning in &answer.warnings {
        eprintln!("WARNING: {warning}");
    }
    id_file.persist(&answer.id)?;
    Ok(answer.id)
}

/// A 404 may also be about a container or network that the options name.
fn is_about_image(error: &client::Error) -> bool {
    matches!(error, client::Error::Daemon { message, .. } if message.to_lowercase().contains("no such image"))
}

/// The file of `--cidfile`: made before the container, and removed again if that cannot be made.
struct IdFile(Option<(PathBuf, File)>);

impl IdFile {
    fn create(path: &str) -> Result<Self, Failure> {
        if path.is_empty() {
            return Ok(Self(None));
        }
        if Path::new(path).exists() {
            return Err(Failure::message(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )));
        }
        let file = File::create_new(path).map_err(|error| {
            Failure::message(format!(
                "failed to create the container ID file: open {path}: {}",
                io_text(&error)
            ))
        })?;
        Ok(Self(Some((PathBuf::from(path), file))))
    }

    fn persist(mut self, id: &str) -> Result<(), Failure> {
        let Some((path, mut file)) = self.0.take() else { return Ok(()) };
        file.write_all(id.as_bytes()).map_err(|error| {
            Failure::message(format!(
                "failed to write the container ID ({id}) to file: write {}: {}",
                path.display(),
                io_text(&error)
            ))
        })
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some((path, _)) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
