//! The commands, one file each, and the tree they form.

mod attach;
mod completion;
mod create;
mod events;
mod exec;
mod history;
mod images;
mod info;
mod inspect;
mod lifecycle;
mod load;
mod logs;
mod man;
mod port;
mod prune;
mod ps;
mod pull;
mod remove_image;
mod run;
mod start;
mod stop_engine;
mod tag;
mod top;
pub(crate) mod version;

use crate::command::Command;
use lifecycle::{Kill, Pause, Remove, Rename, Restart, Stop, Unpause, Wait};

const CONTAINER: &[Command] = &[
    Command::of::<attach::Attach>(),
    Command::of::<create::Create>(),
    Command::of::<exec::Exec>(),
    Command::of::<inspect::InspectContainer>(),
    Command::of::<Kill>(),
    Command::of::<logs::Logs>(),
    Command::of::<ps::Ps>().named("ls", &["list", "ps"]),
    Command::of::<Pause>(),
    Command::of::<port::Port>(),
    Command::of::<prune::PruneContainers>(),
    Command::of::<Rename>(),
    Command::of::<Restart>(),
    Command::of::<Remove>().named("rm", &["remove"]),
    Command::of::<run::Run>(),
    Command::of::<start::Start>(),
    Command::of::<Stop>(),
    Command::of::<top::Top>(),
    Command::of::<Unpause>(),
    Command::of::<Wait>(),
];

const IMAGE: &[Command] = &[
    Command::of::<history::History>(),
    Command::of::<inspect::InspectImage>(),
    Command::of::<load::Load>(),
    Command::of::<images::Images>().named("ls", &["list"]),
    Command::of::<prune::PruneImages>(),
    Command::of::<pull::Pull>(),
    Command::of::<remove_image::RemoveImage>().named("rm", &["remove"]),
    Command::of::<tag::Tag>(),
];

const SYSTEM: &[Command] = &[
    Command::of::<events::Events>(),
    Command::of::<info::InfoCommand>(),
    Command::of::<stop_engine::StopEngine>(),
];

/// Those that are used most, first in the help.
pub(crate) const COMMON: &[Command] = &[
    Command::of::<run::Run>(),
    Command::of::<exec::Exec>(),
    Command::of::<ps::Ps>(),
    Command::of::<pull::Pull>(),
    Command::of::<images::Images>(),
    Command::of::<version::VersionCommand>(),
    Command::of::<info::InfoCommand>(),
];

/// The groups.
pub(crate) const MANAGEMENT: &[Command] = &[
    Command::group("container", "Manage containers", CONTAINER),
    Command::group("image", "Manage images", IMAGE),
    Command::group("system", "Manage the engine", SYSTEM),
];

/// All others.
pub(crate) const OTHERS: &[Command] = &[
    Command::of::<attach::Attach>(),
    Command::of::<completion::Completion>(),
    Command::of::<create::Create>(),
    Command::of::<events::Events>(),
    Command::of::<history::History>(),
    Command::of::<inspect::Inspect>(),
    Command::of::<Kill>(),
    Command::of::<load::Load>(),
    Command::of::<logs::Logs>(),
    Command::of::<man::Man>(),
    Command::of::<Pause>(),
    Command::of::<port::Port>(),
    Command::of::<Rename>(),
    Command::of::<Restart>(),
    Command::of::<Remove>(),
    Command::of::<remove_image::RemoveImage>(),
    Command::of::<start::Start>(),
    Command::of::<Stop>(),
    Command::of::<tag::Tag>(),
    Command::of::<top::Top>(),
    Command::of::<Unpause>(),
    Command::of::<Wait>(),
];

/// The command of this name, at the top of the tree.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    [COMMON, MANAGEMENT, OTHERS].into_iter().flatten().find(|command| command.is_called(name))
}
