//! The picture of a build at a moment.

use super::canvas::{Row, Style, cut, width};
use super::logs::clean;
use super::terminal::Size;
use super::trace::{Item, Step, Trace};
use super::units::{amount, seconds};

/// As many lines of its output and as many things that it does are shown of a running step.
const DETAILS: usize = 6;
/// Below this width a line is only a name.
const NARROW: usize = 24;
/// The widest bar, and the narrowest that is worth it.
const WIDEST_BAR: usize = 30;
const NARROWEST_BAR: usize = 8;

/// The picture while the build goes on. It fits the terminal.
pub(super) fn live(trace: &Trace, now: i64, size: Size) -> Vec<Row> {
    // The cursor is in the last line.
    let room = size.rows.saturating_sub(2);
    let running: Vec<u32> = trace.shown().filter(|(_, step)| !step.is_done()).map(|(id, _)| id).collect();
    let hidden = running.len().saturating_sub(room);
    let running = &running[hidden..];
    let details = details(trace, running, now, size, room - running.len());
    let left = room - running.len() - details.iter().map(|(_, rows)| rows.len()).sum::<usize>();
    let done = trace.shown().filter(|(_, step)| step.is_done()).count();
    let mut skipped = done.saturating_sub(left);
    let mut rows = vec![header(trace, now, size, "")];
    for (id, step) in trace.shown() {
        if step.is_done() {
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
        } else if !running.contains(&id) {
            continue;
        }
        rows.push(line(trace, step, now, size));
        rows.extend(details.iter().filter(|(of, _)| *of == id).flat_map(|(_, rows)| rows.clone()));
    }
    rows
}

/// The picture that stays.
pub(super) fn last(trace: &Trace, now: i64, size: Size) -> Vec<Row> {
    let (done, all) = trace.counts();
    let state = if done == all && all > 0 { " FINISHED" } else { "" };
    let steps = trace.shown().map(|(_, step)| line(trace, step, now, size));
    std::iter::once(header(trace, now, size, state)).chain(steps).collect()
}

fn header(trace: &Trace, now: i64, size: Size, state: &str) -> Row {
    let took = seconds(now - trace.began.unwrap_or(now));
    let (done, all) = trace.counts();
    let text = format!("[+] Building {took:.1}s ({done}/{all}){state}");
    Row { text: cut(&text, size.columns), style: Style::Normal }
}

fn line(trace: &Trace, step: &Step, now: i64, size: Size) -> Row {
    let (mark, style) = match step {
        step if step.is_canceled() => ("CANCELED ", Style::Canceled),
        step if step.has_failed() => ("ERROR ", Style::Failed),
        step if step.is_cached => ("CACHED ", Style::Done),
        step if step.is_done() => ("", Style::Done),
        _ => ("", Style::Normal),
    };
    let text = format!(" => {mark}{}", clean(step.name.as_bytes()));
    let timer = format!("{:.1}s", seconds(trace.duration(step, now)));
    Row { text: spread(&text, &timer, size), style }
}

/// A text at the left and one at the right, if there is room for both.
fn spread(left: &str, right: &str, size: Size) -> String {
    if size.columns < NARROW.max(width(right) + 12) {
        return cut(left, size.columns);
    }
    let room = size.columns - width(right) - 1;
    let left = cut(left, room);
    let blanks = " ".repeat(room - width(&left) + 1);
    format!("{left}{blanks}{right}")
}

/// What running steps do and say, as far as there is room for it; each gets the same.
fn details(trace: &Trace, running: &[u32], now: i64, size: Size, room: usize) -> Vec<(u32, Vec<Row>)> {
    let of = |id: &u32| {
        let step = trace.steps.get(id)?;
        let rows: Vec<Row> = items(step, now, size).into_iter().chain(output(step, size)).collect();
        (!rows.is_empty()).then_some((*id, rows))
    };
    let mut found: Vec<(u32, Vec<Row>)> = running.iter().filter_map(of).collect();
    let (mut left, mut waiting) = (room, found.len());
    // Those that need least come first, so that they leave room for others.
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by_key(|index| found[*index].1.len());
    for index in order {
        let rows = &mut found[index].1;
        let share = left / waiting;
        if rows.len() > share {
            rows.drain(..rows.len() - share);
        }
        left -= rows.len();
        waiting -= 1;
    }
    found
}

/// What is not done yet.
fn items(step: &Step, now: i64, size: Size) -> Vec<Row> {
    let open = step.items.iter().filter(|item| !item.is_done).take(DETAILS);
    open.map(|item| Row { text: item_line(item, now, size), style: Style::Normal }).collect()
}

fn item_line(item: &Item, now: i64, size: Size) -> String {
    let name = format!(" => => {}", clean(item.name.as_bytes()));
    let timer = format!("{:.1}s", seconds(now - item.began));
    let amount = amount(item.current, item.total);
    let right = format!("{amount}{:>7}", timer);
    if size.columns < width(&right) + 20 {
        return spread(&name, &timer, size);
    }
    let room = (size.columns - width(&right) - 1).saturating_sub(width(&name) + 1);
    let drawn = match item.total > 0 && room >= NARROWEST_BAR {
        true => format!("{} {right}", bar(item, room.min(WIDEST_BAR))),
        false => right,
    };
    spread(&name, &drawn, size)
}

