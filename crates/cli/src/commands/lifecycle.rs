//! Commands that do one thing to each of some containers.

use std::future::Future;

use api::container::{RemoveOptions, StopOptions, WaitCondition};
use futures_util::future::join_all;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Changed, Flag, NoOptions, Options};

/// Does the same to all containers at once; prints what each came to, in the order they were named.
fn for_each<'a, F>(
    app: &'a App,
    containers: &'a [String],
    action: impl Fn(&'a str) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<String, Failure>>,
{
    let results = app.block_on(join_all(containers.iter().map(|container| action(container))));
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(line) if line.is_empty() => {}
            Ok(line) => app.line(&line)?,
            Err(error) => errors.push(error),
        }
    }
    app.report(errors)
}

/// Stops running containers.
pub(crate) struct Stop;

/// The flags of `stop` and `restart`.
#[derive(Default)]
pub(crate) struct StopFlags {
    signal: String,
    timeout: Changed<i64>,
}

impl Options for StopFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('s', "signal", "Signal that asks the container to end", |o| &mut o.signal),
        Flag::lettered('t', "timeout", "Seconds to wait before the container is killed", |o| &mut o.timeout),
        Flag::hidden("time", |o| &mut o.timeout),
    ];
}

impl StopFlags {
    fn options(&self) -> StopOptions {
        StopOptions { timeout: self.timeout.given(), signal: self.signal.clone() }
    }
}

impl Leaf for Stop {
    type Options = StopFlags;
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Stop one or more running containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container stop", "stop"];

    fn run(app: &App, flags: StopFlags, containers: Vec<String>) -> Result<(), Failure> {
        let (client, options) = (app.client()?, &flags.options());
        for_each(app, &containers, async |name| {
            client.stop_container(name, options).await?;
            Ok(name.to_owned())
        })
    }
}

/// Restarts containers.
pub(crate) struct Restart;

impl Leaf for Restart {
    type Options = StopFlags;
    const NAME: &'static str = "restart";
    const ABOUT: &'static str = "Restart one or more containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container restart", "restart"];

    fn run(app: &App, flags: StopFlags, containers: Vec<String>) -> Result<(), Failure> {
        let (client, options) = (app.client()?, &flags.options());
        for_each(app, &containers, async |name| {
            client.restart_container(name, options).await?;
            Ok(name.to_owned())
        })
    }
}

/// Kills running containers.
pub(crate) struct Kill;

#[derive(Default)]
pub(crate) struct KillFlags {
    signal: String,
}

impl Options for KillFlags {
    const FLAGS: &'static [Flag<Self>] =
        &[Flag::lettered('s', "signal", "Signal to send", |o| &mut o.signal)];
}

impl Leaf for Kill {
    type Options = KillFlags;
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Kill one or more running containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container kill", "kill"];

    fn run(app: &App, flags: KillFlags, containers: Vec<String>) -> Result<(), Failure> {
        let (client, signal) = (app.client()?, flags.signal.as_str());
        for_each(app, &containers, async |name| {
            client.kill_container(name, signal).await?;
            Ok(name.to_owned())
        })
    }
}

/// Freezes containers.
pub(crate) struct Pause;

impl Leaf for Pause {
    type Options = NoOptions;
    const NAME: &'static str = "pause";
    const ABOUT: &'static str = "Pause all processes within one or more containers";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container pause", "pause"];

    fn run(app: &App, _: NoOptions, containers: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        for_each(app, &containers, async |name| {
            client.pause_container(name).await?;
            Ok(name.to_owned())
        })
    }
}

/// Lets frozen containers go on.
pub(crate) struct Unpause;

impl Leaf for Unpause {
    type Options = NoOptions;
    const NAME: &'static str = "unpause";
    const ABOUT: &'static str = "Unpause all processes within one or more containers";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container unpause", "unpause"];

    fn run(app: &App, _: NoOptions, containers: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        for_each(app, &containers, async |name| {
            client.unpause_container(name).await?;
            Ok(name.to_owned())
        })
    }
}

/// Removes containers.
pub(crate) struct Remove;

#[derive(Default)]
pub(crate) struct RemoveFlags {
    force: bool,
    link: bool,
    volumes: bool,
}

impl Options for RemoveFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('f', "force", "Kill containers that run", |o| &mut o.force),
        Flag::lettered('l', "link", "Remove the link of this name", |o| &mut o.link),
        Flag::lettered('v', "volumes", "Remove the containers' anonymous volumes too", |o| &mut o.volumes),
    ];
}

impl Leaf for Remove {
    type Options = RemoveFlags;
    const NAME: &'static str = "rm";
    const ABOUT: &'static str = "Remove one or more containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container rm", "container remove", "rm"];

    fn run(app: &App, flags: RemoveFlags, containers: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let options = RemoveOptions { force: flags.force, volumes: flags.volumes, link: flags.link };
        for_each(app, &containers, async |given| {
            let name = given.trim_matches('/');
            if name.is_empty() {
                return Err(Failure::message("container name cannot be empty"));
            }
            match client.remove_container(name, options).await {
                Ok(()) => Ok(given.to_owned()),
                // What is not there needs no force.
                Err(error) if options.force && error.is_not_found() => {
                    eprintln!("{error}");
                    Ok(String::new())
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// Renames a container.
pub(crate) struct Rename;

impl Leaf for Rename {
    type Options = NoOptions;
    const NAME: &'static str = "rename";
    const ABOUT: &'static str = "Rename a container";
    const USAGE: &'static str = "CONTAINER NEW_NAME";
    const ARITY: Arity = Arity::Exactly(2);
    const PATHS: &'static [&'static str] = &["container rename", "rename"];

    fn run(app: &App, _: NoOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let (old, new) = (arguments[0].trim(), arguments[1].trim());
        if old.is_empty() || new.is_empty() {
            return Err(Failure::message("Error: Neither old nor new names may be empty"));
        }
        let client = app.client()?;
        app.block_on(client.rename_container(old, new)).map_err(|error| {
            Failure::message(format!("{error}\nError: failed to rename container named {old}"))
        })
    }
}

/// Waits for the end of containers.
pub(crate) struct Wait;

impl Leaf for Wait {
    type Options = NoOptions;
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Block until one or more containers stop, then print their exit codes";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container wait", "wait"];

    fn run(app: &App, _: NoOptions, containers: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        let mut errors = Vec::new();
        for container in &containers {
            let answer = app.block_on(async {
                client.wait_container(container, WaitCondition::NotRunning).await?.finish().await
            });
            match answer {
                Ok(answer) => app.line(&answer.status_code.to_string())?,
                Err(error) => errors.push(error.into()),
            }
        }
        app.report(errors)
    }
}
