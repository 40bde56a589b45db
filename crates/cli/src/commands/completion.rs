//! `completion`: the script that completes commands and flags in a shell.

use clap_complete::{Shell, generate};

use super::{COMMON, MANAGEMENT, OTHERS};
use crate::app::App;
use crate::command::{Action, Arity, Command, Leaf};
use crate::failure::Failure;
use crate::flag::{Info, NoOptions};

/// Prints a completion script.
pub(crate) struct Completion;

impl Leaf for Completion {
    type Options = NoOptions;
    const NAME: &'static str = "completion";
    const ABOUT: &'static str = "Print the completion script of a shell (bash, zsh, fish)";
    const USAGE: &'static str = "SHELL";
    const ARITY: Arity = Arity::Exactly(1);

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let shell = match arguments[0].as_str() {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            "fish" => Shell::Fish,
            other => {
                return Err(Failure::message(format!("unknown shell: {other}: must be bash, zsh or fish")));
            }
        };
        let mut out = Vec::new();
        generate(shell, &mut tree(app.program()), app.program(), &mut out);
        app.print(&String::from_utf8_lossy(&out))
    }
}

/// The tree of commands as clap describes one, which its generators read.
pub(crate) fn tree(program: &str) -> clap::Command {
    let flags = crate::flag::describe::<crate::app::GlobalOptions>();
    let top = clap::Command::new(program.to_owned())
        .version(super::version::VERSION)
        .about("A container platform")
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .args(flags.iter().map(argument));
    top.subcommands([COMMON, MANAGEMENT, OTHERS].into_iter().flatten().map(describe))
}

fn describe(command: &Command) -> clap::Command {
    let described = clap::Command::new(command.name)
        .about(command.about)
        .visible_aliases(command.aliases.iter().copied())
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .override_usage(format!("{} {}", command.name, command.usage));
    match command.action {
        Action::Group(commands) => described.subcommands(commands.iter().map(describe)),
        Action::Leaf { flags, .. } => described.args(flags().iter().map(argument)),
    }
}

fn argument(flag: &Info) -> clap::Arg {
    let mut argument = clap::Arg::new(flag.long).long(flag.long).help(flag.usage).hide(flag.hidden);
    if let Some(short) = flag.short {
        argument = argument.short(short);
    }
    match flag.kind {
        "" => argument.action(clap::ArgAction::SetTrue),
        kind => argument.action(clap::ArgAction::Append).value_name(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_is_one_that_clap_accepts() {
        tree("corten").debug_assert();
    }

    #[test]
    fn script_names_commands_and_flags() {
        let mut out = Vec::new();
        generate(Shell::Bash, &mut tree("corten"), "corten", &mut out);
        let script = String::from_utf8(out).unwrap();
        for word in ["--detach-keys", "container", "unpause"] {
            assert!(script.contains(word), "{word}");
        }
    }
}
