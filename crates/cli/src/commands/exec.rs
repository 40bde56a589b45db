//! `exec`: a further process in a running container.

use api::exec::ExecCreateRequest;
use client::{Client, ExecStart, Hijacked};

use super::run::{Session, check_terminal, current_size, detach_keys, output_failure};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, List, Options};
use crate::opts::{EnvVar, Origin, read_file};
use crate::stream::{self, Attachment};
use crate::terminal;

/// Runs a command in a running container.
pub(crate) struct Exec;

#[derive(Default)]
pub(crate) struct ExecOptions {
    detach: bool,
    detach_keys: String,
    env: List<EnvVar>,
    env_file: Vec<String>,
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: String,
    workdir: String,
}

impl Options for ExecOptions {
    const INTERSPERSED: bool = false;
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::lettered('d', "detach", "Run in the background", |o| &mut o.detach),
        Flag::new("detach-keys", "Keys that leave the command running", |o| &mut o.detach_keys),
        Flag::lettered('e', "env", "Environment variables", |o| &mut o.env),
        Flag::new("env-file", "File of environment variables", |o| &mut o.env_file),
        Flag::lettered('i', "interactive", "Keep standard input open", |o| &mut o.interactive),
        Flag::new("privileged", "Give the command all capabilities", |o| &mut o.privileged),
        Flag::lettered('t', "tty", "Give the command a terminal", |o| &mut o.tty),
        Flag::lettered('u', "user", "User name or ID (<name|uid>[:<group|gid>])", |o| &mut o.user),
        Flag::lettered('w', "workdir", "Directory in the container", |o| &mut o.workdir),
    ];
}

impl Leaf for Exec {
    type Options = ExecOptions;
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Execute a command in a running container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
    const ARITY: Arity = Arity::AtLeast(2);
    const PATHS: &'static [&'static str] = &["container exec", "exec"];

    fn run(app: &App, options: ExecOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let (keys_text, keys) = detach_keys(app, &options.detach_keys)?;
        let request = options.request(&arguments[1..], keys_text)?;
        if !options.detach {
            check_terminal(options.interactive, options.tty)?;
        }
        let client = app.client()?;
        app.block_on(async {
            let id = client.create_exec(&arguments[0], &request).await?;
            let start = ExecStart { tty: options.tty, console_size: request.console_size };
            if options.detach {
                return Ok(client.start_exec_detached(&id, start).await?);
            }
            let hijacked = client.start_exec(&id, start).await?;
            let session =
                Session { tty: options.tty, stdin: options.interactive, stdout: true, stderr: !options.tty };
            interact(client, &id, session, hijacked, keys).await
        })
    }
}

impl ExecOptions {
    fn request(&self, command: &[String], detach_keys: String) -> Result<ExecCreateRequest, Failure> {
        let mut env = Vec::new();
        for path in &self.env_file {
            env.extend(read_file(path, Origin::Environment)?);
        }
        env.extend(self.env.0.iter().map(|variable| variable.0.clone()));
        let attached = !self.detach;
        let size = current_size().filter(|_| self.tty);
        Ok(ExecCreateRequest {
            user: self.user.clone(),
            privileged: self.privileged,
            tty: self.tty,
            console_size: size.map(|size| [u32::from(size.height), u32::from(size.width)]),
            attach_stdin: attached && self.interactive,
            attach_stdout: attached,
            attach_stderr: attached,
            detach: self.detach,
            detach_keys,
            env: (!env.is_empty()).then_some(env),
            working_dir: self.workdir.clone(),
            cmd: Some(command.to_vec()),
        })
    }
}

async fn interact(
    client: &Client,
    id: &str,
    session: Session,
    hijacked: Hijacked,
    keys: terminal::DetachKeys,
) -> Result<(), Failure> {
    let raw = session.enter_raw();
    let mut copying = stream::copy(Attachment {
        hijacked,
        raw_output: session.tty,
        stdin: session.stdin,
        detach_keys: raw.is_some().then_some(keys),
    });
    let detached = tokio::select! {
        result = &mut copying.output => {
            result.unwrap_or(Ok(())).map_err(|error| output_failure(&error))?;
            false
        }
        Ok(()) = &mut copying.detached => true,
        () = follow_size(client, id, session.tty) => false,
    };
    drop(raw);
    if detached {
        return Err(Failure::message("read escape sequence"));
    }
    match client.inspect_exec(id).await?.exit_code.unwrap_or(0) {
        0 => Ok(()),
        code => Err(Failure::Exit(code as u8)),
    }
}

async fn follow_size(client: &Client, id: &str, tty: bool) {
    if tty && let Some(mut changes) = terminal::resizes() {
        loop {
            if let Some(size) = current_size() {
                let _ = client.resize_exec(id, size).await;
            }
            if changes.recv().await.is_none() {
                break;
            }
        }
    }
    std::future::pending().await
}
