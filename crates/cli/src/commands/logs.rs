//! `logs`: what a container has written.

use api::Time;
use api::container::LogsOptions;

use crate::app::App;
use crate::command::{Arity, Leaf};
use crate::failure::Failure;
use crate::flag::{Flag, Options};
use crate::stream::Output;
use crate::when;

/// Shows the logs of a container.
pub(crate) struct Logs;

pub(crate) struct LogsFlags {
    details: bool,
    follow: bool,
    since: String,
    tail: String,
    timestamps: bool,
    until: String,
}

impl Default for LogsFlags {
    fn default() -> Self {
        Self {
            details: false,
            follow: false,
            since: String::new(),
            tail: "all".to_owned(),
            timestamps: false,
            until: String::new(),
        }
    }
}

impl Options for LogsFlags {
    const FLAGS: &'static [Flag<Self>] = &[
        Flag::new("details", "Show attributes that were logged with each line", |o| &mut o.details),
        Flag::lettered('f', "follow", "Follow log output", |o| &mut o.follow),
        Flag::new(
            "since",
            "Show only what was logged since a time (\"2013-01-02T13:23:37Z\") or for a duration (\"42m\")",
            |o| &mut o.since,
        ),
        Flag::lettered('n', "tail", "Number of lines to show from the end", |o| &mut o.tail),
        Flag::lettered('t', "timestamps", "Show timestamps", |o| &mut o.timestamps),
        Flag::new(
            "until",
            "Show only what was logged before a time (\"2013-01-02T13:23:37Z\") or a duration ago (\"42m\")",
            |o| &mut o.until,
        ),
    ];
}

impl Leaf for Logs {
    type Options = LogsFlags;
    const NAME: &'static str = "logs";
    const ABOUT: &'static str = "Fetch the logs of a container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ARITY: Arity = Arity::Exactly(1);
    const PATHS: &'static [&'static str] = &["container logs", "logs"];

    fn run(app: &App, flags: LogsFlags, arguments: Vec<String>) -> Result<(), Failure> {
        let client = app.client()?;
        app.block_on(async {
            // The inspection says whether there is a terminal, and gives the better error.
            let container = client.inspect_container(&arguments[0]).await?;
            let options = LogsOptions {
                stdout: true,
                stderr: true,
                follow: flags.follow,
                timestamps: flags.timestamps,
                details: flags.details,
                since: moment("since", &flags.since)?,
                until: moment("until", &flags.until)?,
                tail: flags.tail.parse().ok(),
            };
            let mut logs = client.container_logs(&container.id, &options).await?;
            let raw = logs.multiplexed().map_or(container.config.tty, |multiplexed| !multiplexed);
            let mut output = Output::new(raw);
            while let Some(bytes) = logs.next().await? {
                output.write(bytes).map_err(|error| match error.kind() {
                    std::io::ErrorKind::BrokenPipe => Failure::Exit(141),
                    _ => Failure::message(error.to_string()),
                })?;
            }
            Ok(())
        })
    }
}

fn moment(flag: &str, text: &str) -> Result<Option<Time>, Failure> {
    when::parse(text).map_err(|reason| Failure::message(format!("invalid value for {flag:?}: {reason}")))
}
