//! From an engine's lines to what is seen: which view, when it is drawn, and how a build ends.

use std::io::Write as _;
use std::time::Duration;

use api::build::{BuildEvent, BuildMessage};
use client::Lines;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::view::{Plain, RawJson, Silent, Size, Terminal, Trace, View};
use super::{BuildFlags, Built, CheckFormat, view};
use crate::app::App;
use crate::failure::{Failure, io_text};
use crate::terminal::{self, Signals};

/// How often the live view is drawn.
const PICTURE: Duration = Duration::from_millis(100);
/// Names the view where `--progress` does not.
const VARIABLE: &str = "BUILDKIT_PROGRESS";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Terminal,
    RawJson,
    /// Nothing but the image's ID (`--quiet`).
    Quiet,
    /// Nothing at all.
    None,
}

impl Mode {
    /// The mode that the flags, the environment and the terminal ask for.
    pub(super) fn new(flags: &BuildFlags) -> Result<Self, Failure> {
        let variable = std::env::var(VARIABLE).unwrap_or_default();
        Self::choose(&flags.progress, &variable, flags.quiet, terminal::stderr_is_terminal())
    }

    fn choose(flag: &str, variable: &str, quiet: bool, is_terminal: bool) -> Result<Self, Failure> {
        let name = if flag.is_empty() && !quiet { variable } else { flag };
        let mode = match name {
            "" | "auto" if is_terminal => Self::Terminal,
            "" | "auto" | "plain" => Self::Plain,
            "tty" if !is_terminal => {
                return Err(Failure::message("failed to get console: provided file is not a console"));
            }
            "tty" => Self::Terminal,
            "rawjson" => Self::RawJson,
            "quiet" => Self::Quiet,
            "none" => Self::None,
            other => return Err(Failure::message(format!("invalid progress mode {other}"))),
        };
        match quiet {
            true if !matches!(name, "" | "auto" | "quiet") => {
                Err(Failure::message(format!("progress={name} and quiet cannot be used together")))
            }
            true => Ok(Self::Quiet),
            false => Ok(mode),
        }
    }

    pub(super) fn is_quiet(self) -> bool {
        self == Self::Quiet
    }

    fn view(self) -> Box<dyn View> {
        match self {
            Self::Plain => Box::new(Plain::default()),
            Self::Terminal => Box::new(Terminal::new(size(), std::env::var_os("NO_COLOR").is_none())),
            Self::RawJson => Box::new(RawJson),
            Self::Quiet | Self::None => Box::new(Silent),
        }
    }
}

/// The terminal's size, or a usual one where it does not say.
fn size() -> Size {
    match terminal::size(rustix::stdio::stderr()) {
        Some((rows, columns)) if rows > 0 && columns > 0 => {
            Size { columns: usize::from(columns), rows: usize::from(rows) }
        }
        _ => Size::default(),
    }
}

/// How a build ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    Built(Built),
    /// The Dockerfile was only checked, with this exit code.
    Checked(i32),
}

/// What is shown, and what is known.
pub(super) struct Display<'a> {
    app: &'a App,
    mode: Mode,
    view: Box<dyn View>,
    trace: Trace,
    check: Option<CheckFormat>,
    explain: bool,
    built: Built,
    checked: Option<i32>,
    error: String,
}

impl<'a> Display<'a> {
    pub(super) fn new(app: &'a App, mode: Mode, check: Option<CheckFormat>, explain: bool) -> Self {
        Self {
            app,
            mode,
            view: mode.view(),
            trace: Trace::default(),
            check,
            explain,
            built: Built::default(),
            checked: None,
            error: String::new(),
        }
    }

