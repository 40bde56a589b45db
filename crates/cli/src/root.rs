//! The program itself: its global flags, its help, and how it ends.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::app::{App, GlobalOptions};
use crate::command::{self, Action, Arity, Command, Place, columns};
use crate::commands::{self, COMMON, MANAGEMENT, OTHERS, version::VERSION};
use crate::failure::Failure;
use crate::flag::{self, Arguments};

/// Runs the command line with all arguments of the process, the name it was called by first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = arguments.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let program = program_name(words.first());
    let result = run(program, words.get(1..).unwrap_or_default());
    crate::terminal::restore();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                eprintln!("{text}");
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Texts name the program as it was called, if that is one of its two names.
fn program_name(word: Option<&String>) -> &'static str {
    let name = word.and_then(|word| Path::new(word).file_name()).and_then(|name| name.to_str());
    if name == Some("docker") { "docker" } else { "corten" }
}

/// The program as a place in the tree, for messages about its own flags.
const ROOT: Command = Command {
    name: "",
    aliases: &[],
    about: "A container platform",
    usage: "[OPTIONS] COMMAND [ARG...]",
    paths: &[],
    arity: Arity::None,
    action: Action::Group(&[]),
};

fn run(program: &'static str, words: &[String]) -> Result<(), Failure> {
    let place = Place { command: &ROOT, path: program.to_owned() };
    let (global, rest) =
        match flag::parse::<GlobalOptions>(words).map_err(|error| place.flag_failure(&error))? {
            Arguments::Help { .. } => {
                return App::new(program.to_owned(), GlobalOptions::default()).print(&help(program));
            }
            Arguments::Run(global, rest) => (global, rest),
        };
    global.check()?;
    let version = global.version;
    let app = App::new(program.to_owned(), global);
    if version {
        return app.line(&format!("{} version {VERSION}", title(program)));
    }
    match rest.first().map(String::as_str) {
        None => app.print(&help(program)),
        Some("help") => help_about(&app, &rest[1..]),
        Some(name) => match commands::find(name) {
            Some(command) => {
                let place = Place { command, path: format!("{program} {name}") };
                command::dispatch(&app, &place, &rest[1..])
            }
            None => Err(Failure::message(format!(
                "{program}: unknown command: {program} {name}\n\nRun '{program} --help' for more information"
            ))),
        },
    }
}

fn title(program: &str) -> &'static str {
    if program == "docker" { "Docker" } else { "Corten" }
}

/// `help COMMAND…`
fn help_about(app: &App, words: &[String]) -> Result<(), Failure> {
    let Some(first) = words.first() else { return app.print(&help(app.program())) };
    let unknown = || Failure::message(format!("unknown help topic: {}", words.join(" ")));
    let mut place = Place {
        command: commands::find(first).ok_or_else(unknown)?,
        path: format!("{} {first}", app.program()),
    };
    for name in &words[1..] {
        let Action::Group(children) = place.command.action else { break };
        let command = children.iter().find(|command| command.is_called(name)).ok_or_else(unknown)?;
        place = Place { command, path: format!("{} {name}", place.path) };
    }
    app.print(&place.help())
}

fn help(program: &str) -> String {
    let flags = flag::describe::<GlobalOptions>();
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\n{}\n\nCommon Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\n\
         Global Options:\n{}\nRun '{program} COMMAND --help' for more information on a command.\n",
        ROOT.about,
        command::list(COMMON),
        command::list(MANAGEMENT),
        command::list(OTHERS),
        flag::usages(&flags, columns()),
    )
}