/// `[=====>    ]`
fn bar(item: &Item, columns: usize) -> String {
    let inner = columns - 2;
    let share = (item.current as f64 / item.total as f64).clamp(0.0, 1.0);
    let filled = (share * inner as f64) as usize;
    let tip = if filled < inner { ">" } else { "" };
    format!("[{}{tip}{}]", "=".repeat(filled), " ".repeat(inner - filled - tip.len()))
}

/// The last lines that a step has written.
fn output(step: &Step, size: Size) -> Vec<Row> {
    let mut rows: Vec<Row> = step
        .logs
        .lines()
        .rev()
        .map(|line| clean(&line.bytes))
        .filter(|text| !text.trim().is_empty())
        .take(DETAILS)
        .map(|text| Row { text: cut(&format!(" => => # {text}"), size.columns), style: Style::Faint })
        .collect();
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::super::script::Script;
    use super::*;

    fn text(rows: &[Row]) -> String {
        rows.iter().map(|row| format!("{}\n", row.text)).collect()
    }

    fn picture(script: &Script, columns: usize, rows: usize) -> String {
        text(&live(&script.trace(), script.now(), Size { columns, rows }))
    }

    fn busy() -> Script {
        Script::new()
            .vertices(&[
                "[1/4] FROM docker.io/library/debian:12",
                "[2/4] WORKDIR /a",
                "[3/4] RUN apt-get update",
                "[b 1/1] RUN make",
                "[4/4] RUN last",
            ])
            .started(0)
            .status(0, "sha256:0123456789ab", 12_300_000, 30_100_000, false)
            .status(0, "sha256:ba9876543210", 1_000, 1_000, true)
            .after(1200)
            .started(1)
            .cached(1)
            .started(2)
            .bytes(2, b"Get:1 http://deb\x1b[31m\r10%\r\xff 20%\nHit:2\n\n")
            .started(3)
            .log(3, "cc -c a.c\n")
            .after(800)
    }

    #[test]
    fn running_steps_show_what_they_do() {
        insta::assert_snapshot!(picture(&busy(), 80, 24), @r"
        [+] Building 2.0s (1/5)
         => [1/4] FROM docker.io/library/debian:12                                  2.0s
         => => sha256:0123456789ab [==========>               ] 12.30MB / 30.10MB   2.0s
         => CACHED [2/4] WORKDIR /a                                                 0.0s
         => [3/4] RUN apt-get update                                                0.8s
         => => # � 20%
         => => # Hit:2
         => [b 1/1] RUN make                                                        0.8s
         => => # cc -c a.c
        ");
    }

    #[test]
    fn narrow_terminal_gets_what_fits() {
        insta::assert_snapshot!(picture(&busy(), 20, 24), @r"
        [+] Building 2.0s (…
         => [1/4] FROM dock…
         => => sha256:01234…
         => CACHED [2/4] WO…
         => [3/4] RUN apt-g…
         => => # � 20%
         => => # Hit:2
         => [b 1/1] RUN make
         => => # cc -c a.c
        ");
        assert_eq!(picture(&busy(), 1, 24).lines().count(), 9);
        assert_eq!(picture(&busy(), 0, 0).lines().count(), 1);
    }

    #[test]
    fn low_terminal_keeps_what_runs() {
        insta::assert_snapshot!(picture(&busy(), 60, 7), @r"
        [+] Building 2.0s (1/5)
         => [1/4] FROM docker.io/library/debian:12              2.0s
         => [3/4] RUN apt-get update                            0.8s
         => => # Hit:2
         => [b 1/1] RUN make                                    0.8s
         => => # cc -c a.c
        ");
        assert_eq!(picture(&busy(), 60, 4).lines().count(), 3);
    }

    #[test]
    fn every_picture_fits_every_terminal() {
        let script = busy();
        for columns in 0..100 {
            for rows in 1..20 {
                let size = Size { columns, rows };
                let picture = live(&script.trace(), script.now(), size);
                assert!(picture.len() < rows.max(2), "{size:?}");
                assert!(picture.iter().all(|row| width(&row.text) <= columns), "{size:?}");
            }
        }
    }

    #[test]
    fn last_picture_has_a_line_for_each_step() {
        let script = busy().completed(0).completed(2).failed(3, "exit code: 1").failed(4, "context canceled");
        let rows = last(&script.trace(), script.now(), Size { columns: 60, rows: 4 });
        insta::assert_snapshot!(text(&rows), @r"
        [+] Building 2.0s (5/5) FINISHED
         => [1/4] FROM docker.io/library/debian:12              2.0s
         => CACHED [2/4] WORKDIR /a                             0.0s
         => [3/4] RUN apt-get update                            0.8s
         => ERROR [b 1/1] RUN make                              0.8s
         => CANCELED [4/4] RUN last                             0.0s
        ");
    }
}