    /// Shows a build to its end.
    pub(super) async fn follow(mut self, mut lines: Lines, signals: &mut Signals) -> Result<End, Failure> {
        let mut pictures = interval(PICTURE);
        pictures.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                number = signals.next() => {
                    self.close()?;
                    cancel(number);
                }
                _ = pictures.tick() => {
                    let text = self.view.tick(&self.trace, now(), size());
                    write(&text)?;
                }
                message = lines.next::<BuildMessage>() => match message {
                    Ok(Some(message)) => {
                        self.take(message)?;
                        // Nothing comes after an error.
                        if !self.error.is_empty() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.close()?;
                        return Err(error.into());
                    }
                },
            }
        }
        self.finish()
    }

    fn take(&mut self, BuildMessage { message, event }: BuildMessage) -> Result<(), Failure> {
        if let Some(error) = crate::progress::failure(&message) {
            self.error = error.to_string();
        }
        if let Some(id) = message.aux.as_ref().and_then(|aux| aux["ID"].as_str()) {
            id.clone_into(&mut self.built.id);
        }
        match &event {
            None => return Ok(()),
            Some(BuildEvent::Result { config, manifest, .. }) => {
                config.clone_into(&mut self.built.id);
                self.built.manifest.clone_from(manifest);
            }
            Some(BuildEvent::Checked { text, json, status }) => {
                self.checked = Some(*status);
                let shown = match self.check {
                    Some(CheckFormat::Json) => {
                        format!("{}\n", serde_json::to_string_pretty(json).expect("a JSON value"))
                    }
                    _ => text.clone(),
                };
                self.app.print(&shown)?;
            }
            Some(_) => {}
        }
        let Some(event) = event else { return Ok(()) };
        let now = now();
        self.trace.apply(&event, now);
        let text = self.view.event(&event, &self.trace, now);
        write(&text)
    }

    /// Writes what is left to say.
    fn close(&mut self) -> Result<(), Failure> {
        write(&self.view.end(&self.trace, now()))
    }

    fn finish(mut self) -> Result<End, Failure> {
        if !self.error.is_empty() && self.mode == Mode::Quiet {
            // Whoever wants to hear nothing still wants to know why.
            let mut told = Plain::default();
            write(&told.end(&self.trace, now()))?;
        }
        self.close()?;
        if !matches!(self.mode, Mode::RawJson | Mode::Quiet | Mode::None) {
            let details = self.app.debug();
            // A check has told them already.
            if self.checked.is_none() {
                write(view::warnings(&self.trace, self.app.program(), details).as_bytes())?;
            }
            if self.explain {
                write(view::cache_report(&self.trace).as_bytes())?;
            }
        }
        if !self.error.is_empty() {
            return Err(Failure::message(format!("ERROR: failed to build: failed to solve: {}", self.error)));
        }
        match self.checked {
            Some(status) => Ok(End::Checked(status)),
            None if self.built.id.is_empty() => Err(Failure::message(
                "ERROR: failed to build: the engine did not say which image it has built",
            )),
            None => Ok(End::Built(self.built)),
        }
    }
}

/// Ends the program by a signal. The engine cancels a build whose connection breaks.
pub(super) fn cancel(number: i32) -> ! {
    eprintln!("ERROR: failed to build: failed to solve: Canceled: context canceled");
    terminal::restore();
    std::process::exit(128 + number)
}

fn now() -> i64 {
    // Until the year 2262.
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Progress goes to standard error, so that standard output is for results.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Ok(());
    }
    std::io::stderr()
        .lock()
        .write_all(bytes)
        .map_err(|error| Failure::message(format!("write /dev/stderr: {}", io_text(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_follows_flag_environment_and_terminal() {
        let of = |flag: &str, variable: &str, quiet: bool, is_terminal: bool| {
            Mode::choose(flag, variable, quiet, is_terminal).map_err(|error| error.to_string())
        };
        assert_eq!(of("", "", false, true), Ok(Mode::Terminal));
        assert_eq!(of("auto", "plain", false, false), Ok(Mode::Plain));
        assert_eq!(of("", "rawjson", false, true), Ok(Mode::RawJson));
        assert_eq!(of("plain", "rawjson", false, true), Ok(Mode::Plain));
        assert_eq!(of("none", "", false, true), Ok(Mode::None));
        assert_eq!(of("quiet", "", true, true), Ok(Mode::Quiet));
        assert_eq!(of("", "plain", true, true), Ok(Mode::Quiet));
        assert_eq!(
            of("plain", "", true, true),
            Err("progress=plain and quiet cannot be used together".into())
        );
        assert_eq!(
            of("tty", "", false, false),
            Err("failed to get console: provided file is not a console".into())
        );
        assert_eq!(of("fancy", "", false, true), Err("invalid progress mode fancy".into()));
    }
}
