//! The commands, one file each, and the tree they form.

mod attach;
mod build;
mod builder;
mod check;
mod commit;
mod completion;
mod create;
mod diff;
mod disk_usage;
mod events;
mod exec;
mod export;
mod history;
mod images;
mod images_tree;
mod import;
mod info;
mod inspect;
mod lifecycle;
mod load;
mod login;
mod logs;
mod man;
mod manifest;
mod network;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod remove_image;
mod run;
mod save;
mod search;
mod start;
mod stop_engine;
mod tag;
mod top;
pub(crate) mod version;

pub(crate) use pull::check_platform;
pub(crate) use push::push;

use crate::command::Command;
use lifecycle::{Kill, Pause, Remove, Rename, Restart, Stop, Unpause, Wait};

const CONTAINER: &[Command] = &[
    Command::of::<attach::Attach>(),
    Command::of::<commit::Commit>(),
    Command::of::<create::Create>(),
    Command::of::<diff::Diff>(),
    Command::of::<exec::Exec>(),
    Command::of::<export::Export>(),
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
    Command::of::<build::Build>(),
    Command::of::<history::History>(),
    Command::of::<import::Import>(),
    Command::of::<inspect::InspectImage>(),
    Command::of::<load::Load>(),
    Command::of::<images::Images>().named("ls", &["list"]),
    Command::of::<prune::PruneImages>(),
    Command::of::<pull::Pull>(),
    Command::of::<push::Push>(),
    Command::of::<remove_image::RemoveImage>().named("rm", &["remove"]),
    Command::of::<save::Save>(),
    Command::of::<tag::Tag>(),
];

const SYSTEM: &[Command] = &[
    Command::of::<disk_usage::DiskUsageCommand>(),
    Command::of::<check::Check>(),
    Command::of::<events::Events>(),
    Command::of::<info::InfoCommand>(),
    Command::of::<stop_engine::StopEngine>(),
];

/// Those that are used most, first in the help.
pub(crate) const COMMON: &[Command] = &[
    Command::of::<run::Run>(),
    Command::of::<exec::Exec>(),
    Command::of::<ps::Ps>(),
    Command::of::<build::Build>(),
    Command::of::<pull::Pull>(),
    Command::of::<images::Images>(),
    Command::of::<login::Login>(),
    Command::of::<search::Search>(),
    Command::of::<version::VersionCommand>(),
    Command::of::<info::InfoCommand>(),
];

/// The groups.
pub(crate) const MANAGEMENT: &[Command] = &[
    Command::group("builder", "Manage builds", builder::BUILDER),
    Command::group("buildx", "Manage builds, by the name of docker's plugin", builder::BUILDX),
    Command::group("container", "Manage containers", CONTAINER),
    Command::group("image", "Manage images", IMAGE),
    Command::group("manifest", "Manage manifests and lists of manifests", manifest::COMMANDS),
    Command::group("network", "Manage networks", network::COMMANDS),
    Command::group("system", "Manage the engine", SYSTEM),
];

/// All others.
pub(crate) const OTHERS: &[Command] = &[
    Command::of::<attach::Attach>(),
    Command::of::<commit::Commit>(),
    Command::of::<completion::Completion>(),
    Command::of::<create::Create>(),
    Command::of::<diff::Diff>(),
    Command::of::<events::Events>(),
    Command::of::<export::Export>(),
    Command::of::<history::History>(),
    Command::of::<import::Import>(),
    Command::of::<inspect::Inspect>(),
    Command::of::<Kill>(),
    Command::of::<load::Load>(),
    Command::of::<login::Logout>(),
    Command::of::<logs::Logs>(),
    Command::of::<man::Man>(),
    Command::of::<Pause>(),
    Command::of::<port::Port>(),
    Command::of::<push::Push>(),
    Command::of::<Rename>(),
    Command::of::<Restart>(),
    Command::of::<Remove>(),
    Command::of::<remove_image::RemoveImage>(),
    Command::of::<save::Save>(),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::Action;
    use crate::flag::Info;

    /// What `docker COMMAND --help` of version 28.2 lists, a line per flag: `run: -e, --env list`.
    const RECORDED: &str = include_str!("recorded/flags-28.2.txt");

    fn flags_of(name: &str) -> Vec<Info> {
        match find(name).map(|command| command.action) {
            Some(Action::Leaf { flags, .. }) => flags(),
            _ => panic!("{name} is no command"),
        }
    }

    fn shown(flag: &Info) -> String {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        format!("{short}--{} {}", flag.long, flag.kind).trim_end().to_owned()
    }

    #[test]
    fn flags_have_the_names_letters_and_kinds_of_docker() {
        for line in RECORDED.lines() {
            let (command, recorded) = line.split_once(": ").unwrap();
            // What is refused by name needs no kind.
            let refused = |flag: &Info| flag.hidden && recorded.starts_with(&format!("--{}", flag.long));
            let found = flags_of(command).iter().any(|flag| shown(flag) == recorded || refused(flag));
            assert!(found || recorded == "--help", "{line}");
        }
    }

    #[test]
    fn visible_flags_are_only_those_of_docker() {
        let recorded: BTreeSet<&str> = RECORDED.lines().collect();
        for command in [COMMON, OTHERS].into_iter().flatten() {
            if !RECORDED.contains(&format!("{}: ", command.name)) {
                continue;
            }
            for flag in flags_of(command.name).iter().filter(|flag| !flag.hidden) {
                let line = format!("{}: {}", command.name, shown(flag));
                assert!(recorded.contains(line.as_str()), "{line}");
            }
        }
    }

    #[test]
    fn names_are_unique_at_each_place() {
        let mut names = BTreeSet::new();
        for command in [COMMON, MANAGEMENT, OTHERS].into_iter().flatten() {
            assert!(names.insert(command.name), "{}", command.name);
        }
    }

    #[test]
    fn every_flag_has_a_help_text_or_is_hidden() {
        for command in [COMMON, OTHERS].into_iter().flatten() {
            for flag in flags_of(command.name) {
                assert_eq!(flag.usage.is_empty(), flag.hidden, "{} --{}", command.name, flag.long);
            }
        }
    }
}
