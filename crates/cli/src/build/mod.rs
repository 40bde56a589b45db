//! `build`: what is asked of which engine, and what the user sees of it.
//!
//! ```text
//! flags ── refused ── context, output, secret ── request ──┬─ corten: a request in one line; the folder by its path
//!                                                          └─ classic: parameters and a tar (archive)
//! events ── display ── view: plain, terminal, rawjson      text of other engines ── progress
//! the image ── export: registries, archives, trees of files; the files that scripts read
//! ```
//!
//! An engine that calls itself `Corten/…` is asked by the contract of [`api::build::BuildRequest`]; any other by that of
//! Docker's classic builder.

mod archive;
mod cache;
mod classic;
mod context;
mod corten;
mod display;
mod export;
mod flags;
mod output;
mod refused;
mod request;
mod secret;
mod view;

pub(crate) use flags::BuildFlags;

use api::image::Descriptor;
use client::{Client, Credentials};

use crate::app::App;
use crate::failure::{Failure, io_text};
use crate::terminal::Signals;
use context::Context;
use display::Mode;
use output::Output;
use refused::CheckFormat;
use request::Asked;

/// The start of what an engine calls itself that understands requests.
const OURS: &str = "Corten/";

/// A build, ready to be sent.
struct Build<'a> {
    app: &'a App,
    client: &'a Client,
    asked: Asked<'a>,
    context: Context,
    credentials: Credentials,
    mode: Mode,
    check: Option<CheckFormat>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Built {
    /// The image's ID, which is the digest of its configuration.
    id: String,
    /// Its manifest, where the engine told it.
    manifest: Option<Box<Descriptor>>,
}

/// Runs the command.
pub(crate) fn run(app: &App, flags: &BuildFlags, argument: &str) -> Result<(), Failure> {
    refused::check(flags)?;
    let check = refused::check_format(flags)?;
    let mode = Mode::new(flags)?;
    let outputs = output::outputs(flags)?;
    let names: Vec<String> = outputs.iter().flat_map(Output::names).cloned().collect();
    let asked = Asked::new(flags, &names, check.is_some())?;
    remove_stale(&flags.iidfile)?;
    let context = Context::find(argument, &flags.file)?;
    let client = app.client()?;
    let build = Build { app, client, asked, context, credentials: app.config().all_auths(), mode, check };
    app.block_on(build.run(&outputs))
}

/// A file of an earlier build must not be taken for one of this build.
fn remove_stale(path: &str) -> Result<(), Failure> {
    if path.is_empty() {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::message(format!("removing image ID file: remove {path}: {}", io_text(&error))))
        }
        _ => Ok(()),
    }
}

impl Build<'_> {
    async fn run(self, outputs: &[Output]) -> Result<(), Failure> {
        let is_ours = self.client.engine_name().await?.starts_with(OURS);
        if !is_ours {
            refused::check_classic(self.asked.flags)?;
            export::check_classic(outputs, self.client.version())?;
        }
        let export = export::Export::prepare(&self, outputs).await?;
        if !is_ours {
            let built = self.classic().await?;
            return export.finish(&self, built).await;
        }
        let mut signals = Signals::catch_endings();
        let Some(built) = self.corten(&mut signals).await? else { return Ok(()) };
        tokio::select! {
            done = export.finish(&self, built) => done,
            number = signals.next() => display::cancel(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::{self, Arguments};

    /// The flags that these words are.
    pub(super) fn flags(words: &[&str]) -> BuildFlags {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match flag::parse::<BuildFlags>(&words).unwrap() {
            Arguments::Run(flags, rest) => {
                assert!(rest.is_empty(), "{rest:?}");
                flags
            }
            Arguments::Help { .. } => panic!("no flags"),
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let words = ["-t".to_owned(), "A".to_owned()];
        let error = flag::parse::<BuildFlags>(&words).map(drop).unwrap_err().to_string();
        assert!(
            error.starts_with("invalid argument \"A\" for \"-t, --tag\" flag: invalid reference format"),
            "{error}"
        );
    }

    #[test]
    fn file_of_an_earlier_build_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        std::fs::write(&path, "old").unwrap();
        remove_stale(path.to_str().unwrap()).unwrap();
        remove_stale(path.to_str().unwrap()).unwrap();
        assert!(!path.exists());
        assert!(remove_stale(folder.path().to_str().unwrap()).is_err());
    }
}
