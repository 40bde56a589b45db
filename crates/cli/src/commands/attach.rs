//! `attach`: joins the standard streams of a running container.

use api::container::{ContainerInspect, WaitCondition};

use super::run::{Follow, OnDetach, Session, check_terminal, detach_keys, redraw};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::terminal::Signals;

/// Attaches to a running container.
pub(crate) struct Attach;

pub(crate) struct AttachFlags {
    detach_keys: String,
    no_stdin: bool,
    sig_proxy: bool,
}

impl Default for AttachFlags {
    fn default() -> Self {
        Self { detach_keys: String::new(), no_stdin: false, sig_proxy: true }
    }
}

impl Options for AttachFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("detach-keys", "Keys that leave the container running", |o| &mut o.detach_keys),
        Flag::new("no-stdin", "Leave standard input alone", |o| &mut o.no_stdin),
        Flag::new("sig-proxy", "Pass signals on to the container", |o| &mut o.sig_proxy),
    ];
}

impl Leaf for Attach {
    type Options = AttachFlags;
    const NAME: &'static str = "attach";
    const ABOUT: &'static str =
        "Attach local standard input, output, and error streams to a running container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["container attach", "attach"];

    fn run(app: &App, options: AttachFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        app.block_on(async {
            let name = &arguments[0];
            let container = client.inspect_container(name).await?;
            check_state(&container)?;
            let session = Session {
                tty: container.config.tty,
                stdin: !options.no_stdin && container.config.open_stdin,
                stdout: true,
                stderr: true,
            };
            check_terminal(session.stdin, session.tty)?;
            let (text, keys) = detach_keys(app, &options.detach_keys)?;
            let proxy = (options.sig_proxy && !session.tty).then(Signals::catch);
            let waiting = client.wait_container(name, WaitCondition::NotRunning).await?;
            let hijacked = client.attach_container(name, &session.attach_options(text)).await?;
            let raw = session.enter_raw();
            let copying = session.copy(hijacked, raw.is_some().then_some(keys));
            if session.tty {
                redraw(client, name).await;
            }
            let on_detach = OnDetach::Fail;
            let end =
                Follow { client, id: name, session, proxy, on_detach }.until_end(copying, waiting).await;
            drop(raw);
            end
        })
    }
}

fn check_state(container: &ContainerInspect) -> Result<(), Failure> {
    let state = &container.state;
    let reason = match () {
        () if !state.running => "You cannot attach to a stopped container, start it first",
        () if state.paused => "You cannot attach to a paused container, unpause it first",
        () if state.restarting => "You cannot attach to a restarting container, wait until it is running",
        () => return Ok(()),
    };
    Err(Failure::message(reason))
}
