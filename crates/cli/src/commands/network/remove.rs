//! `network rm` and `network prune`.

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::commands::prune::{ContainerFlags, confirmed};
use crate::failure::Failure;
use crate::flag::{Flag, Options};

/// Removes networks.
pub(super) struct Remove;

#[derive(Default)]
pub(super) struct RemoveFlags {
    force: bool,
}

impl Options for RemoveFlags {
    const FLAGS: &'static [Flag<Self>] =
        &[Flag::lettered('f', "force", "Take no notice of networks that are not there", |o| &mut o.force)];
}

impl Leaf for Remove {
    type Options = RemoveFlags;
    const NAME: &'static str = "rm";
    const ABOUT: &'static str = "Remove one or more networks";
    const USAGE: &'static str = "NETWORK [NETWORK...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["network rm", "network remove"];

    fn run(app: &App, flags: RemoveFlags, networks: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let mut errors = Vec::new();
        for network in &networks {
            match app.block_on(client.remove_network(network)) {
                Ok(()) => app.line(network)?,
                Err(error) if flags.force && error.is_not_found() => {}
                Err(error) => errors.push(error.into()),
            }
        }
        app.report(errors)
    }
}

/// Removes networks that no running container is connected to.
pub(super) struct Prune;

impl Leaf for Prune {
    type Options = ContainerFlags;
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove all unused networks";
    const USAGE: &'static str = "[OPTIONS]";
    const ARITY: Arity = Arity::None;

    fn run(app: &App, flags: ContainerFlags, _: Vec<String>) -> Result<(), Failure> {
        const WARNING: &str =
            "WARNING! This will remove all custom networks not used by at least one container.";
        let flags = flags.0;
        if !flags.force && !confirmed(app, WARNING)? {
            return Ok(());
        }
        let answer = app.block_on(app.client()?.prune_networks(&flags.filter.0))?;
        let deleted = answer.networks_deleted.unwrap_or_default();
        match deleted.is_empty() {
            true => Ok(()),
            false => app.print(&format!("Deleted Networks:\n{}\n\n", deleted.join("\n"))),
        }
    }
}
