//! `network`: making, showing and removing networks, and connecting containers to them.

mod connect;
mod create;
mod list;
mod plan;
mod remove;

use crate::command::Command;
use crate::commands::inspect::InspectNetwork;

/// The group's commands.
pub(super) const COMMANDS: &[Command] = &[
    Command::of::<connect::Connect>(),
    Command::of::<create::Create>(),
    Command::of::<connect::Disconnect>(),
    Command::of::<InspectNetwork>(),
    Command::of::<list::List>().named("ls", &["list"]),
    Command::of::<plan::Plan>(),
    Command::of::<remove::Prune>(),
    Command::of::<remove::Remove>().named("rm", &["remove"]),
];
