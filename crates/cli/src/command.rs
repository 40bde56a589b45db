//! The tree of commands: finding one, checking its arguments, showing its help.

use crate::app::App;
use crate::failure::Failure;
use crate::flag::{self, Arguments, Info, Options};

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
}

/// One command of the tree. The same command may stand at several places under several names.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) about: &'static str,
    /// What follows the command's path in its usage line.
    pub(crate) usage: &'static str,
    /// All paths that lead to it, if there is more than one.
    pub(crate) paths: &'static [&'static str],
    pub(crate) arity: Arity,
    pub(crate) action: Action,
}

/// What a command does.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// It has sub-commands.
    Group(&'static [Command]),
    /// It runs.
    Leaf {
        /// Reads the flags and runs the command.
        run: fn(&App, &Place<'_>, &[String]) -> Result<(), Failure>,
        /// What its flags are.
        flags: fn() -> Vec<Info>,
    },
}

/// A command that runs.
pub(crate) trait Leaf {
    /// Its flags.
    type Options: Options;
    const NAME: &'static str;
    const ABOUT: &'static str;
    const USAGE: &'static str;
    const ARITY: Arity;
    const PATHS: &'static [&'static str] = &[];
    /// Runs it.
    fn run(app: &App, options: Self::Options, arguments: Vec<String>) -> Result<(), Failure>;
}

/// A command in its place: what the user typed to reach it.
pub(crate) struct Place<'a> {
    pub(crate) command: &'a Command,
    /// The program and the names of the groups and the command.
    pub(crate) path: String,
}

impl Command {
    /// The command that `L` describes.
    pub(crate) const fn of<L: Leaf>() -> Self {
        Self {
            name: L::NAME,
            aliases: &[],
            about: L::ABOUT,
            usage: L::USAGE,
            paths: L::PATHS,
            arity: L::ARITY,
            action: Action::Leaf { run: run_leaf::<L>, flags: flag::describe::<L::Options> },
        }
    }

