//! The progress of pulls and loads: a line per layer on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use api::image::{ProgressDetail, ProgressMessage};
use client::Lines;

use crate::failure::Failure;
use crate::text::decimal_size;

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    Stdout,
    Stderr,
    Nowhere,
}

/// Shows all messages; an error among them is returned.
pub(crate) async fn show(lines: Lines, sink: Sink) -> Result<(), Failure> {
    show_until_data(lines, sink).await.map(drop)
}

/// As [`show`], and returns the last of what is for programs.
pub(crate) async fn show_until_data(
    mut lines: Lines,
    sink: Sink,
) -> Result<Option<serde_json::Value>, Failure> {
    let (terminal, width) = match sink {
        Sink::Stdout => {
            (crate::terminal::stdout_is_terminal(), crate::terminal::size(rustix::stdio::stdout()))
        }
        Sink::Stderr => {
            (crate::terminal::stderr_is_terminal(), crate::terminal::size(rustix::stdio::stderr()))
        }
        Sink::Nowhere => (false, None),
    };
    let columns = width.map_or(0, |(_, columns)| usize::from(columns));
    let mut display = Display::new(terminal.then_some(columns));
    let mut data = None;
    while let Some(message) = lines.next::<ProgressMessage>().await? {
        if let Some(error) = failure(&message) {
            return Err(error);
        }
        if message.aux.is_some() {
            data = message.aux;
            continue;
        }
        let text = display.show(&message);
        let written = match sink {
            Sink::Stdout => {
                std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush())
            }
            Sink::Stderr => std::io::stderr().write_all(text.as_bytes()),
            Sink::Nowhere => Ok(()),
        };
        written.map_err(|error| Failure::message(error.to_string()))?;
    }
    Ok(data)
}

/// Shows a classic build; returns the image's ID. The exit code of a step that failed becomes that of the command. What was
/// shown nowhere is shown after all when the build fails.
pub(crate) async fn show_build(mut lines: Lines, sink: Sink) -> Result<Option<String>, Failure> {
    let terminal = sink == Sink::Stdout && crate::terminal::stdout_is_terminal();
    let columns =
        crate::terminal::size(rustix::stdio::stdout()).map_or(0, |(_, columns)| usize::from(columns));
    let mut display = Display::new(terminal.then_some(columns));
    let (mut id, mut unseen) = (None, String::new());
    while let Some(message) = lines.next::<ProgressMessage>().await? {
        if let Some(error) = failure(&message) {
            eprint!("{unseen}");
            let code = message.error_detail.map_or(0, |detail| detail.code);
            let code = u8::try_from(code & 0xff).ok().filter(|code| *code != 0).unwrap_or(1);
            return Err(Failure::coded(error.to_string(), code));
        }
        if let Some(aux) = &message.aux {
            id = aux["ID"].as_str().map(str::to_owned).or(id);
            continue;
        }
        let text = display.show(&message);
        match sink {
            Sink::Nowhere => unseen.push_str(&text),
            _ => {
                let written =
                    std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
                written.map_err(|error| Failure::message(error.to_string()))?;
            }
        }
    }
    Ok(id)
}

/// The error that a message is, if it is one.
pub(crate) fn failure(message: &ProgressMessage) -> Option<Failure> {
    let detail = message.error_detail.as_ref().map(|detail| detail.message.clone()).unwrap_or_default();
    let text = if detail.is_empty() { message.error.clone() } else { detail };
    (!text.is_empty()).then(|| Failure::message(text))
}

struct Display {
    /// The width of the terminal, if it is one.
    terminal: Option<usize>,
    /// The line of each layer, from the first one.
    lines: HashMap<String, usize>,
    /// What each layer is doing, and since when.
    steps: HashMap<String, Step>,
    /// Whether the cursor is in a line that is written over by what comes next.
    is_open: bool,
}

/// A step of a layer that has bytes to count.
struct Step {
    status: String,
    began: Instant,
    /// Bytes that it had then: what a connection goes on with was not brought by it.
    from: i64,
}

impl Display {
    fn new(terminal: Option<usize>) -> Self {
        Self { terminal, lines: HashMap::new(), steps: HashMap::new(), is_open: false }
    }

    /// How fast a step is, and how long it will take, once that can be told.
    fn rate(&mut self, message: &ProgressMessage, now: Instant) -> String {
        let detail = message.progress_detail.as_ref().filter(|it| it.units.is_empty() && it.current > 0);
        let Some(detail) = detail else { return String::new() };
        let fresh = || Step { status: message.status.clone(), began: now, from: detail.current };
        let step = self.steps.entry(message.id.clone()).or_insert_with(fresh);
        if step.status != message.status || detail.current < step.from {
            *step = fresh();
        }
        let seconds = now.duration_since(step.began).as_secs_f64();
        let bytes = detail.current - step.from;
        if seconds < 1.0 || bytes <= 0 {
            return String::new();
        }
        let speed = bytes as f64 / seconds;
        let left = (detail.total - detail.current) as f64 / speed;
        let left = if left >= 0.5 { format!("  {} left", duration(left)) } else { String::new() };
        format!("  {}/s{left}", decimal_size(speed, 3))
    }

    fn show(&mut self, message: &ProgressMessage) -> String {
        let mut out = String::new();
        let on_line = message.progress_detail.is_some() && !message.id.is_empty();
        let mut up = 0;
        if on_line {
            let next = self.lines.len();
            let line = *self.lines.entry(message.id.clone()).or_insert(next);
            if self.terminal.is_some() {
                // The cursor is always below the last line.
                if line == next {
                    out.push('\n');
                }
                up = self.lines.len() - line;
                move_cursor(&mut out, up, 'A');
            }
        } else if message.stream.is_empty() || !message.id.is_empty() {
            self.lines.clear();
        }
        if self.is_open {
            out.push_str("\x1b[2K\r");
        }
        self.is_open = self.terminal.is_some() && !on_line && message.progress_detail.is_some();
        let rate = if self.terminal.is_some() { self.rate(message, Instant::now()) } else { String::new() };
        self.line(message, &rate, &mut out);
        if on_line && self.terminal.is_some() {
            move_cursor(&mut out, up, 'B');
        }
        out
    }

