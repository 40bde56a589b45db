//! `run`: create, attach, start, copy, and end with the container's exit code.

use api::container::{AttachOptions, CreateRequest, ResizeOptions, WaitCondition};
use client::{Client, Hijacked, Waiting};

use super::create::{CreateFlags, check_pull, create_container, with_help};
use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::container_options::container_flags;
use crate::failure::{Failure, io_text};
use crate::flag::{Flag, Options};
use crate::stream::{self, Attachment, Copying};
use crate::terminal::{self, DetachKeys, RawMode, Signals};

/// Runs a command in a new container.
pub(crate) struct Run;

/// The flags of `run`.
pub(crate) struct RunOptions {
    create: CreateFlags,
    detach: bool,
    sig_proxy: bool,
    detach_keys: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { create: CreateFlags::new(), detach: false, sig_proxy: true, detach_keys: String::new() }
    }
}

impl Options for RunOptions {
    const INTERSPERSED: bool = false;
    const FLAGS: &'static [Flag<Self>] = container_flags!(
        [create.container],
        Flag::new("name", "Name of the container", |o| &mut o.create.name),
        Flag::new("platform", "Platform of the image (os[/arch[/variant]])", |o| &mut o.create.platform),
        Flag::new("pull", "When to pull the image (\"always\", \"missing\", \"never\")", |o| &mut o
            .create
            .pull),
        Flag::lettered('q', "quiet", "Show no progress of the pull", |o| &mut o.create.quiet),
        Flag::lettered('d', "detach", "Run in the background and print the container's ID", |o| &mut o
            .detach),
        Flag::new("sig-proxy", "Pass signals on to the container", |o| &mut o.sig_proxy),
        Flag::new("detach-keys", "Keys that leave the container running", |o| &mut o.detach_keys),
    );
}

impl Leaf for Run {
    type Options = RunOptions;
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Create and run a new container from an image";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ARITY: Arity = Arity::AtLeast(1);
    const PATHS: &'static [&'static str] = &["container run", "run"];

    fn run(app: &App, options: RunOptions, arguments: Vec<String>) -> Result<(), Failure> {
        let help = |error: Failure| with_help(app, "run", &error, 125);
        check_pull(&options.create.pull).map_err(help)?;
        let mut request = options.create.container.request(&arguments).map_err(help)?;
        prepare(&options, &mut request)?;
        let keys = detach_keys(app, &options.detach_keys)?;
        // The client may start the engine, which is not work for the runtime.
        app.client().map_err(|error| with_help(app, "run", &error, 125))?;
        app.block_on(run(app, &options, request, keys))
    }
}

/// Decides what is attached.
fn prepare(options: &RunOptions, request: &mut CreateRequest) -> Result<(), Failure> {
    let config = &mut request.config;
    if !options.detach {
        return check_terminal(config.attach_stdin, config.tty);
    }
    if !options.create.container.attach.0.is_empty() {
        return Err(Failure::message("conflicting options: cannot specify both --attach and --detach"));
    }
    (config.attach_stdin, config.attach_stdout, config.attach_stderr) = (false, false, false);
    config.stdin_once = false;
    Ok(())
}

/// A terminal in the container needs one here, if its input comes from here.
pub(crate) fn check_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    match stdin && tty && !terminal::stdin_is_terminal() {
        true => Err(Failure::message("the input device is not a TTY")),
        false => Ok(()),
    }
}

/// The keys of the flag, of the configuration, or the usual ones.
pub(crate) fn detach_keys(app: &App, flag: &str) -> Result<(String, DetachKeys), Failure> {
    let text = if flag.is_empty() { app.config().detach_keys.as_str() } else { flag };
    let keys =
        text.parse().map_err(|error| Failure::message(format!("invalid detach keys ({text}): {error}")))?;
    Ok((text.to_owned(), keys))
}

async fn run(
    app: &App,
    options: &RunOptions,
    request: CreateRequest,
    keys: (String, DetachKeys),
) -> Result<(), Failure> {
    let auto_remove = request.host_config.as_ref().is_some_and(|host| host.auto_remove);
    let config = &request.config;
    let session = Session {
        tty: config.tty,
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
    };
    let id =
        create_container(app, &options.create, request).await.map_err(|error| status_failure(app, &error))?;
    let client = app.client()?;
    if !session.is_attached() {
        client.start_container(&id).await.map_err(|error| status_failure(app, &error.into()))?;
        return app.line(&id);
    }
    let proxy = options.sig_proxy.then(Signals::catch);
    let (text, keys) = keys;
    let hijacked = client.attach_container(&id, &session.attach_options(text)).await?;
    let condition = if auto_remove { WaitCondition::Removed } else { WaitCondition::NextExit };
    let waiting = client.wait_container(&id, condition).await?;
    if let Err(error) = client.start_container(&id).await {
        drop(hijacked);
        if auto_remove {
            let _ = waiting.finish().await;
        }
        return Err(status_failure(app, &error.into()));
    }
    let raw = session.enter_raw();
    let copying = session.copy(hijacked, raw.is_some().then_some(keys));
    let follow = Follow { client, id: &id, session, proxy, on_detach: OnDetach::Succeed };
    let end = follow.until_end(copying, waiting).await;
    drop(raw);
    end
}