    /// The same command under another name.
    pub(crate) const fn named(mut self, name: &'static str, aliases: &'static [&'static str]) -> Self {
        self.name = name;
        self.aliases = aliases;
        self
    }

    /// A group of commands.
    pub(crate) const fn group(name: &'static str, about: &'static str, commands: &'static [Command]) -> Self {
        Self {
            name,
            aliases: &[],
            about,
            usage: "COMMAND",
            paths: &[],
            arity: Arity::None,
            action: Action::Group(commands),
        }
    }

    /// Whether `name` is one of its names.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Runs the command that `words` name, below the group at `place`.
pub(crate) fn dispatch(app: &App, place: &Place<'_>, words: &[String]) -> Result<(), Failure> {
    match place.command.action {
        Action::Leaf { run, .. } => run(app, place, words),
        Action::Group(commands) => match words.first().map(String::as_str) {
            None => {
                eprint!("{}", place.help());
                Ok(())
            }
            Some("--help") => app.print(&place.help()),
            Some("-h") => app.print(&format!("{DEPRECATED_H}{}", place.help())),
            Some(flag) if flag.starts_with('-') => {
                let error = match flag.strip_prefix("--") {
                    Some(name) => {
                        flag::FlagError::UnknownLong(name.split('=').next().unwrap_or(name).to_owned())
                    }
                    None => flag::FlagError::UnknownShort(
                        flag[1..].chars().next().unwrap_or('-'),
                        flag[1..].to_owned(),
                    ),
                };
                Err(place.flag_failure(&error))
            }
            Some(name) => match commands.iter().find(|command| command.is_called(name)) {
                Some(command) => {
                    dispatch(app, &Place { command, path: format!("{} {name}", place.path) }, &words[1..])
                }
                None => Err(place.unknown_command(name)),
            },
        },
    }
}

const DEPRECATED_H: &str = "Flag shorthand -h has been deprecated, use --help\n";

fn run_leaf<L: Leaf>(app: &App, place: &Place<'_>, words: &[String]) -> Result<(), Failure> {
    match flag::parse::<L::Options>(words).map_err(|error| place.flag_failure(&error))? {
        Arguments::Help { deprecated } => {
            let lead = if deprecated { DEPRECATED_H } else { "" };
            app.print(&format!("{lead}{}", place.help()))
        }
        Arguments::Run(options, arguments) => {
            place.check_arity(app.program(), arguments.len())?;
            L::run(app, options, arguments)
        }
    }
}

impl Place<'_> {
    fn usage_line(&self) -> String {
        format!("{} {}", self.path, self.command.usage).trim_end().to_owned()
    }

    /// A flag that does not fit.
    pub(crate) fn flag_failure(&self, error: &flag::FlagError) -> Failure {
        let usage = self.usage_line();
        Failure::coded(
            format!("{error}\n\nUsage:  {usage}\n\nRun '{} --help' for more information", self.path),
            125,
        )
    }

    fn unknown_command(&self, name: &str) -> Failure {
        let program = self.path.split(' ').next().unwrap_or(&self.path);
        let usage = if self.path == program { String::new() } else { format!("Usage:  {}\n\n", self.path) };
        Failure::message(format!(
            "{program}: unknown command: {} {name}\n\n{usage}Run '{} --help' for more information",
            self.path, self.path
        ))
    }

    fn check_arity(&self, program: &str, given: usize) -> Result<(), Failure> {
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        let (fits, rule, hint) = match self.command.arity {
            Arity::None => (given == 0, "accepts no arguments".to_owned(), "Run"),
            Arity::Exactly(count) => (given == count, format!("requires {count} {}", plural(count)), "Run"),
            Arity::AtLeast(count) => {
                (given >= count, format!("requires at least {count} {}", plural(count)), "See")
            }
            Arity::AtMost(count) => {
                (given <= count, format!("requires at most {count} {}", plural(count)), "Run")
            }
            Arity::Between(least, most) => (
                (least..=most).contains(&given),
                format!("requires at least {least} and at most {most} {}", plural(most)),
                "Run",
            ),
        };
        if fits {
            return Ok(());
        }
        Err(Failure::message(format!(
            "{program}: '{}' {rule}\n\nUsage:  {}\n\n{hint} '{} --help' for more information",
            self.path,
            self.usage_line(),
            self.path
        )))
    }

    /// The command's help text.
    pub(crate) fn help(&self) -> String {
        let mut out = format!("Usage:  {}\n\n{}\n", self.usage_line(), self.command.about);
        if self.command.paths.len() > 1 {
            let program = self.path.split(' ').next().unwrap_or(&self.path);
            let paths: Vec<String> =
                self.command.paths.iter().map(|path| format!("{program} {path}")).collect();
            out.push_str(&format!("\nAliases:\n  {}\n", paths.join(", ")));
        }
        match self.command.action {
            Action::Leaf { flags, .. } => {
                let flags = flags();
                if flags.iter().any(|flag| !flag.hidden) {
                    out.push_str(&format!("\nOptions:\n{}", flag::usages(&flags, columns())));
                }
            }
            Action::Group(commands) => {
                out.push_str(&format!("\nCommands:\n{}", list(commands)));
                out.push_str(&format!(
                    "\nRun '{} COMMAND --help' for more information on a command.\n",
                    self.path
                ));
            }
        }
        out
    }
}

/// Names and purposes of commands, aligned.
pub(crate) fn list(commands: &[Command]) -> String {
    let width = commands.iter().map(|command| command.name.len()).max().unwrap_or(0).max(11);
    commands.iter().map(|command| format!("  {:width$} {}\n", command.name, command.about)).collect()
}

/// The width of the terminal, or 80.
pub(crate) fn columns() -> usize {
    match crate::terminal::size(rustix::stdio::stdout()) {
        Some((_, columns)) if columns > 0 => usize::from(columns),
        _ => 80,
    }
}