    fn line(&self, message: &ProgressMessage, rate: &str, out: &mut String) {
        let bar = message.progress_detail.as_ref().map(|detail| bar(detail, self.terminal.unwrap_or(0)));
        let mut end = "\n";
        if self.terminal.is_some() && message.stream.is_empty() && bar.is_some() {
            out.push_str("\x1b[2K\r");
            end = "\r";
        } else if bar.as_ref().is_some_and(|bar| !bar.is_empty()) {
            // How far it is makes no sense in a file.
            return;
        }
        if !message.id.is_empty() {
            out.push_str(&message.id);
            out.push_str(": ");
        }
        match bar {
            Some(bar) if self.terminal.is_some() => {
                out.push_str(&format!("{} {bar}{rate}{end}", message.status))
            }
            _ if !message.stream.is_empty() => out.push_str(&message.stream),
            _ => out.push_str(&format!("{}{end}", message.status)),
        }
    }
}

/// `7s`, `3m20s`, `2h05m`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

fn move_cursor(out: &mut String, lines: usize, direction: char) {
    if lines > 0 {
        out.push_str(&format!("\x1b[{lines}{direction}"));
    }
}

/// Below this width only the numbers are shown.
const BAR_COLUMNS: usize = 110;

fn bar(detail: &ProgressDetail, columns: usize) -> String {
    if detail.current <= 0 && detail.total <= 0 {
        return String::new();
    }
    let number = |value: i64| match detail.units.as_str() {
        "" => decimal_size(value as f64, 4),
        _ => value.to_string(),
    };
    let suffix = if detail.units.is_empty() { String::new() } else { format!(" {}", detail.units) };
    if detail.total <= 0 {
        return format!("{:>8}{suffix}", number(detail.current));
    }
    let half = ((detail.current as f64 / detail.total as f64) * 50.0).clamp(0.0, 50.0) as usize;
    let drawn = match columns > BAR_COLUMNS {
        true => format!("[{}>{}] ", "=".repeat(half), " ".repeat(50 - half)),
        false => String::new(),
    };
    match (detail.hidecounts, detail.current > detail.total) {
        (true, _) => drawn,
        (_, true) => format!("{drawn}{:>8}{suffix}", number(detail.current)),
        _ => format!("{drawn}{:>8}/{}{suffix}", number(detail.current), number(detail.total)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn layer(id: &str, status: &str, current: i64, total: i64) -> ProgressMessage {
        ProgressMessage::layer_progress(id, status, current, total)
    }

    #[test]
    fn pipe_shows_states_without_progress() {
        let mut display = Display::new(None);
        let out: String = [
            ProgressMessage::status("latest: Pulling from library/x"),
            ProgressMessage::layer("abc", "Pulling fs layer"),
            layer("abc", "Downloading", 10, 100),
            ProgressMessage::layer("abc", "Pull complete"),
            ProgressMessage::status("Digest: sha256:1"),
        ]
        .iter()
        .map(|message| display.show(message))
        .collect();
        assert_eq!(
            out,
            "latest: Pulling from library/x\nabc: Pulling fs layer\nabc: Pull complete\nDigest: sha256:1\n"
        );
    }

    #[test]
    fn speed_and_time_left_are_told_after_a_second() {
        let mut display = Display::new(Some(120));
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let download = |bytes: i64| layer("a", "Downloading", bytes, 100_000_000);
        assert_eq!(display.rate(&download(20_000_000), at(0)), "");
        assert_eq!(display.rate(&download(30_000_000), at(1)), "  10MB/s  7s left");
        assert_eq!(display.rate(&download(22_000_000), at(2)), "  1MB/s  1m18s left");
        assert_eq!(display.rate(&download(100_000_000), at(10)), "  8MB/s");
        // The next step has a speed of its own.
        assert_eq!(display.rate(&layer("a", "Extracting", 1, 100), at(11)), "");
        assert_eq!(duration(7500.0), "2h05m");
    }

    #[test]
    fn progress_of_the_only_thing_leaves_no_rest() {
        let mut display = Display::new(Some(120));
        display.show(&layer("", "Importing", 50, 100));
        let last = display.show(&ProgressMessage::status("sha256:1"));
        assert_eq!(last, "\x1b[2K\rsha256:1\n");
        assert_eq!(display.show(&ProgressMessage::status("next")), "next\n");
    }

    #[test]
    fn terminal_redraws_the_layer_in_its_line() {
        let mut display = Display::new(Some(120));
        let shown: Vec<String> = [
            ProgressMessage::layer("a", "Pulling fs layer"),
            ProgressMessage::layer("b", "Pulling fs layer"),
            layer("a", "Downloading", 50, 100),
        ]
        .iter()
        .map(|message| display.show(message))
        .collect();
        assert_eq!(shown[0], "\n\x1b[1A\x1b[2K\ra: Pulling fs layer \r\x1b[1B");
        assert_eq!(shown[1], "\n\x1b[1A\x1b[2K\rb: Pulling fs layer \r\x1b[1B");
        let bar = format!("[{}>{}] ", "=".repeat(25), " ".repeat(25));
        assert_eq!(shown[2], format!("\x1b[2A\x1b[2K\ra: Downloading {bar}     50B/100B\r\x1b[2B"));
    }
}
