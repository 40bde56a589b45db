//! `start`: starts stopped containers, one of them attached if asked for.

use api::container::WaitCondition;
use client::Client;

use super::run::{Follow, OnDetach, Session, check_terminal, detach_keys};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::terminal::{DetachKeys, Signals};

/// Starts stopped containers.
pub(crate) struct Start;

#[derive(Default)]
pub(crate) struct StartOptions {
    attach: bool,
    interactive: bool,
    detach_keys: String,
    checkpoint: String,
    checkpoint_dir: String,
}

impl Options for StartOptions {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('a', "attach", "Attach standard output and error, and pass signals on", |o| {
            &mut o.attach
        }),
        Flag::lettered('i', "interactive", "Attach standard input", |o| &mut o.interactive),
        Flag::new("detach-keys", "Keys that leave the container running", |o| &mut o.detach_keys),
        Flag::hidden("checkpoint", |o| &mut o.checkpoint),
        Flag::hidden("checkpoint-dir", |o| &mut o.checkpoint_dir),
    ];
}

impl Leaf for Start {
    type Options = StartOptions;
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start one or more stopped containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container start", "start"];

    fn run(app: &App, options: StartOptions, containers: Vec<String>) -> Result<(), Failure> {
        if !options.checkpoint.is_empty() || !options.checkpoint_dir.is_empty() {
            return Err(Failure::message("--checkpoint is not supported"));
        }
        let attached = options.attach || options.interactive;
        if attached && containers.len() > 1 {
            return Err(Failure::message("you cannot start and attach multiple containers at once"));
        }
        let keys = detach_keys(app, &options.detach_keys)?;
        let client = app.client()?;
        match attached {
            true => app.block_on(start_attached(client, &options, &containers[0], keys)),
            false => app.block_on(start_all(app, client, &containers)),
        }
    }
}

async fn start_all(app: &App, client: &Client, containers: &[String]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for container in containers {
        match client.start_container(container).await {
            Ok(()) => app.line(container)?,
            Err(error) => {
                eprintln!("{error}");
                failed.push(container.as_str());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::message(format!("Error: failed to start containers: {}", failed.join(", ")))),
    }
}

async fn start_attached(
    client: &Client,
    options: &StartOptions,
    name: &str,
    keys: (String, DetachKeys),
) -> Result<(), Failure> {
    let container = client.inspect_container(name).await?;
    let session = Session {
        tty: container.config.tty,
        stdin: options.interactive && container.config.open_stdin,
        stdout: true,
        stderr: true,
    };
    check_terminal(session.stdin, session.tty)?;
    let (text, keys) = keys;
    let id = container.id;
    let proxy = (!session.tty).then(Signals::catch);
    let hijacked = client.attach_container(&id, &session.attach_options(text)).await?;
    let condition = match container.host_config.auto_remove {
        true => WaitCondition::Removed,
        false => WaitCondition::NextExit,
    };
    // A container that runs already ends its present run; one that does not begins a new one.
    let waiting = client.wait_container(&id, condition).await?;
    client.start_container(&id).await?;
    let raw = session.enter_raw();
    let copying = session.copy(hijacked, raw.is_some().then_some(keys));
    let end = Follow { client, id: &id, session, proxy, on_detach: OnDetach::Succeed }
        .until_end(copying, waiting)
        .await;
    drop(raw);
    end
}
