//! `manifest`: what registries have under a name, and lists of images for several platforms.
//!
//! No engine is needed: registries are asked directly, with the credentials of the client's configuration.

mod annotate;
mod create;
mod inspect;
mod push;
mod remote;
mod remove;

use oci::Reference;

use crate::app::App;
use crate::command::Command;
use crate::failure::Failure;
use crate::manifests::Store;

/// The group's commands.
pub(super) const COMMANDS: &[Command] = &[
    Command::of::<annotate::Annotate>(),
    Command::of::<create::Create>(),
    Command::of::<inspect::Inspect>(),
    Command::of::<push::Push>(),
    Command::of::<remove::Remove>(),
];

/// What a person typed, complete and with a tag or digest.
fn parse(text: &str) -> Result<Reference, Failure> {
    super::pull::parse(text).map(Reference::or_latest)
}

fn store(app: &App) -> Store {
    Store::new(app.config().manifests())
}