/// Which streams of a container are connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Session {
    fn is_attached(self) -> bool {
        self.stdin || self.stdout || self.stderr
    }

    /// The request that connects these streams.
    pub(crate) fn attach_options(self, detach_keys: String) -> AttachOptions {
        AttachOptions {
            stream: true,
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
            logs: false,
            detach_keys: Some(detach_keys).filter(|keys| !keys.is_empty()),
        }
    }

    /// Starts to copy between the user's streams and those of the connection; typed `keys` end it.
    pub(crate) fn copy(self, hijacked: Hijacked, keys: Option<DetachKeys>) -> Copying {
        let Self { tty, stdin, .. } = self;
        stream::copy(Attachment { hijacked, raw_output: tty, stdin, detach_keys: keys })
    }

    /// Raw mode, if keys are for the container's terminal.
    pub(crate) fn enter_raw(self) -> Option<RawMode> {
        (self.tty && self.stdin).then(RawMode::enter).flatten()
    }
}

/// What a command does when the user leaves the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDetach {
    /// It has done its work.
    Succeed,
    /// It says so, and fails, because it does not know how the container ends.
    Fail,
}

/// Follows an attached container until it ends or the user leaves it.
pub(crate) struct Follow<'a> {
    pub(crate) client: &'a Client,
    pub(crate) id: &'a str,
    pub(crate) session: Session,
    pub(crate) proxy: Option<Signals>,
    pub(crate) on_detach: OnDetach,
}

/// How the user's part ended.
enum Left {
    Output(std::io::Result<()>),
    Detached,
}

impl Follow<'_> {
    /// Copies until the end; the exit code is the container's.
    pub(crate) async fn until_end(mut self, copying: Copying, waiting: Waiting) -> Result<(), Failure> {
        let (client, id, session) = (self.client, self.id, self.session);
        let mut endings = self.proxy.is_none().then(Signals::catch_endings);
        let background = async {
            tokio::join!(
                pass_on(client, id, &mut self.proxy),
                follow_size(client, id, session.tty),
                end_by_signal(&mut endings)
            )
        };
        let foreground = finish(copying, waiting, session, self.on_detach);
        tokio::select! {
            result = foreground => result,
            // These go on for ever.
            _ = background => Ok(()),
        }
    }
}

async fn finish(
    mut copying: Copying,
    waiting: Waiting,
    session: Session,
    on_detach: OnDetach,
) -> Result<(), Failure> {
    let mut status = std::pin::pin!(waiting.finish());
    let left = tokio::select! {
        left = user_leaves(&mut copying) => left,
        answer = &mut status => {
            // What the container wrote last may still be on its way.
            if !session.stdout && !session.stderr {
                copying.end();
            }
            let _ = (&mut copying.output).await;
            return exit_code(answer);
        }
    };
    match left {
        Left::Detached if on_detach == OnDetach::Fail => Err(Failure::message("read escape sequence")),
        Left::Detached => Ok(()),
        Left::Output(Err(error)) => Err(output_failure(&error)),
        Left::Output(Ok(())) => exit_code(status.await),
    }
}

/// The keys may never be typed, and the input may end: then only the end of the output counts.
async fn user_leaves(copying: &mut Copying) -> Left {
    tokio::select! {
        result = &mut copying.output => Left::Output(result.unwrap_or(Ok(()))),
        Ok(()) = &mut copying.detached => Left::Detached,
    }
}

/// Output that could not be written.
pub(crate) fn output_failure(error: &std::io::Error) -> Failure {
    Failure::message(format!("write /dev/stdout: {}", io_text(error)))
}

fn exit_code(answer: Result<api::container::WaitResponse, client::Error>) -> Result<(), Failure> {
    let answer = answer?;
    if let Some(error) = answer.error.filter(|error| !error.message.is_empty()) {
        return Err(Failure::coded(format!("Error waiting for container: {}", error.message), 125));
    }
    match answer.status_code {
        0 => Ok(()),
        // The low byte is all that a parent sees.
        code => Err(Failure::Exit(code as u8)),
    }
}

async fn pass_on(client: &Client, id: &str, signals: &mut Option<Signals>) {
    let Some(signals) = signals else { return std::future::pending().await };
    loop {
        let number = signals.next().await;
        // The container may have ended just now.
        let _ = client.kill_container(id, &number.to_string()).await;
    }
}

/// Without passing signals on, they end the client, but not before the terminal is itself again.
async fn end_by_signal(signals: &mut Option<Signals>) {
    let Some(signals) = signals else { return std::future::pending().await };
    let number = signals.next().await;
    terminal::restore();
    std::process::exit(128 + number);
}

/// Tells the container's terminal the size of this one, now and whenever it changes.
async fn follow_size(client: &Client, id: &str, tty: bool) {
    if !tty || !terminal::stdout_is_terminal() {
        return std::future::pending().await;
    }
    let resize = async || {
        if let Some(size) = current_size() {
            let _ = client.resize_container(id, size).await;
        }
    };
    resize().await;
    let Some(mut changes) = terminal::resizes() else { return std::future::pending().await };
    while changes.recv().await.is_some() {
        resize().await;
    }
    std::future::pending().await
}

/// Makes programs in the container's terminal draw themselves anew, by a size that is not the right one.
pub(crate) async fn redraw(client: &Client, id: &str) {
    if let Some(size) = current_size().filter(|_| terminal::stdout_is_terminal()) {
        let other = ResizeOptions { height: size.height + 1, width: size.width + 1 };
        let _ = client.resize_container(id, other).await;
    }
}

/// The size of the terminal at standard output.
pub(crate) fn current_size() -> Option<ResizeOptions> {
    let (height, width) = terminal::size(rustix::stdio::stdout())?;
    (height > 0 || width > 0).then_some(ResizeOptions { height, width })
}

/// The exit code of a container that could not be started, by what the engine says about it.
fn status_failure(app: &App, error: &Failure) -> Failure {
    let text = error.text().unwrap_or_default();
    let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let code = match () {
        () if any(&["executable file not found", "no such file or directory"]) => 127,
        () if any(&["permission denied", "is a directory"]) => 126,
        () => 125,
    };
    with_help(app, "run", error, code)
}
